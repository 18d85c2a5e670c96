//! The clients that wait until an entry is committed.
//!
//! Nothing is polled and no thread is blocked: a waiter is a future.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::file::FileId;
use crate::journal::Standing;

/// All waiters. Shared by reference.
#[derive(Debug, Default)]
pub(super) struct CommitWaiters {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<FileId, Vec<oneshot::Sender<Standing>>>,
    is_closed: bool,
}

/// One waiter for one entry. Dropping it ends the wait.
#[derive(Debug)]
pub struct CommitWait {
    waiters: Arc<CommitWaiters>,
    id: FileId,
    outcome: oneshot::Receiver<Standing>,
}

impl CommitWaiters {
    /// Waits from now on. After this call the caller must check whether the entry is still pending.
    pub(super) fn wait_for(self: &Arc<Self>, id: FileId) -> CommitWait {
        let (tell, outcome) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.is_closed {
            waiting.by_id.entry(id).or_default().push(tell);
        }
        drop(waiting);
        CommitWait {
            waiters: Arc::clone(self),
            id,
            outcome,
        }
    }

    /// Ends the waits for an entry with its standing.
    pub(super) fn complete(&self, id: FileId, standing: Standing) {
        let completed = self.waiting().by_id.remove(&id);
        for tell in completed.into_iter().flatten() {
            // The waiter may have gone meanwhile.
            tell.send(standing).unwrap_or_default();
        }
    }

    /// Ends all waiting, now and from now on.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        waiting.by_id.clear();
    }

    /// The number of waiters.
    pub(super) fn count(&self) -> usize {
        self.waiting().by_id.values().map(Vec::len).sum()
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitWait {
    /// Waits until the entry is committed or deleted; `None` if all waiting was ended. Dropping the
    /// future loses nothing.
    pub async fn completed(&mut self) -> Option<Standing> {
        (&mut self.outcome).await.ok()
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        self.outcome.close();
        let mut waiting = self.waiters.waiting();
        if let Some(others) = waiting.by_id.get_mut(&self.id) {
            others.retain(|tell| !tell.is_closed());
            if others.is_empty() {
                waiting.by_id.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn id(byte: u8) -> FileId {
        FileId::from_bytes([byte; 12])
    }

    #[test]
    fn all_who_wait_for_an_entry_are_told_and_nobody_else() {
        let waiters = Arc::new(CommitWaiters::default());
        let mut waiting = [1, 1, 2].map(|byte| waiters.wait_for(id(byte)));
        assert_eq!(waiters.count(), 3);
        waiters.complete(id(1), Standing::Committed);
        let completed = waiting.each_mut().map(|one| one.completed().now_or_never());
        let committed = Some(Some(Standing::Committed));
        assert_eq!(completed, [committed, committed, None]);
        assert_eq!(waiters.count(), 1);
    }

    #[test]
    fn who_goes_away_is_forgotten_and_others_still_wait() {
        let waiters = Arc::new(CommitWaiters::default());
        let [gone, mut stays] = [1, 1].map(|byte| waiters.wait_for(id(byte)));
        drop(gone);
        assert_eq!(waiters.count(), 1);
        assert_eq!(stays.completed().now_or_never(), None);
        waiters.complete(id(1), Standing::Deleted);
        assert_eq!(
            stays.completed().now_or_never(),
            Some(Some(Standing::Deleted))
        );
        drop(stays);
        assert!(waiters.waiting().by_id.is_empty());
    }

    #[test]
    fn an_end_of_all_waiting_holds_for_those_who_come_later() {
        let waiters = Arc::new(CommitWaiters::default());
        let mut before = waiters.wait_for(id(1));
        waiters.close();
        let mut after = waiters.wait_for(id(1));
        for one in [&mut before, &mut after] {
            assert_eq!(one.completed().now_or_never(), Some(None));
        }
        assert_eq!(waiters.count(), 0);
    }
}
