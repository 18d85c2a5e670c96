//! Giving up the oldest segments, and closing the log.

use super::error::AppendError;
use super::group::STOPPED;
use super::write::Note;
use super::{Wal, lock};
use crate::journal::point::point;

impl Wal {
    /// Gives up all segments before a generation. Whatever lives in them must stand in a later group
    /// that is synced already: an `oldest` that is told together with the copies is believed even where
    /// the copies are torn. The newest segment always stays.
    ///
    /// # Errors
    /// As [`Wal::append`]; or what the disk says of the files, which the next start gives up.
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

    /// Writes that the log is closed, after all that is queued. To be called when nobody appends any
    /// more.
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
