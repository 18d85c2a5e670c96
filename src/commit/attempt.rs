//! The work on one entry: committed, erased, deferred, held or set aside.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::{Committer, backoff};
use crate::file::{FileId, UnixMillis};
use crate::journal::{JournalError, Settling, Work};
use crate::message::Message;
use crate::store::{Progress, Promised, StoreError};

/// The outcome of the work on one entry.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is settled, erased, held or set aside: nothing is left to do.
    Done,
    /// It comes again at this time, by the clock of the backlog.
    Again(UnixMillis),
    /// The store is not available; the entry comes again when it is.
    Outage(StoreError),
}

impl Committer {
    pub(super) async fn attempt(&self, id: FileId) -> Outcome {
        match self.on_disk(move |journal| journal.open_work(id)).await {
            Ok(Work::Commit { promised, attempts }) => self.commit(promised, attempts).await,
            Ok(Work::Erase { is_begun, message }) => self.erase(id, is_begun, message).await,
            Ok(Work::Undo { files }) => self.undo(id, files).await,
            Ok(Work::Nothing) => Outcome::Done,
            Err(err) => self.unreadable(id, err).await,
        }
    }

    async fn commit(&self, promised: Promised, attempts: u32) -> Outcome {
        let (id, length) = (promised.id, promised.meta.length);
        let progress = Progress::default();
        let tried = self.store.commit(promised, &progress).await;
        match self.judged(tried).await {
            Ok(committed) => {
                match self
                    .on_disk(move |journal| journal.settle(&committed))
                    .await
                {
                    Ok(Settling::Settled) => {
                        self.report_commit(id, length);
                        Outcome::Done
                    }
                    Ok(Settling::Deleted) => self.erase_deleted(id).await,
                    Ok(Settling::Relinked) => Outcome::Again(self.commits.backlog.now()),
                    Err(err) => Outcome::Again(self.put_off(id, &err)),
                }
            }
            Err(err @ (StoreError::Unavailable(_) | StoreError::Unfit(_))) => Outcome::Outage(err),
            // The entry was deleted meanwhile: stop reading its body, and clear the store of what was
            // written.
            Err(err) if self.journal.is_deleted(id) => {
                if !matches!(err, StoreError::Body(_)) {
                    self.commits.tally.count_failure();
                }
                self.erase_deleted(id).await
            }
            Err(err @ StoreError::Gone(_)) => self.drop_removed(id, &err).await,
            Err(StoreError::Body(err)) if err.kind() == ErrorKind::UnexpectedEof => {
                self.set_aside(id, "the body is shorter than its record says".to_owned())
                    .await
            }
            Err(StoreError::Body(err)) if err.kind() == ErrorKind::InvalidData => {
                self.set_aside(id, err.to_string()).await
            }
            Err(err @ (StoreError::Failed(_) | StoreError::TimedOut(_))) if progress.is_made() => {
                self.go_on_later(id, &err).await
            }
            Err(err @ (StoreError::Failed(_) | StoreError::TimedOut(_)))
                if attempts + 1 < self.config.attempts =>
            {
                self.defer(id, attempts, &err).await
            }
            Err(
                err @ (StoreError::Failed(_)
                | StoreError::TimedOut(_)
                | StoreError::Refused(_)
                | StoreError::Body(_)
                | StoreError::Damaged(_)),
            ) => self.hold(id, &err).await,
        }
    }

    /// Decides whether a time-out is an outage: the store is pinged, and one that answers was only
    /// asked too much.
    pub(super) async fn judged<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::TimedOut(_)) = done {
            self.store.ping().await?;
        }
        done
    }

    /// Notes that a commit went well. Waiters learn of it from the journal.
    pub(super) fn report_commit(&self, id: FileId, length: u64) {
        self.commits.health.report_success();
        self.commits.limiter.report_commit(id);
        log::debug!("{id}: committed, {length} bytes");
    }

    /// Ends a delete: first clears the store of what a commit may have left, then the journal.
    ///
    /// MongoDB may still carry out a write after the store was cleared, if the write timed out or
    /// its sidecar was killed. Therefore an entry with such a write stays deleted in the journal
    /// for a while, and the store is cleared a second time at the end. For any other entry it is
    /// enough that the store answers: the journal says that the file does not exist until the store
    /// can say so.
    ///
    /// A message leaves the lists of its receivers before its package is cleared, so that no list names
    /// a message without a package, and once more afterwards: a late write may have entered it.
    /// Then its parts are unlinked. The entry is the note of the work that is left, so it is erased
    /// last.
    async fn erase(&self, id: FileId, is_begun: bool, message: Option<Arc<Message>>) -> Outcome {
        let answered = if is_begun {
            self.clear(id, message.as_deref()).await
        } else {
            self.store.ping().await
        };
        match self.judged(answered).await {
            Ok(()) => self.commits.health.report_success(),
            Err(err @ (StoreError::Unavailable(_) | StoreError::Unfit(_))) => {
                return Outcome::Outage(err);
            }
            Err(
                err @ (StoreError::TimedOut(_)
                | StoreError::Failed(_)
                | StoreError::Refused(_)
                | StoreError::Body(_)
                | StoreError::Damaged(_)
                | StoreError::Gone(_)),
            ) => return Outcome::Again(self.put_off(id, &err)),
        }
        if let Some(message) = message
            && let Err(err) = self.links.untie_all(id, &message).await
        {
            return self.untied_later(id, err).await;
        }
        if is_begun {
            let watch = self.config.delete_watch;
            let left = watch.saturating_sub(self.journal.cleared_for(id));
            if !left.is_zero() {
                return Outcome::Again(self.commits.backlog.after(left));
            }
        }
        match self.on_disk(move |journal| journal.erase(id)).await {
            Ok(()) => Outcome::Done,
            Err(err) => Outcome::Again(self.put_off(id, &err)),
        }
    }

    /// Clears the store of a deleted entry. A document from an earlier attempt has links, if the
    /// file had any.
    async fn clear(&self, id: FileId, message: Option<&Message>) -> Result<(), StoreError> {
        if let Some(message) = message {
            self.links.leave_lists(id, message).await?;
        }
        self.links.discard(id).await?;
        self.store.clear(id).await
    }

    /// Ends the delete of an entry that was deleted during its commit.
    async fn erase_deleted(&self, id: FileId) -> Outcome {
        match self.on_disk(move |journal| journal.open_work(id)).await {
            Ok(Work::Erase { is_begun, message }) => self.erase(id, is_begun, message).await,
            Ok(_) => Outcome::Done,
            Err(err) => self.unreadable(id, err).await,
        }
    }

    /// Deletes an entry after its file was removed from the store.
    async fn drop_removed(&self, id: FileId, err: &StoreError) -> Outcome {
        log::info!("{id}: {err}");
        let deleted = self.on_disk(move |journal| journal.delete_unlinked(id));
        match deleted.await {
            Ok(_) => self.erase_deleted(id).await,
            Err(err) => Outcome::Again(self.put_off(id, &err)),
        }
    }

    async fn defer(&self, id: FileId, attempts: u32, err: &StoreError) -> Outcome {
        let (reason, pause) = (err.to_string(), self.pause(attempts + 1));
        log::warn!("{id}: {reason}; deferred");
        let deferred = self.on_disk(move |journal| journal.defer(id, &reason, pause));
        self.deferred(id, pause, deferred.await)
    }

    /// Defers an entry after an attempt that brought more of it into the store. The entry will get
    /// there in the end, so its failures are counted from zero again.
    async fn go_on_later(&self, id: FileId, err: &StoreError) -> Outcome {
        let (reason, pause) = (err.to_string(), self.pause(1));
        log::warn!("{id}: {reason}; deferred, more of it is there than before");
        let deferred = self.on_disk(move |journal| journal.defer_anew(id, &reason, pause));
        self.deferred(id, pause, deferred.await)
    }

    fn deferred(&self, id: FileId, pause: Duration, done: Result<(), JournalError>) -> Outcome {
        self.commits.tally.count_failure();
        match done {
            Ok(()) => Outcome::Again(self.commits.backlog.after(pause)),
            // Deleted during the attempt: come again, to clear the store of it.
            Err(JournalError::Absent(_)) => Outcome::Again(self.commits.backlog.now()),
            Err(err) => Outcome::Again(self.put_off(id, &err)),
        }
    }

    async fn hold(&self, id: FileId, err: &StoreError) -> Outcome {
        self.commits.tally.count_failure();
        let reason = err.to_string();
        log::error!("{id}: {reason}; held for an admin");
        match self.on_disk(move |journal| journal.hold(id, &reason)).await {
            Ok(()) => Outcome::Done,
            // Deleted during the attempt: come again, to clear the store of it.
            Err(JournalError::Absent(_)) => Outcome::Again(self.commits.backlog.now()),
            Err(err) => Outcome::Again(self.put_off(id, &err)),
        }
    }

    async fn unreadable(&self, id: FileId, err: JournalError) -> Outcome {
        match err {
            JournalError::Absent(_) => Outcome::Done,
            JournalError::Unreadable { reason, .. } => self.set_aside(id, reason).await,
            JournalError::Disk { .. } => Outcome::Again(self.put_off(id, &err)),
        }
    }

    async fn set_aside(&self, id: FileId, reason: String) -> Outcome {
        self.commits.tally.count_failure();
        match self
            .on_disk(move |journal| journal.set_aside(id, &reason))
            .await
        {
            Ok(()) => Outcome::Done,
            Err(err) => Outcome::Again(self.put_off(id, &err)),
        }
    }

    /// Tries an entry again much later, without a record of it: the journal's disk failed, or the end
    /// of a delete failed for another reason than an outage. Returns the time.
    pub(super) fn put_off(&self, id: FileId, err: &impl std::fmt::Display) -> UnixMillis {
        self.commits.tally.count_failure();
        log::error!("{id}: {err}");
        self.later(u32::MAX)
    }

    /// The time at which an entry is due again after this many failures.
    pub(super) fn later(&self, failures: u32) -> UnixMillis {
        self.commits.backlog.after(self.pause(failures))
    }

    fn pause(&self, failures: u32) -> Duration {
        backoff::pause(failures, self.config.retry_first, self.config.retry_max)
    }
}
