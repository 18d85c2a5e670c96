//! What waits for its commit, and why: for admins, who find out and give it a new start.

use super::Journal;
use super::entry::Record;
use super::error::JournalError;
use super::layout::Room;
use crate::file::{FileId, UnixMillis};

/// Characters of a reason that are told, at most: a record may be older than the bound on reasons.
const REASON_CHARACTERS: usize = 500;

/// A pending entry, as an admin sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: FileId,
    /// `incoming`, `deferred` or `hold`.
    pub room: Room,
    /// Its bytes.
    pub length: u64,
    /// Attempts that failed by its own fault since it was accepted, or since an admin's retry.
    pub attempts: u32,
    /// Why the last of them did; `None` if none has.
    pub reason: Option<String>,
    /// When the next attempt is due; `None` if it is now, or never without an admin.
    pub next_attempt: Option<UnixMillis>,
}

/// What became of a wish to try an entry again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is due now.
    Begun,
    /// It is in this room, where it waits for nothing that an admin could end.
    NotPutOff(Room),
    /// The journal has no such entry.
    Absent,
}

impl Journal {
    /// The entries that were put off or are held, the oldest first: at most so many, of those behind
    /// `after`. One that moves just now may be missing.
    ///
    /// # Errors
    /// What the disk says.
    pub fn waiting(
        &self,
        after: Option<FileId>,
        most: usize,
    ) -> Result<Vec<Waiting>, JournalError> {
        let is_put_off = |room| matches!(room, Room::Deferred | Room::Hold);
        let ids = self.index().pending_in(is_put_off, after, most);
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.waiting_for(id)?);
        }
        Ok(found)
    }

    /// Why this entry waits; `None` if it is not pending, or cannot be read.
    ///
    /// # Errors
    /// What the disk says.
    pub fn waiting_for(&self, id: FileId) -> Result<Option<Waiting>, JournalError> {
        match self.record(id) {
            Ok((slot, record)) if slot.room.is_pending() => {
                Ok(Some(Waiting::new(slot.room, &record)))
            }
            // The committer finds out what cannot be read, and sets it aside.
            Ok(_) | Err(JournalError::Absent(_) | JournalError::Unreadable { .. }) => Ok(None),
            Err(err @ JournalError::Disk { .. }) => Err(err),
        }
    }

    /// Gives an entry that was put off or is held a new start.
    ///
    /// # Errors
    /// What the disk says; it is where it was then.
    pub fn retry(&self, id: FileId) -> Result<Retried, JournalError> {
        let room = self.index().get(id).map(|slot| slot.room);
        match room {
            None => return Ok(Retried::Absent),
            Some(Room::Deferred | Room::Hold) => {}
            Some(room @ (Room::Incoming | Room::Settled | Room::Deleted)) => {
                self.finish_move_of_another(id)?;
                return Ok(Retried::NotPutOff(room));
            }
        }
        let fresh = |record: Record| Record {
            attempts: 0,
            next_attempt: UnixMillis(0),
            ..record
        };
        match self.rewrite(id, Room::Incoming, fresh) {
            Err(JournalError::Absent(_)) => Ok(Retried::Absent),
            moved => moved.map(|()| Retried::Begun),
        }
    }
}

impl Waiting {
    fn new(room: Room, record: &Record) -> Self {
        let due = record.next_attempt;
        let reason = record.reason.as_deref();
        Self {
            id: record.id,
            room,
            length: record.meta.length,
            attempts: record.attempts,
            reason: reason.map(|reason| reason.chars().take(REASON_CHARACTERS).collect()),
            next_attempt: (room == Room::Deferred).then_some(due),
        }
    }
}
