//! What memory knows, behind one lock, and those who wait for a change of it.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::super::Busy;
use super::super::index::{Index, Place, Ticket, Totals};
use super::super::wal::{AppendError, Position};
use crate::file::FileId;

/// Shared with those who are told when no thread waits.
#[derive(Debug, Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) index: Index,
    /// Uploads that are being adopted: they count against the marks before they are decided.
    pub(super) reserved: Totals,
    /// When the store was first cleared of entries that are deleted.
    pub(super) cleared: HashMap<FileId, Instant>,
    /// How many threads wait for a change.
    waiting: usize,
}

impl State {
    pub(super) fn new(index: Index) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }
}

impl Memory {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::default(),
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
    /// is told.
    pub(super) fn note(&self, ticket: Ticket, outcome: &Result<Position, AppendError>) {
        let mut state = self.lock();
        let landed = outcome.as_ref().ok().and_then(|position| {
            let place = Place::new(position.number, position.place)?;
            Some((position.generation, place))
        });
        match landed {
            Some((generation, place)) => state.index.synced(ticket, generation, place),
            None => state.index.failed(ticket),
        }
        self.wake(state);
    }
}
