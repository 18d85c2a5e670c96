//! Receivers with full lists: the most messages that may wait for a receiver wait already.
//!
//! A message must not wait for a count, so this uses the last known count and the messages that
//! this node has taken since. A receiver without a count has room, and is counted soon.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::message::{Party, Receivers};

/// The age at which a count is asked for again, and that age for a full list.
const FRESH: Duration = Duration::from_mins(1);
const FRESH_IF_FULL: Duration = Duration::from_secs(2);

/// The most receivers of one question.
const MOST_ASKED: usize = 200;

/// The most receivers that are remembered, in about 20 MiB. Others have room.
const MOST_KNOWN: usize = 100_000;

/// The known number of waiting messages of each receiver.
#[derive(Debug)]
pub(super) struct FullLists {
    /// The most messages that may wait for a receiver; 0 means no limit.
    most: u64,
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Party, Count>,
    to_ask: Vec<Party>,
}

#[derive(Debug, Default)]
struct Count {
    counted: u64,
    /// The messages that this node has taken since the count.
    since: u64,
    /// The moment of the count.
    at: Option<Instant>,
    is_asked: bool,
}

impl Count {
    fn is_fresh(&self, now: Instant, is_full: bool) -> bool {
        let lifetime = if is_full { FRESH_IF_FULL } else { FRESH };
        self.at.is_some_and(|at| now.duration_since(at) < lifetime)
    }
}

impl FullLists {
    /// Makes full lists of `most` messages for each receiver; 0 means no limit.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            state: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// Counts a message to these receivers. If one of them has a full list, it returns the first
    /// such receiver and counts nothing.
    pub(super) fn take(&self, receivers: &Receivers) -> Result<(), Party> {
        if self.most == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut state = self.state();
        let State { known, to_ask } = &mut *state;
        let mut full = None;
        for receiver in receivers.iter() {
            if known.len() >= MOST_KNOWN && !known.contains_key(receiver) {
                continue;
            }
            let count = known.entry(receiver.clone()).or_default();
            let is_full = count.counted + count.since >= self.most;
            if !count.is_asked && !count.is_fresh(now, is_full) {
                count.is_asked = true;
                to_ask.push(receiver.clone());
            }
            if is_full && full.is_none() {
                full = Some(receiver.clone());
            }
        }
        if full.is_none() {
            for receiver in receivers.iter() {
                if let Some(count) = known.get_mut(receiver) {
                    count.since += 1;
                }
            }
        }
        drop(state);
        self.asked.notify_one();
        full.map_or(Ok(()), Err)
    }

    /// Waits until some receivers need a count, and returns them.
    pub(super) async fn to_ask(&self) -> Vec<Party> {
        loop {
            let asked = self.asked.notified();
            {
                let mut state = self.state();
                if !state.to_ask.is_empty() {
                    let some = state.to_ask.len().min(MOST_ASKED);
                    return state.to_ask.drain(..some).collect();
                }
            }
            asked.await;
        }
    }

    /// Notes the counts of receivers, by their places in `receivers`; `None` if the question
    /// failed.
    pub(super) fn learn(&self, receivers: &[Party], counts: Option<&[(usize, u64)]>) {
        let counts: Option<HashMap<_, _>> = counts.map(|counts| counts.iter().copied().collect());
        let now = Instant::now();
        let mut state = self.state();
        for (place, receiver) in receivers.iter().enumerate() {
            let Some(count) = state.known.get_mut(receiver) else {
                continue;
            };
            count.is_asked = false;
            if let Some(counts) = &counts {
                count.counted = counts.get(&place).copied().unwrap_or_default();
                count.since = 0;
                count.at = Some(now);
            }
        }
        let is_old = |count: &Count| !count.is_asked && !count.is_fresh(now, false);
        state.known.retain(|_, count| !is_old(count));
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn receivers(names: &[&str]) -> Receivers {
        Receivers::read(names.iter().copied()).unwrap()
    }

    #[test]
    fn a_list_is_full_by_its_last_count_and_by_what_came_since() {
        let lists = FullLists::new(3);
        let [bob, both] = [receivers(&["bob"]), receivers(&["eve", "bob"])];
        let full = || Party::try_from("bob".to_owned()).unwrap();
        assert_eq!(lists.take(&bob), Ok(()), "nothing is known of it");
        let asked = lists.to_ask().now_or_never().unwrap();
        assert_eq!(asked, [full()]);
        assert!(lists.to_ask().now_or_never().is_none(), "it is asked once");
        lists.learn(&asked, Some(&[(0, 1)]));
        assert_eq!(lists.take(&bob), Ok(()));
        assert_eq!(lists.take(&both), Ok(()));
        for _ in 0..2 {
            assert_eq!(lists.take(&both), Err(full()));
            assert_eq!(lists.take(&receivers(&["eve"])), Ok(()), "others have room");
        }
        let asked = lists.to_ask().now_or_never().unwrap();
        assert_eq!(asked.len(), 1, "bob's count is fresh, eve is new");
        lists.learn(&asked, None);
        assert_eq!(lists.take(&both), Err(full()), "nobody tells of eve");
        lists.learn(&[full()], Some(&[]));
        assert_eq!(lists.take(&bob), Ok(()), "it was emptied");
        let unbounded = FullLists::new(0);
        assert!((0..9).all(|_| unbounded.take(&bob).is_ok()));
        assert!(unbounded.to_ask().now_or_never().is_none());
    }
}
