//! What has to be done, and when: ids in order of the time at which they are due.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::GroupConfig;
use crate::file::{EvenClock, FileId, UnixMillis};

/// The committer's queue. It never hands out an id that is already in flight. All times are those of
/// its own clock, so a change of the system's clock makes no entry wait longer or come earlier.
#[derive(Debug, Default)]
pub struct Backlog {
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
    pub fn push_now(&self, id: FileId) {
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
    pub fn in_flight(&self) -> usize {
        self.queue().in_flight.len()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
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
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use futures::FutureExt as _;

    use super::*;

    const LIMITS: GroupConfig = GroupConfig {
        small_bytes: 100,
        entries: 3,
        bytes: 200,
        large: 1,
    };

    fn id(byte: u8) -> FileId {
        FileId::from_bytes([byte; 12])
    }

    /// Ids up to 99 stand for small entries of ten bytes, higher ids for large ones.
    fn length(id: FileId) -> u64 {
        match id.bytes()[0] {
            small @ ..100 => u64::from(small).min(10),
            large => u64::from(large) * 10,
        }
    }

    fn push(backlog: &Backlog, due: &[u8]) {
        for &byte in due {
            backlog.push(id(byte), UnixMillis(0));
        }
    }

    /// The ids that are handed out now; empty if none is due.
    fn next(backlog: &Backlog) -> Vec<u8> {
        let taken = backlog.next(&LIMITS, length).now_or_never();
        let ids = taken.into_iter().flatten();
        ids.map(|id| id.bytes()[0]).collect()
    }

    #[tokio::test]
    async fn ids_come_in_order_of_their_time_and_not_before_it() {
        let backlog = Backlog::default();
        backlog.push(id(110), UnixMillis(2));
        backlog.push(id(2), UnixMillis(3));
        backlog.push(id(1), UnixMillis(1));
        backlog.push(id(3), UnixMillis(u64::MAX));
        assert_eq!(next(&backlog), [1, 2], "a group goes past a large one");
        assert_eq!(next(&backlog), [110]);
        assert!(next(&backlog).is_empty());
        assert_eq!(backlog.in_flight(), 3);
    }

    #[test]
    fn a_group_has_as_many_entries_and_bytes_as_it_may() {
        let backlog = Backlog::default();
        push(&backlog, &[1, 2, 3, 4, 5]);
        assert_eq!(next(&backlog), [1, 2, 3]);
        assert_eq!(next(&backlog), [4, 5]);
        let limits = GroupConfig {
            bytes: 15,
            ..LIMITS
        };
        push(&backlog, &[20, 21, 22]);
        let taken = || backlog.next(&limits, length).now_or_never().unwrap();
        assert_eq!(taken(), [id(20)], "two are twenty bytes");
        assert_eq!(taken(), [id(21)]);
    }

    #[test]
    fn large_ones_go_alone_and_wait_for_each_other_but_hold_no_small_one_up() {
        let backlog = Backlog::default();
        push(&backlog, &[1, 100, 101]);
        backlog.push(id(2), UnixMillis(1));
        assert_eq!(next(&backlog), [1, 2]);
        assert_eq!(next(&backlog), [100]);
        assert!(next(&backlog).is_empty());
        push(&backlog, &[3]);
        assert_eq!(next(&backlog), [3]);
        backlog.finish(id(100), None);
        assert_eq!(next(&backlog), [101]);
        backlog.finish(id(101), Some(UnixMillis(0)));
        assert_eq!(next(&backlog), [101]);
    }

    #[test]
    fn a_large_one_that_is_due_longer_goes_before_small_ones() {
        let backlog = Backlog::default();
        push(&backlog, &[100, 101]);
        assert_eq!(next(&backlog), [100]);
        backlog.push(id(1), UnixMillis(1));
        backlog.finish(id(100), None);
        assert_eq!(next(&backlog), [101]);
        assert_eq!(next(&backlog), [1]);
    }

    #[test]
    fn an_id_in_flight_is_handed_out_again_only_when_it_has_ended() {
        let backlog = Backlog::default();
        push(&backlog, &[1]);
        assert_eq!(next(&backlog), [1]);
        push(&backlog, &[1]);
        assert!(next(&backlog).is_empty());
        backlog.finish(id(1), None);
        assert_eq!(next(&backlog), [1]);
        backlog.finish(id(1), None);
        assert!(next(&backlog).is_empty());
    }

    #[test]
    fn an_id_that_is_due_at_two_times_is_not_handed_out_twice_at_once() {
        let backlog = Backlog::default();
        for byte in [1, 100] {
            for due in [0, 1] {
                backlog.push(id(byte), UnixMillis(due));
            }
            assert_eq!(next(&backlog), [byte]);
            assert!(next(&backlog).is_empty());
            backlog.finish(id(byte), None);
            assert_eq!(next(&backlog), [byte]);
            backlog.finish(id(byte), None);
            assert!(next(&backlog).is_empty());
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_delays_nothing_and_brings_nothing_early() {
        let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
        let now = SystemTime::now();
        // As if the system's clock had been set back, or forward, since this one began.
        for began_at in [now + 3 * hour, now - 40 * day] {
            let backlog = Backlog {
                clock: EvenClock::begin_at(began_at),
                ..Backlog::default()
            };
            backlog.push_now(id(1));
            backlog.push(id(2), backlog.after(hour));
            assert_eq!(next(&backlog), [1]);
            assert!(next(&backlog).is_empty());
            assert!(backlog.lateness() < hour);
            backlog.push_found(id(3), Some(Duration::ZERO), hour);
            backlog.push_found(id(4), None, hour);
            backlog.push_found(id(5), Some(3 * hour), Duration::ZERO);
            backlog.push_found(id(6), Some(3 * hour), hour);
            let mut found = next(&backlog);
            found.sort_unstable();
            assert_eq!(found, [3, 4, 5]);
            assert!(next(&backlog).is_empty());
        }
    }

    /// A task that waits because nothing is due.
    async fn waiting_taker(backlog: &Arc<Backlog>) -> tokio::task::JoinHandle<Vec<FileId>> {
        let backlog = Arc::clone(backlog);
        let taker = tokio::spawn(async move { backlog.next(&LIMITS, length).await });
        tokio::task::yield_now().await;
        taker
    }

    #[tokio::test]
    async fn a_waiting_taker_learns_of_a_new_id() {
        let backlog = Arc::default();
        let taker = waiting_taker(&backlog).await;
        push(&backlog, &[1]);
        assert_eq!(taker.await.unwrap(), [id(1)]);
    }

    #[tokio::test]
    async fn a_waiting_taker_learns_that_a_large_one_has_ended() {
        let backlog = Arc::default();
        push(&backlog, &[100, 101]);
        assert_eq!(next(&backlog), [100]);
        let taker = waiting_taker(&backlog).await;
        backlog.finish(id(100), None);
        assert_eq!(taker.await.unwrap(), [id(101)]);
    }
}
