//! Making room: settled bodies whose time is over, and spool files that nobody will claim.

use std::io;

use super::error::JournalError;
use super::layout::Room;
use super::settle::at;
use super::{Journal, orphans, point};
use crate::file::FileId;

impl Journal {
    /// Removes settled entries that are past their grace time or over the byte budget, the oldest
    /// first; all of them when the disk is about to be full. Returns how many. Removes what the
    /// log does not need any more, too, and answers whose time is over.
    ///
    /// # Errors
    /// What the disk says; the rest is left for the next sweep.
    pub fn evict_settled(&self) -> Result<usize, JournalError> {
        let is_scarce = self
            .disk
            .free_bytes(self.layout.journal())
            .is_ok_and(|free| free < self.limits.min_free_bytes.saturating_mul(2));
        let due = |since: std::time::Instant, totals: super::Totals| {
            is_scarce
                || since.elapsed() >= self.limits.settled_grace
                || totals.bytes > self.limits.settled_max_bytes
        };
        let kept = self.keep_leaving();
        let note = at(FileId::from_bytes([0; 12]), "clear the log");
        let cleared = self.sync_notes().and_then(|()| self.remove_old_segments());
        cleared.map_err(note)?;
        point!("sweep.notes-fsynced");
        let mut evicted = self.index().evict(due);
        let kept = kept.and_then(|()| self.keep_leaving());
        // What cannot be kept stays; all others make room for it.
        let leaving = |id: &FileId| self.index().leaving.contains_key(id);
        evicted.retain(|(id, _)| !leaving(id));
        self.remove_settled(&evicted)?;
        let mut index = self.index();
        for (id, _) in &evicted {
            // Not before: whoever deletes one until then removes its files, too.
            index.evicted.remove(id);
        }
        drop(index);
        self.forget_answers()?;
        kept?;
        Ok(evicted.len())
    }

    /// Makes the moves into `settled` last. They must not be undone after the bodies are gone:
    /// that would look like a promise without a body.
    pub(super) fn sync_settled(&self, id: FileId) -> Result<(), JournalError> {
        for room in [Room::Settled, Room::Incoming, Room::Deferred, Room::Hold] {
            self.sync_directory(&self.layout.room(room))
                .map_err(at(id, "fsync the moves into settled"))?;
        }
        Ok(())
    }

    /// Removes spool files that nobody will claim. Returns how many.
    ///
    /// # Errors
    /// When the spool or /proc cannot be read; nothing more is removed then.
    pub fn remove_spool_orphans(&self) -> io::Result<usize> {
        let (spool, age) = (self.layout.spool(), self.limits.spool_orphan);
        orphans::remove(self.disk.as_ref(), &spool, age)
    }
}
