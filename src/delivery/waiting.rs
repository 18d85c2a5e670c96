//! Receivers that wait for messages. One question asks for all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::message::{Cursor, Party};
use crate::store::News;

/// The most requests that wait for one receiver. A person has fewer devices, and no receiver takes
/// the room of all others.
const MOST_OF_ONE: usize = 16;

/// All waiting receivers.
#[derive(Debug)]
pub(super) struct Waiters {
    most: usize,
    state: Mutex<State>,
    /// Signals that the first receiver waits.
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiter>,
    /// The number of waits of each receiver.
    counts: HashMap<Party, usize>,
    last: u64,
    is_over: bool,
}

#[derive(Debug)]
struct Waiter {
    receiver: Party,
    /// The place up to which nothing is new.
    seen: Cursor,
    wake: oneshot::Sender<()>,
}

/// The reason why there is no room for one more wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// As many wait as may.
    OfAll,
    /// As many wait for this receiver as may.
    OfReceiver,
}

/// The reason why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// New messages may have come.
    ByNews,
    /// All waits end, because this process stops.
    ByEnd,
}

/// One waiting receiver, until this is dropped.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    waiters: &'a Waiters,
    number: u64,
    news: Option<oneshot::Receiver<()>>,
}

impl Waiters {
    /// Makes room for `most` waiting receivers.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::default(),
            came: Notify::new(),
        }
    }

    /// Begins to wait for messages to a receiver behind a cursor.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(super) fn begin(&self, receiver: &Party, after: Cursor) -> Result<Wait<'_>, NoRoom> {
        let mut state = self.state();
        if state.is_over {
            return Ok(Wait {
                waiters: self,
                number: 0,
                news: None,
            });
        }
        if state.waiting.len() >= self.most {
            return Err(NoRoom::OfAll);
        }
        let of_receiver = state.counts.entry(receiver.clone()).or_default();
        if *of_receiver >= MOST_OF_ONE {
            return Err(NoRoom::OfReceiver);
        }
        *of_receiver += 1;
        state.last += 1;
        let number = state.last;
        let (wake, news) = oneshot::channel();
        let waiter = Waiter {
            receiver: receiver.clone(),
            seen: after,
            wake,
        };
        state.waiting.insert(number, waiter);
        drop(state);
        self.came.notify_one();
        Ok(Wait {
            waiters: self,
            number,
            news: Some(news),
        })
    }

    /// Waits until any receiver waits.
    pub(super) async fn until_any(&self) {
        loop {
            let came = self.came.notified();
            if self.count() > 0 {
                return;
            }
            came.await;
        }
    }

    /// Returns how many receivers wait.
    pub(super) fn count(&self) -> usize {
        self.state().waiting.len()
    }

    /// Returns all waiting receivers, each once, and a place up to which nothing is new for any of
    /// them.
    pub(super) fn all(&self) -> (Vec<Party>, Cursor) {
        let state = self.state();
        let waiters = state.waiting.values();
        let after = waiters.clone().map(|waiter| waiter.seen).min();
        let mut receivers: Vec<_> = waiters.map(|waiter| waiter.receiver.clone()).collect();
        receivers.sort();
        receivers.dedup();
        (receivers, after.unwrap_or_default())
    }

    /// Wakes the receivers with news. The question asked for `receivers`, from `after` on.
    pub(super) fn tell(&self, receivers: &[Party], after: Cursor, news: &News) {
        let of = news
            .of
            .iter()
            .filter_map(|&(place, last)| Some((receivers.get(place)?, last)));
        let of: HashMap<_, _> = of.collect();
        let mut state = self.state();
        let mut woken = Vec::new();
        for (&number, waiter) in &mut state.waiting {
            match of.get(&waiter.receiver) {
                Some(&last) if last > waiter.seen => woken.push(number),
                // The question did not include this waiter, or not from its place on.
                None if receivers.binary_search(&waiter.receiver).is_err() => {}
                _ if waiter.seen < after => {}
                _ => waiter.seen = waiter.seen.max(news.until),
            }
        }
        for number in woken {
            let waiter = state.remove(number);
            // A waiter that has gone away is not told.
            waiter.map_or(Ok(()), |waiter| waiter.wake.send(())).ok();
        }
    }

    /// Ends all waits, now and from now on.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        state.waiting.clear();
        state.counts.clear();
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&number)?;
        if let Some(count) = self.counts.get_mut(&waiter.receiver) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&waiter.receiver);
            }
        }
        Some(waiter)
    }
}

impl Wait<'_> {
    /// Waits until something has come, or all waits end.
    pub(super) async fn woken(mut self) -> Woken {
        let Some(news) = self.news.take() else {
            return Woken::ByEnd;
        };
        match news.await {
            Ok(()) => Woken::ByNews,
            Err(_) => Woken::ByEnd,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waiters.state().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn party(name: &str) -> Party {
        Party::try_from(name.to_owned()).unwrap()
    }

    fn news(of: &[(usize, u64)], until: u64) -> News {
        let of = of.iter().map(|&(place, last)| (place, Cursor(last)));
        News {
            of: of.collect(),
            until: Cursor(until),
        }
    }

    #[test]
    fn whoever_has_news_is_woken_and_all_others_wait_on() {
        let waiters = Waiters::new(3);
        let [bob, eve] = ["bob", "eve"].map(party);
        assert!(waiters.until_any().now_or_never().is_none());
        let mut early = Box::pin(waiters.begin(&bob, Cursor(5)).unwrap().woken());
        let mut late = Box::pin(waiters.begin(&bob, Cursor(9)).unwrap().woken());
        let mut other = Box::pin(waiters.begin(&eve, Cursor(7)).unwrap().woken());
        assert_eq!(waiters.begin(&eve, Cursor(1)).err(), Some(NoRoom::OfAll));
        assert!(waiters.until_any().now_or_never().is_some());
        let (receivers, after) = waiters.all();
        assert_eq!(
            (receivers.as_slice(), after),
            (&[bob.clone(), eve][..], Cursor(5))
        );
        waiters.tell(&receivers, after, &news(&[(0, 8)], 10));
        assert_eq!(early.as_mut().now_or_never(), Some(Woken::ByNews));
        assert_eq!(late.as_mut().now_or_never(), None);
        assert_eq!(other.as_mut().now_or_never(), None);
        assert_eq!(waiters.all(), (receivers, Cursor(10)));
        // The answer to an earlier question tells a later waiter nothing.
        drop(other);
        let zoe = party("zoe");
        let mut newest = Box::pin(waiters.begin(&zoe, Cursor(2)).unwrap().woken());
        waiters.tell(std::slice::from_ref(&bob), Cursor(9), &news(&[], 12));
        assert_eq!(waiters.all().1, Cursor(2));
        let mut slow = Box::pin(waiters.begin(&bob, Cursor(4)).unwrap().woken());
        waiters.tell(&[bob, zoe.clone()], Cursor(5), &news(&[], 12));
        assert_eq!(waiters.all().1, Cursor(2), "4 and 5 were not asked for");
        assert_eq!(slow.as_mut().now_or_never(), None);
        drop(slow);
        assert_eq!(waiters.count(), 2, "one who goes away is forgotten");
        waiters.end();
        for wait in [&mut late, &mut newest] {
            assert_eq!(wait.as_mut().now_or_never(), Some(Woken::ByEnd));
        }
        let after_the_end = waiters.begin(&zoe, Cursor(2)).unwrap().woken();
        assert_eq!(after_the_end.now_or_never(), Some(Woken::ByEnd));
    }

    #[test]
    fn no_receiver_takes_the_room_of_all_others() {
        let waiters = Waiters::new(3 * MOST_OF_ONE);
        let [bob, eve] = ["bob", "eve"].map(party);
        let begin = |receiver: &Party| waiters.begin(receiver, Cursor(1));
        let mut of_bob: Vec<_> = (0..MOST_OF_ONE).map(|_| begin(&bob).unwrap()).collect();
        assert_eq!(begin(&bob).err(), Some(NoRoom::OfReceiver));
        assert_eq!(begin(&bob).err(), Some(NoRoom::OfReceiver), "and again");
        let _of_eve = begin(&eve).unwrap();
        of_bob.pop();
        of_bob.push(begin(&bob).unwrap());
        waiters.tell(std::slice::from_ref(&bob), Cursor(0), &news(&[(0, 9)], 9));
        let woken: Vec<_> = (0..MOST_OF_ONE).map(|_| begin(&bob).unwrap()).collect();
        assert_eq!(begin(&bob).err(), Some(NoRoom::OfReceiver));
        drop((of_bob, woken));
        assert_eq!(waiters.state().counts.len(), 1, "only eve waits");
    }
}
