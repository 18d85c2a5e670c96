//! The work to be done: ids in the order of the times at which they are due.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::GroupConfig;
use crate::file::{EvenClock, FileId, UnixMillis};

/// The committer's queue. It never hands out an id that is already in flight. All times are those of
/// its own clock, so a change of the system's clock makes no entry wait longer or come earlier.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queue: Mutex<Queue>,
    changed: Notify,
    clock: EvenClock,
}

#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(UnixMillis, FileId)>,
    /// Ids that turned out to be large when they became due.
    large: BTreeSet<(UnixMillis, FileId)>,
    /// The ids in flight, each with whether it is large.
    in_flight: HashMap<FileId, bool>,
    large_in_flight: usize,
    /// The due times of ids that were pushed while they were in flight.
    again: HashMap<FileId, UnixMillis>,
}

impl Backlog {
    /// Now.
    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The time after this pause.
    pub(super) fn after(&self, pause: Duration) -> UnixMillis {
        self.clock.after(pause)
    }

    /// Adds an id that is due now.
    pub(super) fn push_now(&self, id: FileId) {
        self.push(id, self.now());
    }

    /// Adds an id that a start found on the disk. It is due before all others, unless it was deferred:
    /// then it waits for the rest of that pause (`left`), but no longer than `longest`, as the settings
    /// may have allowed longer pauses when it was deferred.
    pub(super) fn push_found(&self, id: FileId, left: Option<Duration>, longest: Duration) {
        let due = left.map_or(UnixMillis(0), |left| self.after(left.min(longest)));
        self.push(id, due);
    }

    /// Adds an id. If it is in flight, it comes again when that ends.
    pub(super) fn push(&self, id: FileId, due: UnixMillis) {
        {
            let mut queue = self.queue();
            if queue.in_flight.contains_key(&id) {
                queue.again.insert(id, due);
            } else {
                queue.due.insert((due, id));
            }
        }
        self.changed.notify_one();
    }

    /// Forgets all ids, those in flight too: nobody may work on them any more.
    pub(super) fn clear(&self) {
        *self.queue() = Queue::default();
    }

    /// Waits for due ids and hands them out until [`Backlog::finish`] is called for each. Small ones
    /// come as a group, a large one comes alone, and the id that is due longest comes first. Small ids
    /// overtake large ones that wait for a free place. Dropping the future takes no id out.
    pub(super) async fn next(
        &self,
        limits: &GroupConfig,
        length: impl Fn(FileId) -> u64,
    ) -> Vec<FileId> {
        loop {
            let changed = self.changed.notified();
            let next_due = {
                let mut queue = self.queue();
                let now = self.now();
                let taken = queue.take(now, limits, &length);
                if !taken.is_empty() {
                    return taken;
                }
                queue
                    .due
                    .first()
                    .map(|(due, _)| due.0.saturating_sub(now.0))
            };
            match next_due {
                Some(millis) => {
                    let pause = Duration::from_millis(millis);
                    // The loop looks at the queue again after a change and after the pause.
                    tokio::time::timeout(pause, changed).await.unwrap_or(());
                }
                None => changed.await,
            }
        }
    }

    /// Ends what [`Backlog::next`] began; with a time, the id comes again then.
    pub(super) fn finish(&self, id: FileId, again: Option<UnixMillis>) {
        let (again, was_large) = {
            let mut queue = self.queue();
            let was_large = queue.in_flight.remove(&id).unwrap_or(false);
            queue.large_in_flight -= usize::from(was_large);
            queue.check();
            (queue.again.remove(&id).or(again), was_large)
        };
        if let Some(due) = again {
            self.push(id, due);
        } else if was_large {
            // Its place is free for another.
            self.changed.notify_one();
        }
    }

    /// How long the oldest due id has waited.
    pub(super) fn lateness(&self) -> Duration {
        let queue = self.queue();
        let first = [&queue.due, &queue.large].map(BTreeSet::first);
        let due = first.into_iter().flatten().map(|(due, _)| due.0).min();
        let now = self.now().0;
        Duration::from_millis(due.map_or(0, |due| now.saturating_sub(due)))
    }

    /// How many ids are being worked on.
    pub(super) fn in_flight(&self) -> usize {
        self.queue().in_flight.len()
    }

    /// How many ids it knows; one that is due at two times counts twice.
    pub(super) fn count(&self) -> u64 {
        let queue = self.queue();
        let count = queue.due.len() + queue.large.len() + queue.in_flight.len();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// All ids that it knows.
    pub(super) fn ids(&self) -> HashSet<FileId> {
        let queue = self.queue();
        let waiting = queue.due.iter().chain(&queue.large).map(|(_, id)| *id);
        waiting.chain(queue.in_flight.keys().copied()).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The count of large ones in flight is what the table of all in flight says.
    fn check(&self) {
        let large = || {
            self.in_flight
                .values()
                .filter(|is_large| **is_large)
                .count()
        };
        debug_assert_eq!(self.large_in_flight, large());
    }

    /// Takes out the ids that may go now: one large id, or some small ones.
    fn take(
        &mut self,
        now: UnixMillis,
        limits: &GroupConfig,
        length: &impl Fn(FileId) -> u64,
    ) -> Vec<FileId> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(&(due, id)) = self.due.first().filter(|(due, _)| *due <= now) {
            if self.in_flight.contains_key(&id) {
                // It was pushed for two times: the later one counts after the first has ended.
                self.due.pop_first();
                self.again.insert(id, due);
                continue;
            }
            let length = length(id);
            if length > limits.small_bytes {
                self.due.pop_first();
                self.large.insert((due, id));
                continue;
            }
            if group.is_empty()
                && let Some(large) = self.take_large(limits, Some((due, id)))
            {
                return vec![large];
            }
            bytes += length;
            if group.len() == limits.entries || (bytes > limits.bytes && !group.is_empty()) {
                return group;
            }
            self.due.pop_first();
            self.in_flight.insert(id, false);
            group.push(id);
        }
        if group.is_empty() {
            group.extend(self.take_large(limits, None));
        }
        group
    }

    /// Takes out the large id that is due longest, unless enough large ones are in flight or a small id
    /// is due longer.
    fn take_large(
        &mut self,
        limits: &GroupConfig,
        other: Option<(UnixMillis, FileId)>,
    ) -> Option<FileId> {
        let &first = self.large.first()?;
        if self.in_flight.contains_key(&first.1) {
            self.large.remove(&first);
            self.again.insert(first.1, first.0);
            return self.take_large(limits, other);
        }
        let is_enough = self.large_in_flight >= limits.large;
        if is_enough || other.is_some_and(|other| other < first) {
            return None;
        }
        self.large.remove(&first);
        let (_, id) = first;
        self.in_flight.insert(id, true);
        self.large_in_flight += 1;
        self.check();
        Some(id)
    }
}

#[cfg(test)]
mod tests;
