//! Making room: settled bodies whose time is over, and spool files that nobody will claim.

use std::time::{Duration, SystemTime};

use super::Journal;
use super::error::JournalError;
use super::layout::Room;
use super::settle::at;
use crate::file::FileId;

impl Journal {
    /// Removes settled entries that are past their grace time or over the byte budget, the oldest
    /// first; all of them when the disk is about to be full. Returns how many.
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
        let evicted = self.index().evict(due);
        if let Some(&first) = evicted.first() {
            self.sync_settled(first)?;
        }
        for &id in &evicted {
            self.unlink_entry(Room::Settled, id)?;
            self.index().evicted.remove(&id);
        }
        if let Some(&last) = evicted.last() {
            // A power cut must not bring back what may be deleted from the store by then.
            self.sync_directory(&self.layout.room(Room::Settled))
                .map_err(at(last, "fsync an eviction"))?;
        }
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

    /// Removes spool files that have not changed for the configured time: nginx unlinks its own,
    /// except those of a worker that was killed. Returns how many.
    ///
    /// # Errors
    /// When the spool cannot be read; the rest is left for the next sweep.
    pub fn remove_spool_orphans(&self) -> std::io::Result<usize> {
        let mut removed = 0;
        for found in std::fs::read_dir(self.layout.spool())? {
            let found = found?;
            let metadata = match found.metadata() {
                // nginx was quicker.
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let age = SystemTime::now()
                .duration_since(metadata.modified()?)
                .unwrap_or(Duration::ZERO);
            if metadata.is_file() && age >= self.limits.spool_orphan {
                match self.disk.unlink(&found.path()) {
                    Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
                    unlinked => {
                        unlinked?;
                        removed += 1;
                    }
                }
            }
        }
        Ok(removed)
    }
}
