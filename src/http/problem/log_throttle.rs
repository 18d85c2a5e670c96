//! Lines of the log that clients can cause as often as they like.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use log::Level;

/// Lines within this many seconds after a line have the level `debug`.
const PAUSE_SECONDS: u64 = 60;

/// One kind of such lines.
#[derive(Debug)]
pub(in crate::http) struct LogThrottle {
    level: Level,
    /// When the next line gets its full level, in seconds of Unix time.
    due: AtomicU64,
}

impl LogThrottle {
    /// Makes a throttle. The first line of each pause has this level.
    pub(in crate::http) const fn new(level: Level) -> Self {
        let due = AtomicU64::new(0);
        Self { level, due }
    }

    /// The level of the line that is about to be written.
    pub(in crate::http) fn level(&self) -> Level {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.level_at(now.map_or(0, |now| now.as_secs()))
    }

    fn level_at(&self, now: u64) -> Level {
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(PAUSE_SECONDS);
        // If several threads ask at once, only one of them gets the level. A clock that was set
        // back does not silence the log.
        let is_due = (now >= due || next < due)
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due { self.level } else { Level::Debug }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_minute_has_its_level_and_the_others_are_for_debugging() {
        let log_throttle = LogThrottle::new(Level::Warn);
        let levels = [1000, 1000, 1059, 1060, 1061, 1120].map(|now| log_throttle.level_at(now));
        let (warn, debug) = (Level::Warn, Level::Debug);
        assert_eq!(levels, [warn, debug, debug, warn, debug, warn]);
        assert_eq!(log_throttle.level_at(10), warn, "the clock was set back");
        assert_eq!(log_throttle.level_at(11), debug);
    }
}
