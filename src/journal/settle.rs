//! Settling entries, on a proof of their commit.

use super::index::{Phase, Refused};
use super::record::Settled;
use super::step::StepError;
use super::{Journal, JournalError, point};
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
}
