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
    /// 2. Both rooms are fsynced: no restart brings the entry back, and no commit undoes it. Whoever
    ///    deletes it a second time waits for that, too.
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
    /// exists. So does one that is being evicted: it is not here when no start finds it.
    ///
    /// # Errors
    /// What the disk says; the entry may then be deleted or not.
    pub fn delete(&self, id: FileId) -> Result<Deletion, JournalError> {
        self.unpack(id)?;
        let slot = {
            let mut index = self.index();
            let Some(slot) = index.get(id) else {
                drop(index);
                self.finish_eviction(id)?;
                return Ok(Deletion::NotHere);
            };
            match slot.room {
                Room::Deleted => {
                    drop(index);
                    self.finish_move_of_another(id)?;
                    return Ok(Deletion::Already);
                }
                Room::Settled => {}
                Room::Incoming | Room::Deferred | Room::Hold => {
                    self.disk
                        .rename(
                            &self.layout.record(slot.room, id),
                            &self.layout.record(Room::Deleted, id),
                        )
                        .map_err(at(id, "move the record into deleted"))?; // 1
                    index.begin_move(id, Room::Deleted);
                    point!("delete.record-moved");
                }
            }
            slot
        };
        if slot.room == Room::Settled {
            return self.delete_settled(id);
        }
        self.finish_move(id)?; // 2
        point!("delete.rooms-fsynced");
        self.unlink(id, &self.layout.body(id))?; // 3
        point!("delete.body-unlinked");
        Ok(Deletion::Done)
    }

    /// Its move into `settled` must last before its body goes, and the removal before a caller
    /// hears of it: else a power cut brings back a promise, or the file itself.
    fn delete_settled(&self, id: FileId) -> Result<Deletion, JournalError> {
        self.keep_deleted(id)?;
        // Also its own, if it is being evicted since a moment ago.
        self.finish_notes(id)?;
        point!("delete.settled-kept");
        let rooms = self.index().moved_through(id);
        self.remove_settled(&[(id, rooms)])?;
        self.index().remove(id);
        Ok(Deletion::Settled)
    }

    /// Ends the eviction of an entry that is not in the index any more, if it is being evicted: a
    /// start would find it as long as its files are not removed for good.
    fn finish_eviction(&self, id: FileId) -> Result<(), JournalError> {
        self.finish_notes(id)?;
        let evicted = self.index().evicted.get(&id).cloned();
        if let Some(rooms) = evicted {
            self.remove_settled(&[(id, rooms)])?;
            self.index().evicted.remove(&id);
        }
        Ok(())
    }

    /// Removes the files of settled entries, for good; each is given with the rooms of its moves that are
    /// not finished.
    ///
    /// 1. What failed moves have left in other rooms goes: without its body it would look like a broken
    ///    promise.
    /// 2. All rooms are fsynced: nothing of that comes back, and no move into `settled` is undone.
    /// 3. Bodies and records are unlinked.
    /// 4. `settled` is fsynced: the files are not served again, whatever is deleted from the store.
    pub(super) fn remove_settled(
        &self,
        entries: &[(FileId, Vec<Room>)],
    ) -> Result<(), JournalError> {
        let Some(&(first, _)) = entries.first() else {
            return Ok(());
        };
        for (id, rooms) in entries {
            for &room in rooms.iter().filter(|&&room| room != Room::Settled) {
                self.unlink(*id, &self.layout.record(room, *id))?; // 1
            }
        }
        self.sync_settled(first)?; // 2
        point!("leave.moves-fsynced");
        for &(id, _) in entries {
            self.unlink_entry(Room::Settled, id)?; // 3
            point!("leave.entry-unlinked");
        }
        self.sync_directory(&self.layout.room(Room::Settled))
            .map_err(at(first, "fsync the removal of settled entries"))?; // 4
        point!("leave.unlinks-fsynced");
        Ok(())
    }

    /// Whether an entry is deleted, or is being deleted just now.
    pub fn is_deleted(&self, id: FileId) -> bool {
        let slot = self.index().get(id);
        slot.is_some_and(|slot| slot.room == Room::Deleted)
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
        self.finish_move_of_another(id)?;
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
    fn unlink_entry(&self, room: Room, id: FileId) -> Result<(), JournalError> {
        self.unlink(id, &self.layout.body(id))?;
        point!("leave.body-unlinked");
        self.unlink(id, &self.layout.record(room, id))
    }

    /// Unlinks a file of an entry; one that is gone already is as good.
    fn unlink(&self, id: FileId, path: &Path) -> Result<(), JournalError> {
        if_there(self.disk.unlink(path))
            .map(|_| ())
            .map_err(at(id, "unlink"))
    }
}
