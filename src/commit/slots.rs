//! The commits that run at the same time, and how many that may be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::pace::Pace;
use crate::config::CommitPace;
use crate::file::FileId;
use crate::store::Store;

/// Between two reads that watch the store.
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

/// The same while it is found out how much the store bears: a backlog may be gone by then.
const FIRST_PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// The commits that run.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    /// `None`: always as many as there may ever be.
    pace: Option<Mutex<Pace>>,
    state: Mutex<State>,
    changed: Notify,
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Whether all slots were taken at any time since this was last asked.
    was_full: bool,
    /// What was committed last: a file that the store has.
    committed: Option<FileId>,
}

impl Slots {
    /// At most so many.
    pub fn new(most: usize, pace: CommitPace) -> Self {
        let pace = match pace {
            CommitPace::Adaptive => Some(Mutex::new(Pace::new(most))),
            CommitPace::Fixed => None,
        };
        Self {
            most,
            pace,
            state: Mutex::default(),
            changed: Notify::new(),
            begun: Notify::new(),
        }
    }

    /// How many commits may run now.
    pub fn width(&self) -> usize {
        self.pace
            .as_ref()
            .map_or(self.most, |pace| lock(pace).width())
    }

    /// Waits until one more commit may run.
    pub(super) async fn until_free(&self) {
        while lock(&self.state).taken >= self.width() {
            self.changed.notified().await;
        }
    }

    /// Counts one more commit, until what is returned is dropped.
    pub(super) fn take(self: &Arc<Self>) -> Slot {
        let width = self.width();
        let mut state = lock(&self.state);
        state.taken += 1;
        state.was_full |= state.taken >= width;
        self.begun.notify_one();
        Slot {
            slots: Arc::clone(self),
        }
    }

    /// A commit failed by the store's fault.
    pub(super) fn report_failure(&self) {
        if let Some(pace) = &self.pace {
            lock(pace).fail();
        }
    }

    /// A commit went well.
    pub(super) fn report_commit(&self, id: FileId) {
        lock(&self.state).committed = Some(id);
    }

    /// Reads from the store as others do, for as long as commits run, and sets the pace by that.
    pub(super) async fn follow(&self, store: &dyn Store) {
        let Some(pace) = &self.pace else {
            return;
        };
        let mut interval = PROBE_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            interval = PROBE_INTERVAL;
            let (committed, is_full) = {
                let mut state = lock(&self.state);
                let is_full = std::mem::take(&mut state.was_full) || state.taken >= self.width();
                (state.committed.filter(|_| state.taken > 0), is_full)
            };
            let Some(committed) = committed else {
                // Nothing to watch: no timer runs while nothing is committed.
                self.begun.notified().await;
                continue;
            };
            let begun = Instant::now();
            let read = store.probe(committed).await;
            match read {
                Ok(()) => lock(pace).observe(begun.elapsed(), is_full),
                Err(err) => {
                    log::debug!("a read to watch the store by: {err}");
                    lock(pace).fail();
                }
            }
            if lock(pace).is_opening() {
                interval = FIRST_PROBE_INTERVAL;
            }
            self.changed.notify_one();
        }
    }
}

/// A commit that runs.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.slots.state).taken -= 1;
        self.slots.changed.notify_one();
    }
}

/// A thread that panicked leaves numbers that are as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
