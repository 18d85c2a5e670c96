//! Deleting: what a caller no longer wants, pending or settled.

use std::time::{Duration, Instant};

use super::index::{Known, Phase, Refused};
use super::record::{Answer, Entry};
use super::shared::Changed;
use super::step::StepError;
use super::volume::if_there;
use super::{Journal, JournalError, at, point};
use crate::file::{FileId, FileMeta};

/// What a delete did in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The journal had nothing of it: it is the store's business alone.
    NotHere,
    /// It was pending, and is gone for every caller. The committer has to clear away the rest.
    Done,
    /// It was settled, and is gone here: the store still has it.
    Settled,
    /// It was deleted before.
    Already,
}

impl Journal {
    /// Deletes an entry.
    ///
    /// 1. A tombstone is decided and queued. Whoever comes meanwhile waits for it.
    /// 2. It is synced: no restart brings the entry back, and no commit undoes it.
    /// 3. The body is unlinked. The tombstone stays until the store can say by itself that there is
    ///    no such file, and holds nothing of it: see [`Journal::erase`].
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1 | the entry, or a tombstone | goes on with either: nobody was told yet |
    /// | 2, 3 | a tombstone, perhaps with the body | clears the store, then erases it |
    ///
    /// A settled entry is gone here at once: the store decides whether it exists. One that is being
    /// evicted is waited for.
    ///
    /// # Errors
    /// What the disk says; the entry is there as before then.
    pub fn delete(&self, id: FileId) -> Result<Deletion, JournalError> {
        let answered = match self.answered_by(id) {
            Err(JournalError::Absent(_)) => return Ok(Deletion::NotHere),
            answered => answered?,
        };
        let mut before: Option<Known> = None;
        let deleted = self.step(|index, tail| {
            // Nobody was told of one that comes.
            before = Some(index.get(id).ok_or(Refused::Absent)?);
            index.delete(id, self.now(), answered.clone(), tail)
        }); // 1 and 2
        match deleted {
            Ok(()) => {}
            Err(StepError::Refused(Refused::Absent)) => return Ok(Deletion::NotHere),
            Err(StepError::Refused(Refused::Is(Phase::Deleted))) => return Ok(Deletion::Already),
            Err(err) => return Err(err.of(id, "note a delete")),
        }
        point!("delete.noted");
        if before.is_some_and(|known| known.phase == Phase::Settled) {
            self.erase(id)?;
            return Ok(Deletion::Settled);
        }
        if let Err(err) = self.unlink_body(id) {
            // The word is durable; the end of the delete tries again.
            log::warn!("{id}: the body of a deleted entry stays for now: {err}");
        } // 3
        point!("delete.body-unlinked");
        Ok(Deletion::Done)
    }

    /// What a keyed entry answers, which its tombstone goes on answering.
    fn answered_by(&self, id: FileId) -> Result<Option<(Answer, FileMeta)>, JournalError> {
        let known = self.known(id).ok_or(JournalError::Absent(id))?;
        if !known.is_keyed || known.phase == Phase::Deleted {
            return Ok(None);
        }
        let found = match self.read(id) {
            Err(JournalError::Unreadable { reason, .. }) => {
                log::error!("{id}: {reason}; the key that it answered is forgotten");
                return Ok(None);
            }
            found => found?,
        };
        Ok(match found.reading.entry() {
            Entry::File(file) => file.answer.map(|answer| (answer, file.meta.clone())),
            Entry::Upload(_) | Entry::Tombstone(_) => None,
        })
    }

    /// Notes that the store was cleared of a deleted entry; returns how long ago it was first.
    pub fn cleared_for(&self, id: FileId) -> Duration {
        let mut state = self.state();
        state
            .cleared
            .entry(id)
            .or_insert_with(Instant::now)
            .elapsed()
    }

    /// Removes the last of a deleted entry, when the store holds nothing of it.
    ///
    /// 1. The body is unlinked, if it is still there.
    /// 2. `body/` is fsynced, if a body was unlinked since it last was.
    /// 3. If its key is remembered, its answer is packed and synced.
    /// 4. `gone` is decided and queued; synced: nothing is left.
    ///
    /// # Errors
    /// What the disk says; the tombstone is there as before then.
    pub fn erase(&self, id: FileId) -> Result<(), JournalError> {
        self.unlink_body(id)?; // 1
        self.sync_unlinked(id)?; // 2
        point!("erase.unlinked");
        self.retain_answers(&[id])?; // 3
        point!("erase.answer-kept");
        match self.step(|index, tail| index.gone(id, tail)) {
            Ok(()) | Err(StepError::Refused(Refused::Absent)) => {}
            Err(err) => return Err(err.of(id, "note that nothing is left")),
        } // 4
        self.state().cleared.remove(&id);
        Ok(())
    }

    /// Unlinks a body; one that is gone already, or stands in the log, is as good.
    pub(super) fn unlink_body(&self, id: FileId) -> Result<(), JournalError> {
        let poisoned = self.wal.volume().check().map_err(std::io::Error::other);
        poisoned.map_err(at(id, "unlink"))?;
        let unlinked = self.disk().unlink(&self.layout.body(id));
        if if_there(unlinked).map_err(at(id, "unlink"))?.is_some() {
            *self.last_unlinked() = Some(self.bodies_sync.changed());
        }
        Ok(())
    }

    /// Makes all bodies that were unlinked stay away.
    pub(super) fn sync_unlinked(&self, id: FileId) -> Result<(), JournalError> {
        let last = *self.last_unlinked();
        let synced = last.map_or(Ok(()), |changed| self.sync_bodies(changed));
        synced.map_err(at(id, "fsync the bodies' directory"))
    }

    fn last_unlinked(&self) -> std::sync::MutexGuard<'_, Option<Changed>> {
        let unlinked = self.unlinked.lock();
        unlinked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
