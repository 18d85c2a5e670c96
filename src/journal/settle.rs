//! Settling entries, on a proof of their commit.

use std::time::Duration;

use super::index::{Phase, Refused};
use super::record::Settled;
use super::step::StepError;
use super::{Journal, JournalError, point};
use crate::file::{FileId, UnixMillis, wall_time};
use crate::store::Committed;

/// The outcome of a proven commit in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// The entry is settled.
    Settled,
    /// The entry was deleted during its commit: remove it from the store again.
    Deleted,
    /// It got or lost a link during its commit: the caller must commit it once more.
    Relinked,
}

impl Journal {
    /// Notes that an entry is proven in the store. Its body stays for a while.
    ///
    /// # Errors
    /// As [`Journal::settle_all`].
    pub fn settle(&self, committed: &Committed) -> Result<Settling, JournalError> {
        let mut settled = self.settle_all(std::slice::from_ref(committed));
        let absent = || Err(JournalError::Absent(committed.id()));
        settled.pop().unwrap_or_else(absent)
    }

    /// Notes that several entries are proven: all are decided before any is waited for, so that
    /// they share a group. Each has an outcome of its own.
    ///
    /// # Errors
    /// When an entry is not in the journal; the disk's error. Then the entry stays pending.
    pub fn settle_all(&self, committed: &[Committed]) -> Vec<Result<Settling, JournalError>> {
        let at = self.now();
        let landed = self.steps(committed, |committed, index, tail| {
            let sha256 = committed.sha256();
            index.settle(committed.id(), Settled { at, sha256 }, tail)
        });
        point!("settle.noted");
        let landed = committed
            .iter()
            .zip(landed)
            .map(|(committed, landed)| match landed {
                Ok(()) | Err(StepError::Refused(Refused::Is(Phase::Settled))) => {
                    Ok(Settling::Settled)
                }
                Err(StepError::Refused(Refused::Is(Phase::Deleted))) => Ok(Settling::Deleted),
                Err(StepError::Refused(Refused::Moved)) => Ok(Settling::Relinked),
                Err(err) => Err(err.of(committed.id(), "note a proven commit")),
            });
        landed.collect()
    }

    /// The time before which this journal has settled everything that it promised, for longer than the
    /// grace time and `slack`. A promise whose sync is under way must be younger than `slack`.
    pub fn settled_before(&self, slack: Duration) -> UnixMillis {
        // A promise that comes after this is not older.
        let now = wall_time();
        let oldest = self.oldest_pending().map_or(now, |oldest| oldest.min(now));
        let age = self.limits.settled_grace.saturating_add(slack);
        UnixMillis::from_system_time(oldest.checked_sub(age).unwrap_or(std::time::UNIX_EPOCH))
    }

    /// All files that wait for their commit or are settled, in no order.
    pub fn promised_or_settled(&self) -> Vec<FileId> {
        let mut ids = Vec::new();
        self.each_known(&mut |id, known| {
            if known.phase == Phase::Settled || known.phase.is_pending() {
                ids.push(id);
            }
        });
        ids
    }
}
