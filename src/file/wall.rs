//! The wall clock, which somebody may set.

use std::time::SystemTime;

/// Now, by the system's clock.
pub fn wall_time() -> SystemTime {
    let now = SystemTime::now();
    #[cfg(test)]
    let now = WallClock::shown(now);
    now
}

/// Whole seconds since a moment; none, if it is still to come.
pub fn age_seconds(since: SystemTime) -> u64 {
    let age = SystemTime::now().duration_since(since);
    age.map_or(0, |age| age.as_secs())
}

/// Sets the clock of the test's own thread.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum WallClock {
    Right,
    Back(std::time::Duration),
    Forward(std::time::Duration),
}

#[cfg(test)]
thread_local! {
    static SET: std::cell::Cell<WallClock> = const { std::cell::Cell::new(WallClock::Right) };
}

#[cfg(test)]
impl WallClock {
    /// Sets the clock from now on.
    pub(crate) fn set(self) {
        SET.set(self);
    }

    fn shown(now: SystemTime) -> SystemTime {
        let set = SET.replace(Self::Right);
        let shown = match set {
            Self::Right => now,
            Self::Back(by) => now - by,
            Self::Forward(by) => now + by,
        };
        SET.set(set);
        shown
    }
}
