//! Deferring an entry, or holding it for an admin.

use std::time::Duration;

use super::index::{Listing, Phase};
use super::record::Why;
use super::{Journal, JournalError};
use crate::file::FileId;

/// The most bytes of a reason in a record.
const REASON_BYTES: usize = 2048;

impl Journal {
    /// Defers a failed entry for this long, by the log's own clock.
    ///
    /// # Errors
    /// As [`Journal::hold`].
    pub fn defer(&self, id: FileId, reason: &str, pause: Duration) -> Result<(), JournalError> {
        self.put_off(id, pause, |attempts| {
            why(attempts.saturating_add(1), reason)
        })
    }

    /// Defers an entry after an attempt that brought more of it into the store: its failed attempts
    /// are counted from zero again, and this one does not count.
    ///
    /// # Errors
    /// As [`Journal::hold`].
    pub fn defer_anew(
        &self,
        id: FileId,
        reason: &str,
        pause: Duration,
    ) -> Result<(), JournalError> {
        self.put_off(id, pause, |_| why(0, reason))
    }

    /// `why` gets the number of failed attempts before.
    fn put_off(
        &self,
        id: FileId,
        pause: Duration,
        why: impl Fn(u16) -> Why,
    ) -> Result<(), JournalError> {
        let due = self.now().later(pause);
        let deferred = self.step(|index, tail| {
            let attempts = index.get(id).map_or(0, |known| known.attempts);
            index.defer(id, due, why(attempts), tail)
        });
        deferred.map_err(|err| err.of(id, "note that it is deferred"))
    }

    /// Holds an entry that no further attempt can help, for an admin to see.
    ///
    /// # Errors
    /// `Absent` if it is no longer pending; the disk's error. Then the entry stays as it was.
    pub fn hold(&self, id: FileId, reason: &str) -> Result<(), JournalError> {
        let held = self.step(|index, tail| {
            let attempts = index.get(id).map_or(0, |known| known.attempts);
            index.hold(id, why(attempts.saturating_add(1), reason), tail)
        });
        held.map_err(|err| err.of(id, "note that it is held"))
    }

    /// The entries that are held for an admin.
    pub fn held(&self) -> Vec<FileId> {
        self.list(Listing::new(&[Phase::Held], None, usize::MAX))
    }
}

fn why(attempts: u16, reason: &str) -> Why {
    Why {
        attempts,
        reason: reason
            .get(..reason.floor_char_boundary(REASON_BYTES))
            .unwrap_or_default()
            .to_owned(),
    }
}
