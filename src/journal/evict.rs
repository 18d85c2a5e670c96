//! Evicting settled bodies after their grace time.

use std::time::Duration;

use super::index::{Phase, Refused};
use super::record::{Answered, LogTime};
use super::step::StepError;
use super::{Journal, JournalError, point};
use crate::file::FileId;

/// The most entries that leave together.
const BATCH: usize = 1024;

/// The reason why a settled entry leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// The store has the file.
    Evicted,
    /// A client deletes the file. The answer to its key says so.
    Deleted,
}

impl Leaves {
    /// The answer of such an entry, as it is kept.
    pub(super) fn marks(self, answered: Answered) -> Answered {
        let is_deleted = answered.is_deleted || self == Self::Deleted;
        Answered {
            is_deleted,
            ..answered
        }
    }
}

impl Journal {
    /// Removes settled entries that are past their grace time or over the byte budget, the oldest
    /// first; all of them if the disk is nearly full. Returns their number. Then it makes the log
    /// smaller, and fills its reserve up.
    ///
    /// 1. The entries are marked as leaving: a delete that comes now waits for the end.
    /// 2. Their bodies are unlinked.
    /// 3. `body/` is fsynced: no body can come back.
    /// 4. The answers of remembered keys are packed and synced.
    /// 5. `gone` is decided and queued for each entry, and synced: they have left.
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1 | the settled entry | keeps it |
    /// | 2 to 4 | the settled entry, perhaps without its body | finishes the eviction, or keeps the entry |
    /// | 5 | the same, or nothing | the same |
    ///
    /// # Errors
    /// The disk's error; the next sweep goes on.
    pub fn evict_settled(&self) -> Result<usize, JournalError> {
        let mut evicted = 0;
        loop {
            let batch = self.take_leaving(); // 1
            if batch.is_empty() {
                break;
            }
            evicted += batch.len();
            self.finish_leaving(&batch, Leaves::Evicted)?;
        }
        self.tidy_log()?;
        Ok(evicted)
    }

    fn take_leaving(&self) -> Vec<FileId> {
        let free = self.disk().free_bytes(self.layout.journal());
        let is_scarce = free.is_ok_and(|free| free < self.limits.min_free_bytes.saturating_mul(2));
        // The log may be younger than the grace time.
        let grace = millis(self.limits.settled_grace);
        let over = self.now().0.checked_sub(grace).map(LogTime);
        let mut batch = Vec::new();
        let mut state = self.state();
        let mut bytes = state.index.totals(Phase::Settled).bytes;
        while batch.len() < BATCH {
            let is_crowded = is_scarce || bytes > self.limits.settled_max_bytes;
            let limit = if is_crowded {
                Some(LogTime(u64::MAX))
            } else {
                over
            };
            let taken = limit.and_then(|limit| state.index.take_settled(limit));
            let Some(id) = taken else {
                break;
            };
            let length = state.index.get(id).map_or(0, |known| known.length);
            bytes = bytes.saturating_sub(length);
            batch.push(id);
        }
        batch
    }

    /// Removes an entry if it is settled, without any grace: only the store tells of it from now
    /// on.
    ///
    /// # Errors
    /// The disk's error; the entry may have left or not.
    pub fn leave_settled(&self, id: FileId) -> Result<(), JournalError> {
        self.leave(id, Leaves::Evicted).map(drop)
    }

    /// Does the same for this reason. Returns whether the entry was settled, and has left.
    pub(super) fn leave(&self, id: FileId, why: Leaves) -> Result<bool, JournalError> {
        let mut state = self.state();
        loop {
            match state.index.leave(id) {
                Ok(()) => break,
                Err(Refused::Wait(_)) => state = self.memory.wait(state),
                Err(_) => return Ok(false),
            }
        }
        drop(state);
        self.finish_leaving(&[id], why)?;
        Ok(true)
    }

    /// Steps 2 to 5 for marked entries.
    pub(super) fn finish_leaving(&self, ids: &[FileId], why: Leaves) -> Result<(), JournalError> {
        let Some(&last) = ids.last() else {
            return Ok(());
        };
        let _leaving = Leaving { journal: self, ids };
        for &id in ids {
            self.unlink_body(id)?; // 2
            point!("evict.body-unlinked");
        }
        self.sync_unlinked(last)?; // 3
        point!("evict.unlinks-fsynced");
        self.retain_answers(ids, why)?; // 4
        point!("evict.answers-kept");
        let landed = self.steps(ids, |&id, index, tail| index.gone(id, tail)); // 5
        for (&id, landed) in ids.iter().zip(landed) {
            match landed {
                Ok(()) | Err(StepError::Refused(Refused::Absent)) => {}
                Err(err) => return Err(err.of(id, "note that nothing is left")),
            }
        }
        Ok(())
    }
}

/// Entries that are leaving. Dropping it unmarks those that have not left, so that nobody waits for
/// ever.
struct Leaving<'a> {
    journal: &'a Journal,
    ids: &'a [FileId],
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.journal.state();
        for &id in self.ids {
            state.index.stay(id);
        }
        self.journal.memory.wake(state);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
