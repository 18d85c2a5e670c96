//! A clock that nobody can set.

use std::time::{Duration, Instant, SystemTime};

use super::UnixMillis;

/// Begins at the system's time and then runs evenly, even if the system's clock is set.
#[derive(Debug, Clone, Copy)]
pub struct EvenClock {
    begun: Instant,
    began_at: SystemTime,
}

impl EvenClock {
    /// A clock that begins at this time.
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

    /// The time after this pause.
    pub fn after(&self, pause: Duration) -> UnixMillis {
        self.now().later(pause)
    }
}

impl Default for EvenClock {
    fn default() -> Self {
        Self::begin_at(SystemTime::now())
    }
}
