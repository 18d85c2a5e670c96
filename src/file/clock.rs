//! Time that nobody sets.

use std::time::{Duration, Instant, SystemTime};

use super::UnixMillis;

/// A clock that goes on evenly from the system's time at its beginning, whatever that is set to later.
#[derive(Debug, Clone, Copy)]
pub struct EvenClock {
    begun: Instant,
    began_at: SystemTime,
}

impl EvenClock {
    /// One that begins at a time.
    pub fn begin_at(began_at: SystemTime) -> Self {
        Self {
            begun: Instant::now(),
            began_at,
        }
    }

    /// Now.
    pub fn time(&self) -> SystemTime {
        let now = self.began_at.checked_add(self.begun.elapsed());
        now.unwrap_or(self.began_at)
    }

    /// Now.
    pub fn now(&self) -> UnixMillis {
        UnixMillis::from_system_time(self.time())
    }

    /// So much later than now.
    pub fn after(&self, pause: Duration) -> UnixMillis {
        self.now().later(pause)
    }
}

impl Default for EvenClock {
    fn default() -> Self {
        Self::begin_at(SystemTime::now())
    }
}
