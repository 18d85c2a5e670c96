//! The work to be done: ids in the order of the times at which they are due.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::GroupConfig;
use crate::file::{EvenClock, FileId, UnixMillis};

/// The most packages in a group. Each may have a thousand receivers, and an entry for each of them.
const MOST_PACKAGES: usize = 64;

/// The committer's queue. It never hands out an id that is already in flight. All times are those of
/// its own clock, so a change of the system's clock makes no entry wait longer or come earlier.
///
/// Packages of messages have a lane of their own: receivers wait for them, so they do not wait for
/// other files.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queue: Mutex<Queue>,
    changed: Notify,
    /// Signals a change in the lane of packages.
    packages_changed: Notify,
    clock: EvenClock,
}

/// The order in which an id goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Packages of messages, ahead of all else.
    Packages,
    /// All other files.
    Files,
}

impl Lane {
    /// The lane of an entry.
    pub(super) fn of(is_package: bool) -> Self {
        if is_package {
            Self::Packages
        } else {
            Self::Files
        }
    }
}

/// The way in which an id in flight was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    Small,
    Large,
    Package,
}

impl Flight {
    fn lane(self) -> Lane {
        Lane::of(self == Self::Package)
    }
}

#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(UnixMillis, FileId)>,
    /// Ids that turned out to be large when they became due.
    large: BTreeSet<(UnixMillis, FileId)>,
    packages: BTreeSet<(UnixMillis, FileId)>,
    in_flight: HashMap<FileId, Flight>,
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
    pub(super) fn push_now(&self, id: FileId, lane: Lane) {
        self.push(id, lane, self.now());
    }

    /// Adds an id that a start found on the disk. It is due before all others, unless it was deferred:
    /// then it waits for the rest of that pause (`left`), but no longer than `longest`, as the settings
    /// may have allowed longer pauses when it was deferred.
    pub(super) fn push_found(
        &self,
        id: FileId,
        lane: Lane,
        left: Option<Duration>,
        longest: Duration,
    ) {
        let due = left.map_or(UnixMillis(0), |left| self.after(left.min(longest)));
        self.push(id, lane, due);
    }

    /// Adds an id. If it is in flight, it comes again when that ends, in its own lane.
    pub(super) fn push(&self, id: FileId, lane: Lane, due: UnixMillis) {
        {
            let mut queue = self.queue();
            if queue.in_flight.contains_key(&id) {
                queue.again.insert(id, due);
            } else {
                queue.of(lane).insert((due, id));
            }
        }
        self.changed_in(lane).notify_one();
    }

    fn changed_in(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Packages => &self.packages_changed,
            Lane::Files => &self.changed,
        }
    }

    /// Forgets all ids, those in flight too: nobody may work on them any more.
    pub(super) fn clear(&self) {
        *self.queue() = Queue::default();
    }

    /// Waits for due ids and hands them out until [`Backlog::finish`] is called for each. Small
    /// ones come as a group, a large one comes alone, and the id that is due longest comes first.
    /// Small ids overtake large ones that wait for a free place. A group of packages has no other
    /// files. Dropping the future takes no id out.
    pub(super) async fn next(
        &self,
        lane: Lane,
        limits: &GroupConfig,
        length: impl Fn(FileId) -> u64,
    ) -> Vec<FileId> {
        loop {
            let changed = self.changed_in(lane).notified();
            let next_due = {
                let mut queue = self.queue();
                let now = self.now();
                let taken = match lane {
                    Lane::Packages => queue.take_packages(now, limits, &length),
                    Lane::Files => queue.take(now, limits, &length),
                };
                if !taken.is_empty() {
                    return taken;
                }
                queue
                    .of(lane)
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
        let (again, flight) = {
            let mut queue = self.queue();
            let flight = queue.in_flight.remove(&id).unwrap_or(Flight::Small);
            queue.large_in_flight -= usize::from(flight == Flight::Large);
            queue.check();
            (queue.again.remove(&id).or(again), flight)
        };
        if let Some(due) = again {
            self.push(id, flight.lane(), due);
        } else if flight == Flight::Large {
            // Its place is free for another.
            self.changed.notify_one();
        }
    }

    /// The time that the oldest due id has waited.
    pub(super) fn lateness(&self) -> Duration {
        let queue = self.queue();
        let first = [&queue.due, &queue.large, &queue.packages].map(BTreeSet::first);
        let due = first.into_iter().flatten().map(|(due, _)| due.0).min();
        let now = self.now().0;
        Duration::from_millis(due.map_or(0, |due| now.saturating_sub(due)))
    }

    /// The number of ids in work.
    pub(super) fn in_flight(&self) -> usize {
        self.queue().in_flight.len()
    }

    /// The number of ids that it knows; an id with two due times counts twice.
    pub(super) fn count(&self) -> u64 {
        let queue = self.queue();
        let waiting = queue.due.len() + queue.large.len() + queue.packages.len();
        let count = waiting + queue.in_flight.len();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// All ids that it knows.
    pub(super) fn ids(&self) -> HashSet<FileId> {
        let queue = self.queue();
        let waiting = queue.due.iter().chain(&queue.large).chain(&queue.packages);
        let waiting = waiting.map(|(_, id)| *id);
        waiting.chain(queue.in_flight.keys().copied()).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Checks that the count of large ids in flight agrees with the table of all ids in flight.
    fn check(&self) {
        let large = || {
            self.in_flight
                .values()
                .filter(|flight| **flight == Flight::Large)
                .count()
        };
        debug_assert_eq!(self.large_in_flight, large());
    }

    fn of(&mut self, lane: Lane) -> &mut BTreeSet<(UnixMillis, FileId)> {
        match lane {
            Lane::Packages => &mut self.packages,
            Lane::Files => &mut self.due,
        }
    }

    /// Takes out the packages that may go now.
    fn take_packages(
        &mut self,
        now: UnixMillis,
        limits: &GroupConfig,
        length: &impl Fn(FileId) -> u64,
    ) -> Vec<FileId> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(&(due, id)) = self.packages.first().filter(|(due, _)| *due <= now) {
            if self.in_flight.contains_key(&id) {
                self.packages.pop_first();
                self.again.insert(id, due);
                continue;
            }
            bytes += length(id);
            let is_full = group.len() == limits.entries.min(MOST_PACKAGES);
            if is_full || (bytes > limits.bytes && !group.is_empty()) {
                break;
            }
            self.packages.pop_first();
            self.in_flight.insert(id, Flight::Package);
            group.push(id);
        }
        group
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
            self.in_flight.insert(id, Flight::Small);
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
        self.in_flight.insert(id, Flight::Large);
        self.large_in_flight += 1;
        self.check();
        Some(id)
    }
}

#[cfg(test)]
mod tests;
