//! What has to be done, and when: ids in order of the time at which they are due.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::file::{FileId, UnixMillis};

/// The committer's queue. No id is handed out twice at the same time.
#[derive(Debug, Default)]
pub struct Backlog {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(UnixMillis, FileId)>,
    in_flight: HashSet<FileId>,
    /// What was pushed for an id while it was in flight.
    again: HashMap<FileId, UnixMillis>,
}

impl Backlog {
    /// Adds an id. If it is in flight, it comes again when that ends.
    pub fn push(&self, id: FileId, due: UnixMillis) {
        {
            let mut queue = self.queue();
            if queue.in_flight.contains(&id) {
                queue.again.insert(id, due);
            } else {
                queue.due.insert((due, id));
            }
        }
        self.changed.notify_one();
    }

    /// Waits for an id that is due and hands it out, until [`Backlog::finish`]. Dropping the
    /// future takes nothing out.
    pub(super) async fn next(&self) -> FileId {
        loop {
            let changed = self.changed.notified();
            let wait = {
                let mut queue = self.queue();
                let now = UnixMillis::now();
                match queue.due.first().copied() {
                    Some((due, id)) if due <= now => {
                        queue.due.pop_first();
                        queue.in_flight.insert(id);
                        return id;
                    }
                    Some((due, _)) => Some(due.0 - now.0),
                    None => None,
                }
            };
            match wait {
                Some(millis) => {
                    let pause = std::time::Duration::from_millis(millis);
                    // Either way the queue is looked at again.
                    tokio::time::timeout(pause, changed).await.unwrap_or(());
                }
                None => changed.await,
            }
        }
    }

    /// Ends what [`Backlog::next`] began; with a time, the id comes again then.
    pub(super) fn finish(&self, id: FileId, again: Option<UnixMillis>) {
        let again = {
            let mut queue = self.queue();
            queue.in_flight.remove(&id);
            queue.again.remove(&id).or(again)
        };
        if let Some(due) = again {
            self.push(id, due);
        }
    }

    /// How many ids are being worked on.
    pub fn in_flight(&self) -> usize {
        self.queue().in_flight.len()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn id(byte: u8) -> FileId {
        FileId::from_bytes([byte; 12])
    }

    #[tokio::test]
    async fn ids_come_in_order_of_their_time_and_not_before_it() {
        let backlog = Backlog::default();
        backlog.push(id(2), UnixMillis(2));
        backlog.push(id(1), UnixMillis(1));
        backlog.push(id(3), UnixMillis(u64::MAX));
        assert_eq!(backlog.next().await, id(1));
        assert_eq!(backlog.next().await, id(2));
        assert_eq!(backlog.next().now_or_never(), None);
        assert_eq!(backlog.in_flight(), 2);
    }

    #[tokio::test]
    async fn an_id_in_flight_is_handed_out_again_only_when_it_has_ended() {
        let backlog = Backlog::default();
        backlog.push(id(1), UnixMillis(0));
        assert_eq!(backlog.next().await, id(1));
        backlog.push(id(1), UnixMillis(0));
        assert_eq!(backlog.next().now_or_never(), None);
        backlog.finish(id(1), None);
        assert_eq!(backlog.next().await, id(1));
        backlog.finish(id(1), None);
        assert_eq!(backlog.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_waiting_taker_learns_of_a_new_id() {
        let backlog = std::sync::Arc::new(Backlog::default());
        let taker = tokio::spawn({
            let backlog = std::sync::Arc::clone(&backlog);
            async move { backlog.next().await }
        });
        tokio::task::yield_now().await;
        backlog.push(id(1), UnixMillis(0));
        assert_eq!(taker.await.unwrap(), id(1));
    }
}
