//! The journal's memory behind one lock, and the threads that wait for it to change.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::announce::{Announcement, Announcer, ToAnnounce};
use super::idempotency::{Keys, Retained};
use super::index::{Index, Place, Ticket, Totals};
use super::record::{Answer, Answered, LogTime};
use super::wal::{AppendError, Position};
use crate::file::FileId;

/// The lock is taken at this moment, or the entry is an upload that may still grow. A caller that may
/// block can ask in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// The effect of a frame on idempotency keys.
#[derive(Debug)]
pub(super) enum News {
    /// These entries answer requests.
    Learn(Vec<(FileId, Answer)>),
    /// These answers are in it.
    Retain(Vec<Answered>),
    /// These votes, or answers of other nodes, are in it. They are learned with it.
    Bring(Vec<Answered>),
}

/// Shared with the waiters that have no thread.
#[derive(Debug)]
pub(super) struct Memory {
    state: Mutex<State>,
    changed: Condvar,
    announcer: Announcer,
}

/// The values that are kept for an entry; only their drop has an effect.
pub(super) type Share = Vec<Box<dyn Any + Send>>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    /// Uploads that are being adopted: they count against the watermarks before they are decided.
    pub(super) reserved: Totals,
    /// The answered keys, and the places of the answers.
    pub(super) keys: Keys,
    /// Values that are kept while an entry is pending.
    pub(super) shares: HashMap<FileId, Share>,
    /// The effects on keys of frames that are not synced yet.
    news: HashMap<Ticket, News>,
    /// When the store was first cleared of each deleted entry.
    pub(super) cleared: HashMap<FileId, Instant>,
    /// The number of waiting threads.
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

    /// Must be called under the same lock under which the frame was queued.
    pub(super) fn expect(&mut self, ticket: Ticket, news: Option<News>) {
        self.news.extend(news.map(|news| (ticket, news)));
    }

    /// The first segment that is still needed.
    pub(super) fn oldest(&self) -> u64 {
        let of_entries = self.index.oldest();
        let of_answers = self.keys.oldest();
        of_answers.map_or(of_entries, |oldest| oldest.min(of_entries))
    }

    /// The bases and the answers in a segment that are still needed.
    pub(super) fn living_in(&self, segment: u64) -> u64 {
        self.index.bases_in(segment) + self.keys.retained_in(segment)
    }

    fn learn(&mut self, news: News, at: Retained, bytes: u32) {
        match news {
            News::Learn(answers) => {
                for (id, answer) in answers {
                    // The answer itself contains its time.
                    self.keys.learn(id, &answer, LogTime(0));
                }
            }
            News::Retain(answers) => {
                let count = u32::try_from(answers.len()).unwrap_or(u32::MAX).max(1);
                for answered in &answers {
                    self.keys.retain(answered, at, bytes / count);
                }
            }
            News::Bring(brought) => self.keys.replay(&brought, at, bytes, LogTime(0)),
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

    /// Takes the lock. A panic under it does no harm: each change is complete in itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock if it is free.
    pub(super) fn try_lock(&self) -> Result<MutexGuard<'_, State>, Busy> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Busy),
        }
    }

    /// The number of waiting threads.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Waits until any step ends. The thread that ends it calls [`Memory::wake`].
    pub(super) fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let woken = self.changed.wait(state);
        let mut state = woken.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// Wakes the waiting threads, which then decide anew.
    pub(super) fn wake(&self, state: MutexGuard<'_, State>) {
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.changed.notify_all();
        }
    }

    /// Announces what no frame brings. It must not be called while the index is locked.
    pub(super) fn announce(&self, announcement: Announcement) {
        let mut to_announce = self.announcer.nothing();
        to_announce.set(vec![announcement]);
    }

    /// Records the outcome of a frame: its content is true from now on, or never happened. Callers are
    /// told only after this. Dropping the result announces the work that follows.
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
        // They are dropped after the lock is released.
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
