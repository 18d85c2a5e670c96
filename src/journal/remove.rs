//! Deleting: what a caller no longer wants, pending or settled.

use std::path::Path;
use std::time::Duration;

use super::error::JournalError;
use super::layout::Room;
use super::settle::at;
use super::volume::if_there;
use super::{Journal, point};
use crate::file::FileId;

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
    /// 1. A pending entry's record moves into `deleted`.
    /// 2. Both rooms are fsynced: no restart brings the entry back, and no commit undoes it.
    /// 3. The body is unlinked. The record stays until the store can say by itself that there is
    ///    no such file, and holds nothing of it: see [`Journal::erase`].
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 | the entry, pending or deleted | goes on with either: nobody was told yet |
    /// | 2 | a record in `deleted`, with its body | clears the store, then erases it |
    /// | 3 | a record in `deleted` | the same |
    ///
    /// One that is in the log is given its files before: see `Journal::unpack` in the log.
    ///
    /// A settled entry loses its files here at once, for good; the store decides whether it
    /// exists.
    ///
    /// # Errors
    /// What the disk says; the entry may then be deleted or not.
    pub fn delete(&self, id: FileId) -> Result<Deletion, JournalError> {
        self.unpack(id)?;
        let slot = {
            let mut index = self.index();
            let Some(slot) = index.get(id) else {
                drop(index);
                self.finish_notes(id)?;
                return Ok(Deletion::NotHere);
            };
            match slot.room {
                Room::Deleted => return Ok(Deletion::Already),
                Room::Settled => {}
                Room::Incoming | Room::Deferred | Room::Hold => {
                    self.disk
                        .rename(
                            &self.layout.record(slot.room, id),
                            &self.layout.record(Room::Deleted, id),
                        )
                        .map_err(at(id, "move the record into deleted"))?; // 1
                    index.move_to(id, Room::Deleted);
                    point!("delete.record-moved");
                }
            }
            slot
        };
        if slot.room == Room::Settled {
            return self.delete_settled(id);
        }
        for room in [Room::Deleted, slot.room] {
            self.sync_directory(&self.layout.room(room))
                .map_err(at(id, "fsync the rooms of a delete"))?; // 2
        }
        point!("delete.rooms-fsynced");
        self.unlink_body(Room::Deleted, id)?; // 3
        point!("delete.body-unlinked");
        Ok(Deletion::Done)
    }

    /// Its move into `settled` must last before its body goes, and the removal before a caller
    /// hears of it: else a power cut brings back a promise, or the file itself.
    fn delete_settled(&self, id: FileId) -> Result<Deletion, JournalError> {
        self.sync_settled(id)?;
        self.finish_notes(id)?;
        self.keep_deleted(id)?;
        point!("delete.settled-kept");
        self.unlink_entry(Room::Settled, id)?;
        point!("delete.settled-unlinked");
        self.sync_directory(&self.layout.room(Room::Settled))
            .map_err(at(id, "fsync a delete"))?;
        self.index().remove(id);
        Ok(Deletion::Settled)
    }

    /// Notes that the store was cleared of a deleted entry; returns how long ago it was first.
    pub fn cleared_for(&self, id: FileId) -> Duration {
        self.index().first_cleared(id).elapsed()
    }

    /// Removes the last of a deleted entry, when the store holds nothing of it.
    ///
    /// # Errors
    /// What the disk says; the rest is erased at the next start then.
    pub fn erase(&self, id: FileId) -> Result<(), JournalError> {
        self.finish_notes(id)?;
        self.keep_deleted(id)?;
        point!("erase.answer-kept");
        self.unlink_entry(Room::Deleted, id)?;
        self.index().remove(id);
        point!("erase.unlinked");
        Ok(())
    }

    /// Before the last trace of an entry goes: the log must not bring it back.
    pub(super) fn finish_notes(&self, id: FileId) -> Result<(), JournalError> {
        self.keep_leaving()?;
        self.sync_notes().map_err(at(id, "note in the log"))
    }

    /// Unlinks a body and then its record, in the order that recovery expects.
    pub(super) fn unlink_entry(&self, room: Room, id: FileId) -> Result<(), JournalError> {
        self.unlink_body(room, id)?;
        point!("leave.body-unlinked");
        self.unlink(id, &self.layout.record(room, id))
    }

    /// Unlinks the body of an entry in this room. Before it goes what a failed move has left in
    /// other rooms: it would look like a promise without a body.
    fn unlink_body(&self, room: Room, id: FileId) -> Result<(), JournalError> {
        for other in Room::ALL.into_iter().filter(|&other| other != room) {
            self.unlink(id, &self.layout.record(other, id))?;
        }
        self.unlink(id, &self.layout.body(id))
    }

    /// Unlinks a file of an entry; one that is gone already is as good.
    fn unlink(&self, id: FileId, path: &Path) -> Result<(), JournalError> {
        if_there(self.disk.unlink(path))
            .map(|_| ())
            .map_err(at(id, "unlink"))
    }
}
