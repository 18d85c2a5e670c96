//! Putting an entry off, or holding it for an admin.

use std::time::Duration;

use super::index::{Listing, Phase};
use super::record::Why;
use super::{Journal, JournalError};
use crate::file::FileId;

/// Bytes of a reason that are kept, at most.
const REASON_BYTES: usize = 2048;

impl Journal {
    /// Puts a failed entry off for so long, by the log's own clock.
    ///
    /// # Errors
    /// As [`Journal::hold`].
    pub fn defer(&self, id: FileId, reason: &str, pause: Duration) -> Result<(), JournalError> {
        self.put_off(id, pause, |attempts| {
            why(attempts.saturating_add(1), reason)
        })
    }

    /// The same, for an entry that an attempt brought nearer to its end: the attempts that failed before
    /// no longer count, nor does this one.
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

    /// `why` is given the attempts that failed before.
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

    /// Puts an entry that no attempt can help where an admin will see it.
    ///
    /// # Errors
    /// `Absent` if it is not pending any more; what the disk says. It stays where it was then.
    pub fn hold(&self, id: FileId, reason: &str) -> Result<(), JournalError> {
        let held = self.step(|index, tail| {
            let attempts = index.get(id).map_or(0, |known| known.attempts);
            index.hold(id, why(attempts.saturating_add(1), reason), tail)
        });
        held.map_err(|err| err.of(id, "note that it is held"))
    }

    /// The entries that wait for an admin.
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
