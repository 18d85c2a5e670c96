//! The memory of the journal, behind one lock, and those who wait for a change of it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::announce::{Announcer, ToAnnounce};
use super::idempotency::{Keys, Retained};
use super::index::{Index, Place, Ticket, Totals};
use super::record::{Answer, Answered, LogTime};
use super::wal::{AppendError, Position};
use crate::file::FileId;

/// The memory of the journal is in use just now: it can be read by those alone who may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What a frame says of keys.
#[derive(Debug)]
pub(super) enum News {
    /// These entries answer requests.
    Learn(Vec<(FileId, Answer)>),
    /// These answers stand in it.
    Retain(Vec<Answered>),
}

/// Shared with those who are told when no thread waits.
#[derive(Debug)]
pub(super) struct Memory {
    state: Mutex<State>,
    changed: Condvar,
    announcer: Announcer,
}

/// Something that somebody keeps for an entry; only its drop means anything.
pub(super) type Share = Box<dyn Any + Send>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    /// Uploads that are being adopted: they count against the marks before they are decided.
    pub(super) reserved: Totals,
    /// Which keys were answered, and where the answers are.
    pub(super) keys: Keys,
    /// What is kept as long as an entry is pending.
    pub(super) shares: HashMap<FileId, Share>,
    /// What is true of keys when a frame is synced.
    news: HashMap<Ticket, News>,
    /// When the store was first cleared of entries that are deleted.
    pub(super) cleared: HashMap<FileId, Instant>,
    /// How many threads wait for a change.
    waiting: usize,
}

impl State {
    pub(super) fn new(index: Index, keys: Keys) -> Self {
        Self {
            index,
            keys,
            reserved: Totals::default(),
            shares: HashMap::new(),
            news: HashMap::new(),
            cleared: HashMap::new(),
            waiting: 0,
        }
    }

    /// To be told while the lock is held in which the frame was queued.
    pub(super) fn expect(&mut self, ticket: Ticket, news: Option<News>) {
        self.news.extend(news.map(|news| (ticket, news)));
    }

    /// The first segment that is needed.
    pub(super) fn oldest(&self) -> u64 {
        let of_entries = self.index.oldest();
        let of_answers = self.keys.oldest();
        of_answers.map_or(of_entries, |oldest| oldest.min(of_entries))
    }

    fn learn(&mut self, news: News, at: Retained, bytes: u32) {
        match news {
            News::Learn(answers) => {
                for (id, answer) in answers {
                    // The answer itself tells the time.
                    self.keys.learn(id, &answer, LogTime(0));
                }
            }
            News::Retain(answers) => {
                let count = u32::try_from(answers.len()).unwrap_or(u32::MAX).max(1);
                for answered in &answers {
                    self.keys.retain(answered, at, bytes / count);
                }
            }
        }
    }
}

impl Memory {
    pub(super) fn new(state: State, announcer: Announcer) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::default(),
            announcer,
        }
    }

    /// A thread that panicked leaves it usable: each change is complete in itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same without waiting.
    pub(super) fn try_lock(&self) -> Result<MutexGuard<'_, State>, Busy> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Busy),
        }
    }

    /// How many threads wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Waits until something under way has ended. Whoever ends it calls [`Memory::wake`].
    pub(super) fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let woken = self.changed.wait(state);
        let mut state = woken.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// Lets those decide anew who wait.
    pub(super) fn wake(&self, state: MutexGuard<'_, State>) {
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.changed.notify_all();
        }
    }

    /// Notes the outcome of a frame: what it says is true now, or has never happened. Only then anybody
    /// is told. What is announced of it is announced when the result is dropped.
    pub(super) fn note(
        &self,
        ticket: Ticket,
        outcome: &Result<Position, AppendError>,
    ) -> ToAnnounce<'_> {
        // Before the lock, so that a panic drops it behind that.
        let mut to_announce = self.announcer.nothing();
        let mut state = self.lock();
        let landed = outcome.as_ref().ok().and_then(|position| {
            let place = Place::new(position.number, position.place)?;
            Some((position, place))
        });
        let news = state.news.remove(&ticket);
        // Dropped when the lock is given back.
        let mut given_back: Vec<Share> = Vec::new();
        match landed {
            Some((position, place)) => {
                let segment = position.generation;
                let synced = state.index.synced(ticket, segment, place);
                to_announce.set(synced.announcements);
                let left = synced.left.iter();
                given_back.extend(left.filter_map(|id| state.shares.remove(id)));
                if let Some(news) = news {
                    state.learn(news, Retained { segment, place }, position.bytes);
                }
            }
            None => state.index.failed(ticket),
        }
        self.wake(state);
        to_announce
    }
}
