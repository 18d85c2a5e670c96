//! Gives up the oldest segments, and closes the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::AppendError;
use super::group::STOPPED;
use super::write::Note;
use super::{Segment, Wal, lock};
use crate::journal::point::point;

type Segments = BTreeMap<u64, Arc<Segment>>;

/// Whether no file is both given up and in use.
fn share_no_file(dead: &Segments, living: &Segments) -> bool {
    let used: BTreeSet<_> = living.values().map(|segment| segment.number).collect();
    let mut given_up = dead.values();
    given_up.all(|segment| !used.contains(&segment.number))
}

impl Wal {
    /// Gives up all segments before a generation. Their live part must already be in later groups that
    /// are synced: if `oldest` were stated in the same group as the copies, it would be believed even
    /// if the copies are torn. The newest segment always stays.
    ///
    /// # Errors
    /// As [`Wal::wait`]; or the disk's error for the files, which the next start gives up.
    pub fn trim(&self, oldest: u64) -> Result<(), AppendError> {
        let newest = lock(&self.segments).keys().next_back().copied();
        let oldest = oldest.min(newest.unwrap_or_default());
        let note = Note {
            oldest: Some(oldest),
            ..Note::default()
        };
        self.note(note)?; // 2 and 3
        let mut segments = lock(&self.segments);
        let living = segments.split_off(&oldest);
        let dead = std::mem::replace(&mut *segments, living);
        debug_assert!(
            dead.is_empty() || !segments.is_empty(),
            "the newest one stays"
        );
        debug_assert!(share_no_file(&dead, &segments));
        drop(segments);
        point!("trim.synced");
        Ok(self.give_up(dead.values().map(|segment| segment.spare()))?) // 4
    }

    /// Notes behind everything that is queued that the log is closed. To be called after the last
    /// append.
    ///
    /// # Errors
    /// As [`Wal::wait`].
    pub fn stop(&self) -> Result<(), AppendError> {
        let flags = STOPPED;
        self.note(Note {
            oldest: None,
            flags,
        })
    }
}
