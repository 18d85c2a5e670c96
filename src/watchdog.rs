//! Watches whether the threads of this process go on, or stand still.
//!
//! 1. Each executor gets a pulse: a task that beats twice a second as long as the executor goes on.
//! 2. A thread of its own looks once a second. An executor whose pulse has not beaten for `LOOKS` looks
//!    stands still. Looks are counted, not seconds: a machine that stood still as a whole has missed no look.
//! 3. If no executor stands still, the caller is told so after each look. The service manager ends a process
//!    that has not said so for some time, and starts it again (`sd_watchdog_enabled(3)`).
//! 4. If one stands still, the log names it, and balancers are told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{io, thread};

/// The pause between two beats.
const BEAT: Duration = Duration::from_millis(500);

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// An executor stands still if its pulse has not beaten for so many looks.
const LOOKS: u32 = 5;

/// The pulses of all executors. Shared by reference.
#[derive(Debug, Default)]
pub struct Watchdog {
    watched: Mutex<Vec<Watched>>,
}

/// The pulse of one executor. It ends with the tasks of that executor.
#[derive(Debug)]
pub struct Pulse {
    beats: AtomicU64,
}

#[derive(Debug)]
struct Watched {
    name: &'static str,
    pulse: Weak<Pulse>,
    /// The number of its beats at the last look.
    seen: u64,
    /// The looks since that number has changed.
    unchanged: u32,
}

impl Watched {
    fn stands_still(&self) -> bool {
        self.unchanged >= LOOKS
    }
}

impl Watchdog {
    /// A pulse for an executor. The name is for the log.
    pub fn pulse(&self, name: &'static str) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            beats: AtomicU64::new(0),
        });
        self.watched().push(Watched {
            name,
            pulse: Arc::downgrade(&pulse),
            seen: 0,
            unchanged: 0,
        });
        pulse
    }

    /// Whether an executor stands still.
    pub fn sees_standstill(&self) -> bool {
        self.watched().iter().any(Watched::stands_still)
    }

    /// Looks at all pulses again and again, on a thread that ends with the process. `all_go_on` is called
    /// after each look that found no standstill.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn keep_looking(self: &Arc<Self>, all_go_on: impl Fn() + Send + 'static) -> io::Result<()> {
        let watchdog = Arc::clone(self);
        let looking = move || {
            loop {
                watchdog.look();
                if !watchdog.sees_standstill() {
                    all_go_on();
                }
                thread::sleep(LOOK);
            }
        };
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(looking)
            .map(drop)
    }

    fn look(&self) {
        self.watched().retain_mut(|watched| {
            let Some(pulse) = watched.pulse.upgrade() else {
                return false;
            };
            let (name, stood_still) = (watched.name, watched.stands_still());
            let beats = pulse.beats.load(Ordering::Relaxed);
            if beats == watched.seen {
                watched.unchanged = watched.unchanged.saturating_add(1);
            } else {
                (watched.seen, watched.unchanged) = (beats, 0);
            }
            match (stood_still, watched.stands_still()) {
                (false, true) => log::error!("{name}: stands still"),
                (true, false) => log::warn!("{name}: goes on"),
                (true, true) | (false, false) => {}
            }
            true
        });
    }

    /// A panic under the lock leaves the list usable: each change is complete in itself.
    fn watched(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// Beats as long as the executor goes on. Never ends.
    pub async fn beat(self: Arc<Self>) {
        loop {
            self.beats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Does the same by way of the executor's threads for blocking work: they stand still if each of them
    /// waits for the disk. Never ends.
    pub async fn beat_blocking(self: Arc<Self>) {
        loop {
            let pulse = Arc::clone(&self);
            let beaten = tokio::task::spawn_blocking(move || {
                pulse.beats.fetch_add(1, Ordering::Relaxed);
            });
            if let Err(lost) = beaten.await {
                log::error!("a beat was lost: {lost}");
            }
            tokio::time::sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn look_often(watchdog: &Watchdog) {
        for _ in 0..LOOKS {
            watchdog.look();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_executor_that_beats_between_two_looks_goes_on() {
        let watchdog = Watchdog::default();
        let beating = tokio::spawn(watchdog.pulse("this").beat());
        for _ in 0..3 * LOOKS {
            tokio::time::sleep(LOOK).await;
            watchdog.look();
            assert!(!watchdog.sees_standstill());
        }
        // Nothing of it is left to stand still.
        beating.abort();
        assert!(beating.await.unwrap_err().is_cancelled());
        look_often(&watchdog);
        assert!(!watchdog.sees_standstill());
    }

    #[test]
    fn an_executor_whose_threads_for_blocking_work_all_wait_stands_still_and_then_goes_on() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let watchdog = Watchdog::default();
        let (free, held) = mpsc::channel::<()>();
        let holding = runtime.spawn_blocking(move || held.recv());
        runtime.spawn(watchdog.pulse("itself").beat());
        runtime.spawn(watchdog.pulse("its threads").beat_blocking());
        let look_until = |stands_still| {
            while watchdog.sees_standstill() != stands_still {
                thread::sleep(2 * BEAT);
                watchdog.look();
            }
        };
        look_until(true);
        let watched = watchdog.watched();
        let still: Vec<_> = watched
            .iter()
            .filter(|watched| watched.stands_still())
            .map(|watched| watched.name)
            .collect();
        assert_eq!(still, ["its threads"]);
        drop(watched);
        free.send(()).unwrap();
        runtime.block_on(holding).unwrap().unwrap();
        look_until(false);
    }
}
