//! The committer: takes what is due, writes it to the store, and settles what is proven.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Backlog, Health, Tally, backoff};
use crate::config::CommitConfig;
use crate::file::{FileId, UnixMillis};
use crate::journal::{Journal, JournalError, Settling, Work};
use crate::store::{Promised, Store, StoreError};

/// Everything that a commit needs. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    /// Where promises are.
    pub journal: Arc<Journal>,
    /// Where they go.
    pub store: Arc<dyn Store>,
    /// What is due.
    pub backlog: Arc<Backlog>,
    /// Whether the store answers.
    pub health: Health,
    /// What was done.
    pub tally: Arc<Tally>,
    /// How much at once, and how patiently.
    pub config: CommitConfig,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Committer").finish_non_exhaustive()
    }
}

/// How the work on one entry ended.
#[derive(Debug)]
enum Outcome {
    /// It is settled, erased, held or set aside: nothing is left to do.
    Done,
    /// It comes again at this time.
    Again(UnixMillis),
    /// The store is not available; the entry comes again when it is.
    Outage(String),
}

impl Committer {
    /// Works until it is told to stop, then waits for what is running, `grace` at most. A commit
    /// that is cut then, or by any other end, is taken up again at the next start.
    pub async fn run(self, stop: CancellationToken, grace: Duration) {
        for (id, due) in self.journal.work() {
            self.backlog.push(id, due);
        }
        let slots = Arc::new(Semaphore::new(self.config.entries));
        let running = TaskTracker::new();
        let cut = CancellationToken::new();
        stop.run_until_cancelled(async {
            loop {
                self.health.until_fit().await;
                // The semaphore is never closed.
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    return;
                };
                let id = self.backlog.next().await;
                let (committer, cut) = (self.clone(), cut.clone());
                running.spawn(async move {
                    cut.run_until_cancelled(committer.work_on(id)).await;
                    drop(slot);
                });
            }
        })
        .await;
        running.close();
        if tokio::time::timeout(grace, running.wait()).await.is_err() {
            log::info!("running commits are cut; they go on at the next start");
            cut.cancel();
            running.wait().await;
        }
    }

    /// Works on one entry, and puts it back if that did not end it.
    async fn work_on(&self, id: FileId) {
        let outcome = AssertUnwindSafe(self.attempt(id))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                log::error!("{id}: the attempt to commit panicked");
                Outcome::Again(self.later(u32::MAX))
            });
        match outcome {
            Outcome::Done => self.backlog.finish(id, None),
            Outcome::Again(due) => self.backlog.finish(id, Some(due)),
            Outcome::Outage(reason) => {
                self.tally.count_failure();
                self.health.report_outage(reason);
                self.backlog.finish(id, Some(UnixMillis::now()));
            }
        }
    }

    async fn attempt(&self, id: FileId) -> Outcome {
        match self.on_disk(move |journal| journal.open_work(id)).await {
            Ok(Work::Commit { promised, attempts }) => self.commit(promised, attempts).await,
            Ok(Work::Erase { is_begun }) => self.erase(id, is_begun).await,
            Ok(Work::Nothing) => Outcome::Done,
            Err(err) => self.unreadable(id, err).await,
        }
    }

    async fn commit(&self, promised: Promised, attempts: u32) -> Outcome {
        let (id, length) = (promised.id, promised.meta.length);
        match self.store.commit(promised).await {
            Ok(committed) => {
                match self
                    .on_disk(move |journal| journal.settle(&committed))
                    .await
                {
                    Ok(Settling::Settled) => {
                        self.tally.count_commit(length);
                        self.health.report_commit();
                        log::debug!("{id}: committed, {length} bytes");
                        Outcome::Done
                    }
                    Ok(Settling::Deleted) => self.erase(id, true).await,
                    Err(err) => self.put_off(id, &err),
                }
            }
            Err(StoreError::Unavailable(reason)) => Outcome::Outage(reason),
            Err(StoreError::Body(err)) if err.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.set_aside(id, "the body is shorter than its record says".to_owned())
                    .await
            }
            Err(err @ StoreError::Failed(_)) if attempts + 1 < self.config.attempts => {
                self.defer(id, attempts, &err).await
            }
            Err(
                err @ (StoreError::Failed(_)
                | StoreError::Refused(_)
                | StoreError::Body(_)
                | StoreError::Damaged(_)),
            ) => self.hold(id, &err).await,
        }
    }

    /// Ends a delete: clears the store of what a commit may have left, and then the journal.
    ///
    /// A write that timed out, or whose sidecar was killed, may still be carried out after the
    /// store was cleared. So such an entry stays deleted here for a while, and the store is cleared
    /// once more at its end. Of any other the store only has to answer: until it can say that there
    /// is no such file, the journal must.
    async fn erase(&self, id: FileId, is_begun: bool) -> Outcome {
        let answered = if is_begun {
            self.store.clear(id).await
        } else {
            self.store.ping().await
        };
        if let Err(err) = answered {
            return Outcome::Outage(err.to_string());
        }
        if is_begun {
            let watch = self.config.delete_watch;
            let left = watch.saturating_sub(self.journal.cleared_for(id));
            if !left.is_zero() {
                return Outcome::Again(UnixMillis::from_system_time(SystemTime::now() + left));
            }
        }
        match self.on_disk(move |journal| journal.erase(id)).await {
            Ok(()) => Outcome::Done,
            Err(err) => self.put_off(id, &err),
        }
    }

    async fn defer(&self, id: FileId, attempts: u32, err: &StoreError) -> Outcome {
        self.tally.count_failure();
        let (reason, due) = (err.to_string(), self.later(attempts + 1));
        log::warn!("{id}: {reason}; deferred");
        match self
            .on_disk(move |journal| journal.defer(id, &reason, due))
            .await
        {
            Ok(()) => Outcome::Again(due),
            // Deleted during the attempt: come again, to clear the store of it.
            Err(JournalError::Absent(_)) => Outcome::Again(UnixMillis::now()),
            Err(err) => self.put_off(id, &err),
        }
    }

    async fn hold(&self, id: FileId, err: &StoreError) -> Outcome {
        self.tally.count_failure();
        let reason = err.to_string();
        log::error!("{id}: {reason}; held for an admin");
        match self.on_disk(move |journal| journal.hold(id, &reason)).await {
            Ok(()) => Outcome::Done,
            // Deleted during the attempt: come again, to clear the store of it.
            Err(JournalError::Absent(_)) => Outcome::Again(UnixMillis::now()),
            Err(err) => self.put_off(id, &err),
        }
    }

    async fn unreadable(&self, id: FileId, err: JournalError) -> Outcome {
        match err {
            JournalError::Absent(_) => Outcome::Done,
            JournalError::Unreadable { reason, .. } => self.set_aside(id, reason).await,
            JournalError::Disk { .. } => self.put_off(id, &err),
        }
    }

    async fn set_aside(&self, id: FileId, reason: String) -> Outcome {
        self.tally.count_failure();
        match self
            .on_disk(move |journal| journal.set_aside(id, &reason))
            .await
        {
            Ok(()) => Outcome::Done,
            Err(err) => self.put_off(id, &err),
        }
    }

    /// The journal's disk failed: the entry stays where it is, and is tried again much later.
    fn put_off(&self, id: FileId, err: &JournalError) -> Outcome {
        self.tally.count_failure();
        log::error!("{id}: {err}");
        Outcome::Again(self.later(u32::MAX))
    }

    /// When an entry that failed so many times is due again.
    fn later(&self, failures: u32) -> UnixMillis {
        let pause = backoff::pause(failures, self.config.retry_first, self.config.retry_max);
        UnixMillis::from_system_time(SystemTime::now() + pause)
    }

    /// Runs one operation of the journal on the blocking pool.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> T + Send + 'static,
    ) -> T {
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || operation(&journal)).await {
            Ok(done) => done,
            // A panic goes on to `work_on`. The pool is not shut down while this runs.
            Err(lost) => std::panic::resume_unwind(lost.into_panic()),
        }
    }
}
