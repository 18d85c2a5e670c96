//! The log's own clock.

use std::time::Instant;

/// The time for which the log has been served, in milliseconds.
#[derive(Debug)]
pub(super) struct LogClock {
    before_ms: u64,
    since: Instant,
}

impl LogClock {
    /// Goes on from the time that the log states.
    pub(super) fn from(before_ms: u64) -> Self {
        Self {
            before_ms,
            since: Instant::now(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        let served = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.before_ms.saturating_add(served)
    }
}
