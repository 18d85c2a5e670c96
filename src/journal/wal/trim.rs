//! Gives up the oldest segments, and closes the log.

use super::error::AppendError;
use super::group::STOPPED;
use super::write::Note;
use super::{Wal, lock};
use crate::journal::point::point;

impl Wal {
    /// Gives up all segments before a generation. Their live part must already be in later groups that
    /// are synced: if `oldest` were stated in the same group as the copies, it would be believed even
    /// if the copies are torn. The newest segment always stays.
    ///
    /// # Errors
    /// As [`Wal::append`]; or the disk's error for the files, which the next start gives up.
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
        drop(segments);
        point!("trim.synced");
        Ok(self.give_up(dead.values().map(|segment| segment.spare()))?) // 4
    }

    /// Notes behind everything that is queued that the log is closed. To be called after the last
    /// append.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub fn stop(&self) -> Result<(), AppendError> {
        let flags = STOPPED;
        self.note(Note {
            oldest: None,
            flags,
        })
    }
}
