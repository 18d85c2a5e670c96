//! Receivers for whom as much waits as may.
//!
//! A message must not wait for a count, so the last one that is known decides, with what this node has taken since.
//! A receiver of whom nothing is known has room: that is asked for at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::message::{Party, Receivers};

/// A count is asked for again after this time, and of a full list after this one.
const FRESH: Duration = Duration::from_mins(1);
const FRESH_IF_FULL: Duration = Duration::from_secs(2);

/// Receivers that are asked for at once.
const MOST_ASKED: usize = 200;

/// Receivers that are remembered: about 20 MiB of them. Others have room.
const MOST_KNOWN: usize = 100_000;

/// How much waits for each receiver, as far as it is known.
#[derive(Debug)]
pub(super) struct FullLists {
    /// Messages that may wait for one; 0 for no limit.
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
    /// Messages that were taken since.
    since: u64,
    /// When it was counted.
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
    /// With room for so many messages of each receiver; 0 for no limit.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            state: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// The first of these receivers for whom too much waits; if there is none, a message to them counts.
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

    /// Waits for receivers that are to be asked for, some at once.
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

    /// Learns the counts of receivers that were asked for, by their places; `None` if nobody tells.
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
