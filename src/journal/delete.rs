//! Deleting entries, pending or settled.

use std::time::{Duration, Instant};

use super::evict::Leaves;
use super::index::{Known, Phase, Reading, Refused};
use super::record::{Entry, File};
use super::shared::Changed;
use super::step::StepError;
use super::volume::if_there;
use super::{Journal, JournalError, at, point};
use crate::file::FileId;

/// The outcome of a delete in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The journal does not know the id: only the store can have the file.
    NotHere,
    /// It was pending, and is gone for every caller. The committer still has to clear the store.
    Done,
    /// It was settled, and is gone from the journal: the store still has it.
    Settled,
    /// It was deleted before.
    Already,
    /// It is the package of a message, or has links: it goes with its messages.
    Linked,
}

impl Journal {
    /// Deletes an entry.
    ///
    /// 1. A tombstone is decided and queued. Other callers that come now wait for it.
    /// 2. It is synced: no restart brings the entry back, and no commit undoes the delete.
    /// 3. The body is unlinked. The tombstone stays until the store holds nothing of the file and can
    ///    itself say that it does not exist: see [`Journal::erase`].
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1 | the entry, or a tombstone | goes on with either: no caller was told yet |
    /// | 2, 3 | a tombstone, perhaps with the body | clears the store, then erases it |
    ///
    /// A settled entry leaves in the steps of an eviction, without a tombstone: the store decides whether the file
    /// goes, as it may have got links since. If an entry is being evicted, the delete waits for the end of that.
    ///
    /// # Errors
    /// The disk's error; then the entry stays as it was.
    pub fn delete(&self, id: FileId) -> Result<Deletion, JournalError> {
        loop {
            let found = match self.read_deletable(id) {
                Err(JournalError::Absent(_)) => return Ok(Deletion::NotHere),
                Ok(Some((_, file))) if file.belonging.is_tied() => return Ok(Deletion::Linked),
                found => found?,
            };
            if self.is_settled(id) {
                if self.leave(id, Leaves::Deleted)? {
                    return Ok(Deletion::Settled);
                }
                continue;
            }
            if let Some(deletion) = self.delete_read(id, found)? {
                return Ok(deletion);
            }
        }
    }

    /// Deletes an entry in the same way, even if it belongs to messages: the store has seen that it
    /// has lost its last link.
    ///
    /// # Errors
    /// As [`Journal::delete`].
    pub fn delete_unlinked(&self, id: FileId) -> Result<Deletion, JournalError> {
        loop {
            let found = match self.read_deletable(id) {
                Err(JournalError::Absent(_)) => return Ok(Deletion::NotHere),
                found => found?,
            };
            if let Some(deletion) = self.delete_read(id, found)? {
                return Ok(deletion);
            }
        }
    }

    /// Deletes an entry that was read; `None` if another step of the entry came since: it may have
    /// got a link.
    pub(super) fn delete_read(
        &self,
        id: FileId,
        found: Option<(Reading, File)>,
    ) -> Result<Option<Deletion>, JournalError> {
        let (reading, file) = found.unzip();
        let remains = file.map(|file| {
            let answered = file.answer.map(|answer| (answer, file.meta));
            (answered, file.belonging.package)
        });
        let remains = remains.unwrap_or_default();
        let mut before: Option<Known> = None;
        let deleted = self.step(|index, tail| {
            // No caller knows of an entry that is still to come.
            before = Some(index.get(id).ok_or(Refused::Absent)?);
            reading
                .as_ref()
                .map_or(Ok(()), |reading| index.check_read(reading))?;
            index.delete(id, self.now(), remains.clone(), tail)
        }); // 1 and 2
        match deleted {
            Ok(()) => {}
            Err(StepError::Refused(Refused::Moved)) => return Ok(None),
            Err(StepError::Refused(Refused::Absent)) => return Ok(Some(Deletion::NotHere)),
            Err(StepError::Refused(Refused::Is(Phase::Deleted))) => {
                return Ok(Some(Deletion::Already));
            }
            Err(err) => return Err(err.of(id, "note a delete")),
        }
        point!("delete.noted");
        if before.is_some_and(|known| known.phase == Phase::Settled) {
            self.erase(id)?;
            return Ok(Some(Deletion::Settled));
        }
        if let Err(err) = self.unlink_body(id) {
            // The tombstone is durable; the end of the delete tries the unlink again.
            log::warn!("{id}: the body of a deleted entry stays for now: {err}");
        } // 3
        point!("delete.body-unlinked");
        Ok(Some(Deletion::Done))
    }

    /// Returns the file of an entry; `None` if it is no file any more. An upload that may still grow is
    /// no file yet.
    fn read_deletable(&self, id: FileId) -> Result<Option<(Reading, File)>, JournalError> {
        let known = self.known(id).ok_or(JournalError::Absent(id))?;
        if known.phase == Phase::Deleted {
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
            Entry::File(file) => Some((found.reading.clone(), file.clone())),
            Entry::Upload(_) => return Err(JournalError::Absent(id)),
            Entry::Tombstone(_) | Entry::Intent(_) => None,
        })
    }

    /// Notes that the store was cleared of a deleted entry. Returns the time since it was first
    /// cleared.
    pub fn cleared_for(&self, id: FileId) -> Duration {
        let mut state = self.state();
        state
            .cleared
            .entry(id)
            .or_insert_with(Instant::now)
            .elapsed()
    }

    /// Removes a deleted entry when the store holds nothing of it.
    ///
    /// 1. The body is unlinked, if it still exists.
    /// 2. `body/` is fsynced, if a body was unlinked since its last fsync.
    /// 3. If its key is remembered, its answer is packed and synced.
    /// 4. `gone` is decided, queued and synced: nothing is left.
    ///
    /// # Errors
    /// The disk's error; then the tombstone stays as it was.
    pub fn erase(&self, id: FileId) -> Result<(), JournalError> {
        self.unlink_body(id)?; // 1
        self.sync_unlinked(id)?; // 2
        point!("erase.unlinked");
        self.retain_answers(&[id], Leaves::Deleted)?; // 3
        point!("erase.answer-kept");
        match self.step(|index, tail| index.gone(id, tail)) {
            Ok(()) | Err(StepError::Refused(Refused::Absent)) => {}
            Err(err) => return Err(err.of(id, "note that nothing is left")),
        } // 4
        self.state().cleared.remove(&id);
        Ok(())
    }

    /// Unlinks a body. It is no error if the body is gone already, or inline in the log.
    pub(super) fn unlink_body(&self, id: FileId) -> Result<(), JournalError> {
        let poisoned = self.wal.volume().check().map_err(std::io::Error::other);
        poisoned.map_err(at(id, "unlink"))?;
        let may_go = |known: Known| known.phase == Phase::Deleted || known.is_leaving;
        debug_assert!(self.known(id).is_none_or(may_go), "{id}: it needs its body");
        let unlinked = self.disk().unlink(&self.layout.body(id));
        if if_there(unlinked).map_err(at(id, "unlink"))?.is_some() {
            let mut last = self.last_unlinked();
            *last = Some(self.bodies_sync.changed());
        }
        Ok(())
    }

    /// Makes sure that no unlinked body comes back.
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
