//! Results of recent lookups, bounded in age and in bytes. A forgotten result never comes back.
//!
//! All entries live equally long, so they leave in the order in which they came: a queue does the job
//! as well as an LRU cache.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that an entry takes beside its texts, roughly.
const ENTRY_BYTES: usize = 400;

/// Answers of lookups, by what was asked for.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    lifetime: Duration,
    max_bytes: usize,
    held: Mutex<Held<K, V>>,
}

/// Taken before a lookup begins: the time of the question, and how often anything was forgotten until
/// then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    begun: Instant,
    forgotten: u64,
}

#[derive(Debug)]
struct Held<K, V> {
    entries: HashMap<K, (Instant, V)>,
    /// In the order of arrival, with their sizes. An entry that was replaced or forgotten stays in
    /// here, and counts, until it is the oldest.
    order: VecDeque<(K, Instant, usize)>,
    bytes: usize,
    /// The number of times that anything was forgotten.
    forgotten: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps answers this long, and this many bytes of them.
    pub(super) fn new(lifetime: Duration, max_bytes: usize) -> Self {
        Self {
            lifetime,
            max_bytes,
            held: Mutex::new(Held {
                entries: HashMap::new(),
                order: VecDeque::new(),
                bytes: 0,
                forgotten: 0,
            }),
        }
    }

    /// A result that is young enough.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.get_aged(key).map(|(value, _)| value)
    }

    /// A result that is young enough, and whether half of its lifetime is over.
    pub(super) fn get_aged(&self, key: &K) -> Option<(V, bool)> {
        let held = self.held();
        let (begun, value) = held.entries.get(key)?;
        let age = begun.elapsed();
        (age < self.lifetime).then(|| (value.clone(), age > self.lifetime / 2))
    }

    /// A ticket, to be taken before a lookup begins.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket {
            begun: Instant::now(),
            forgotten: self.held().forgotten,
        }
    }

    /// Keeps the result of a lookup, with the bytes of its texts. If anything was forgotten since the
    /// lookup began, the result may be outdated and is not kept.
    pub(super) fn put(&self, ticket: Ticket, key: &K, value: V, text_bytes: usize) {
        let mut held = self.held();
        if held.forgotten != ticket.forgotten {
            return;
        }
        let size = ENTRY_BYTES + text_bytes;
        held.entries.insert(key.clone(), (ticket.begun, value));
        held.order.push_back((key.clone(), ticket.begun, size));
        held.bytes += size;
        while let Some((_, begun, _)) = held.order.front()
            && (held.bytes > self.max_bytes || begun.elapsed() >= self.lifetime)
        {
            held.drop_oldest();
        }
    }

    /// Forgets a result, and the results of all running lookups.
    pub(super) fn forget(&self, key: &K) {
        let mut held = self.held();
        held.forgotten += 1;
        held.entries.remove(key);
    }

    /// Forgets all results, and those of all running lookups.
    pub(super) fn forget_all(&self) {
        let mut held = self.held();
        held.forgotten += 1;
        held.entries.clear();
        held.order.clear();
        held.bytes = 0;
    }

    /// A thread that panicked under the lock at worst made an entry leave too early.
    fn held(&self) -> MutexGuard<'_, Held<K, V>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Held<K, V> {
    fn drop_oldest(&mut self) {
        if let Some((key, begun, size)) = self.order.pop_front() {
            debug_assert!(self.bytes >= size, "{size} bytes go, of {}", self.bytes);
            self.bytes = self.bytes.saturating_sub(size);
            if self.entries.get(&key).is_some_and(|entry| entry.0 == begun) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
impl<K: Eq + Hash, V> Recent<K, V> {
    /// Makes a result this much older.
    pub(super) fn age(&self, key: &K, by: Duration) {
        let mut held = self.held.lock().unwrap();
        let begun = &mut held.entries.get_mut(key).unwrap().0;
        *begun = begun.checked_sub(by).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    /// Room for this many entries without texts.
    fn recent(lifetime: Duration, entries: usize) -> Recent<u32, &'static str> {
        Recent::new(lifetime, entries * ENTRY_BYTES)
    }

    #[test]
    fn an_answer_is_kept_for_its_lifetime_and_no_longer() {
        let kept = recent(LONG, 10);
        kept.put(kept.ticket(), &1, "a", 0);
        assert_eq!(kept.get(&1), Some("a"));
        assert_eq!(kept.get(&2), None);
        kept.age(&1, LONG);
        assert_eq!(kept.get(&1), None);
        let expired = recent(Duration::ZERO, 10);
        expired.put(expired.ticket(), &1, "a", 0);
        assert_eq!(expired.get(&1), None);
        assert_eq!(expired.held().order.len(), 0);
    }

    #[test]
    fn an_answer_is_known_to_be_aging_in_the_second_half_of_its_time() {
        let kept = recent(LONG, 10);
        kept.put(kept.ticket(), &1, "a", 0);
        assert_eq!(kept.get_aged(&1), Some(("a", false)));
        kept.age(&1, LONG * 2 / 5);
        assert_eq!(kept.get_aged(&1), Some(("a", false)));
        kept.age(&1, LONG / 5);
        assert_eq!(kept.get_aged(&1), Some(("a", true)));
        kept.age(&1, LONG / 2);
        assert_eq!(kept.get_aged(&1), None);
    }

    #[test]
    fn age_counts_from_the_beginning_of_a_lookup() {
        let kept = recent(LONG, 10);
        let late = Ticket {
            begun: Instant::now().checked_sub(LONG).unwrap(),
            ..kept.ticket()
        };
        kept.put(late, &1, "a", 0);
        assert_eq!(kept.get(&1), None);
    }

    #[test]
    fn the_oldest_leave_when_there_are_too_many_or_their_texts_are_too_long() {
        let kept = recent(LONG, 3);
        for key in 0..10 {
            kept.put(kept.ticket(), &key, "a", 0);
            // An entry leaves although it was asked for again and again: it would soon be too old.
            kept.get(&0);
        }
        let here: Vec<_> = (0..10).filter(|key| kept.get(key).is_some()).collect();
        assert_eq!(here, [7, 8, 9]);
        kept.put(kept.ticket(), &10, "a", ENTRY_BYTES);
        let here: Vec<_> = (0..11).filter(|key| kept.get(key).is_some()).collect();
        assert_eq!(here, [9, 10]);
        kept.put(
            kept.ticket(),
            &11,
            "too long for all the room",
            4 * ENTRY_BYTES,
        );
        assert_eq!(kept.get(&11), None);
        assert_eq!(kept.held().bytes, 0);
    }

    #[test]
    fn what_is_put_again_and_again_or_forgotten_takes_no_more_room() {
        let kept = recent(LONG, 3);
        for _ in 0..10 {
            kept.put(kept.ticket(), &1, "a", 0);
            kept.forget(&2);
            kept.put(kept.ticket(), &2, "b", 0);
        }
        assert!(kept.held().order.len() <= 3);
        assert_eq!(kept.held().entries.len(), 2);
        assert_eq!((kept.get(&1), kept.get(&2)), (Some("a"), Some("b")));
    }

    #[test]
    fn a_lookup_that_began_before_something_was_forgotten_does_not_bring_it_back() {
        for forget in [|kept: &Recent<u32, _>| kept.forget(&1), Recent::forget_all] {
            let kept = recent(LONG, 10);
            kept.put(kept.ticket(), &1, "a", 0);
            let before = kept.ticket();
            forget(&kept);
            assert_eq!(kept.get(&1), None);
            kept.put(before, &1, "a", 0);
            assert_eq!(kept.get(&1), None);
            kept.put(kept.ticket(), &1, "new", 0);
            assert_eq!(kept.get(&1), Some("new"));
        }
    }
}
