//! Counts for the status: what was committed, how fast, and what failed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The rate is an average over this time.
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: TallySnapshot,
    /// Commits of the last minute: the beginning of each second, and the entries in it.
    recent: VecDeque<(Instant, u64)>,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TallySnapshot {
    /// Entries committed.
    pub(super) entries: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Attempts that failed by the entry's or the store's fault.
    pub(super) failures: u64,
    /// Entries committed in the last minute.
    pub(super) last_minute: u64,
}

impl Tally {
    pub(super) fn count_commit(&self, bytes: u64) {
        self.with(|counts| {
            counts.total.entries += 1;
            counts.total.bytes += bytes;
            match counts.recent.back_mut() {
                Some((second, entries)) if second.elapsed() < Duration::from_secs(1) => {
                    *entries += 1;
                }
                _ => counts.recent.push_back((Instant::now(), 1)),
            }
        });
    }

    pub(super) fn count_failure(&self) {
        self.with(|counts| counts.total.failures += 1);
    }

    /// The counts now.
    pub(super) fn snapshot(&self) -> TallySnapshot {
        self.with(|counts| TallySnapshot {
            last_minute: counts.recent.iter().map(|(_, entries)| entries).sum(),
            ..counts.total
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Counts) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        while counts
            .recent
            .front()
            .is_some_and(|(second, _)| second.elapsed() > RATE_WINDOW)
        {
            counts.recent.pop_front();
        }
        act(&mut counts)
    }
}
