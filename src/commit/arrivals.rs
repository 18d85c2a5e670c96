//! Who waits until an entry is committed, and the word that it is.
//!
//! Nothing is asked again and again, and nothing stands still: one that waits is a future.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::file::FileId;
use crate::journal::Standing;

/// Everybody who waits. Shared by reference.
#[derive(Debug, Default)]
pub struct Arrivals {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<FileId, Vec<oneshot::Sender<Standing>>>,
    is_closed: bool,
}

/// One that waits for one entry. Dropping it ends that.
#[derive(Debug)]
pub struct Arrival {
    arrivals: Arc<Arrivals>,
    id: FileId,
    word: oneshot::Receiver<Standing>,
}

impl Arrivals {
    /// Waits from now on. Whoever does must look after this whether there is anything to wait for.
    pub fn wait_for(self: &Arc<Self>, id: FileId) -> Arrival {
        let (tell, word) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.is_closed {
            waiting.by_id.entry(id).or_default().push(tell);
        }
        drop(waiting);
        Arrival {
            arrivals: Arc::clone(self),
            id,
            word,
        }
    }

    /// Tells all who wait for an entry what became of it.
    pub fn report(&self, id: FileId, standing: Standing) {
        let told = self.waiting().by_id.remove(&id);
        for tell in told.into_iter().flatten() {
            // Whoever went away meanwhile needs no word.
            tell.send(standing).unwrap_or_default();
        }
    }

    /// Ends all waiting, now and from now on.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        waiting.by_id.clear();
    }

    /// How many wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting().by_id.values().map(Vec::len).sum()
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// Waits for the word; `None` if all waiting is ended. Dropping the future loses nothing.
    pub async fn word(&mut self) -> Option<Standing> {
        (&mut self.word).await.ok()
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.word.close();
        let mut waiting = self.arrivals.waiting();
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
        let arrivals = Arc::new(Arrivals::default());
        let mut waiting = [1, 1, 2].map(|byte| arrivals.wait_for(id(byte)));
        assert_eq!(arrivals.waiting_count(), 3);
        arrivals.report(id(1), Standing::Committed);
        let told = waiting.each_mut().map(|one| one.word().now_or_never());
        let committed = Some(Some(Standing::Committed));
        assert_eq!(told, [committed, committed, None]);
        assert_eq!(arrivals.waiting_count(), 1);
    }

    #[test]
    fn who_goes_away_is_forgotten_and_others_still_wait() {
        let arrivals = Arc::new(Arrivals::default());
        let [gone, mut stays] = [1, 1].map(|byte| arrivals.wait_for(id(byte)));
        drop(gone);
        assert_eq!(arrivals.waiting_count(), 1);
        assert_eq!(stays.word().now_or_never(), None);
        arrivals.report(id(1), Standing::Deleted);
        assert_eq!(stays.word().now_or_never(), Some(Some(Standing::Deleted)));
        drop(stays);
        assert!(arrivals.waiting().by_id.is_empty());
    }

    #[test]
    fn an_end_of_all_waiting_holds_for_those_who_come_later() {
        let arrivals = Arc::new(Arrivals::default());
        let mut before = arrivals.wait_for(id(1));
        arrivals.close();
        let mut after = arrivals.wait_for(id(1));
        for one in [&mut before, &mut after] {
            assert_eq!(one.word().now_or_never(), Some(None));
        }
        assert_eq!(arrivals.waiting_count(), 0);
    }
}
