//! Leaving the backlog: settled by a proof, deferred or held after a failure, set aside when
//! unreadable.
//!
//! A move that keeps the record is one rename. A move that changes it writes the new record into
//! the new room, fsyncs that, and only then takes the old record away: cut in between, the id is
//! in two rooms, and recovery believes the later one.

use std::io;
use std::path::{Path, PathBuf};

use super::entry::Record;
use super::error::JournalError;
use super::layout::Room;
use super::rooms::Place;
use super::volume::if_there;
use super::{Journal, point};
use crate::file::{FileId, UnixMillis};
use crate::store::Committed;

/// How a proven commit ended in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// The entry is settled.
    Settled,
    /// It was deleted while it was being committed: remove it from the store again.
    Deleted,
}

impl Journal {
    /// Moves a proven entry into `settled`. Nothing is fsynced: undone by a power cut, the entry
    /// is committed once more, which does no harm. One that is in the log leaves it, and the
    /// journal, at once.
    ///
    /// # Errors
    /// When it is not in the journal, or the disk says no; it is pending as before then.
    pub fn settle(&self, committed: &Committed) -> Result<Settling, JournalError> {
        let id = committed.id();
        let mut index = self.index();
        let slot = index.get(id).ok_or(JournalError::Absent(id))?;
        if let Place::Log(position) = slot.place {
            if !index.leave(id) {
                self.log.release(position.generation);
                self.log.note_gone(id);
            }
            point!("settle.left-the-log");
            return Ok(Settling::Settled);
        }
        let room = slot.room;
        match room {
            Room::Deleted => Ok(Settling::Deleted),
            Room::Settled => Ok(Settling::Settled),
            Room::Incoming | Room::Deferred | Room::Hold => {
                point!("settle.proven");
                let (from, to) = (
                    self.layout.record(room, id),
                    self.layout.record(Room::Settled, id),
                );
                self.disk
                    .rename(&from, &to)
                    .map_err(at(id, "move the record into settled"))?;
                index.move_to(id, Room::Settled);
                index.note_digest(id, committed.sha256());
                point!("settle.record-moved");
                Ok(Settling::Settled)
            }
        }
    }

    /// Puts a failed entry off until `next_attempt`.
    ///
    /// # Errors
    /// As [`Journal::hold`].
    pub fn defer(
        &self,
        id: FileId,
        reason: &str,
        next_attempt: UnixMillis,
    ) -> Result<(), JournalError> {
        self.rewrite(id, Room::Deferred, |record| Record {
            attempts: record.attempts.saturating_add(1),
            next_attempt,
            reason: Some(reason.to_owned()),
            ..record
        })
    }

    /// The same, for an entry that an attempt brought nearer to its end: the attempts that failed before
    /// no longer count, nor does this one.
    ///
    /// # Errors
    /// As [`Journal::hold`].
    pub fn defer_anew(
        &self,
        id: FileId,
        reason: &str,
        next_attempt: UnixMillis,
    ) -> Result<(), JournalError> {
        self.rewrite(id, Room::Deferred, |record| Record {
            attempts: 0,
            next_attempt,
            reason: Some(reason.to_owned()),
            ..record
        })
    }

    /// Puts an entry that no attempt can help where an admin will see it.
    ///
    /// # Errors
    /// `Absent` if it is not pending any more; what the disk says. It stays where it was then.
    pub fn hold(&self, id: FileId, reason: &str) -> Result<(), JournalError> {
        self.rewrite(id, Room::Hold, |record| Record {
            attempts: record.attempts.saturating_add(1),
            reason: Some(reason.to_owned()),
            ..record
        })
    }

    /// The entries that wait for an admin.
    pub fn held(&self) -> Vec<FileId> {
        self.index().in_room(Room::Hold)
    }

    /// Moves an unreadable entry out of every room. Its files are kept for an admin.
    ///
    /// # Errors
    /// What the disk says; the entry stays where it was then.
    pub fn set_aside(&self, id: FileId, reason: &str) -> Result<(), JournalError> {
        let mut index = self.index();
        let Some(slot) = index.get(id) else {
            return Ok(());
        };
        log::error!("{id}: {reason}; moved to corrupt");
        match slot.place {
            Place::Log(position) => self.keep_segment(position.generation),
            Place::Files => self.move_entry_to_corrupt(slot.room, id),
        }
        .map_err(at(id, "move to corrupt"))?;
        index.remove(id);
        if let Place::Log(position) = slot.place {
            self.log.release(position.generation);
        }
        Ok(())
    }

    /// Moves a body and then its record: a start removes a body that has no record.
    pub(super) fn move_entry_to_corrupt(&self, room: Room, id: FileId) -> io::Result<()> {
        self.move_to_corrupt(&self.layout.body(id))?;
        self.move_to_corrupt(&self.layout.record(room, id))
    }

    /// Moves one file to `corrupt`, its directory in front of its name, and a number behind it if
    /// that name is taken, so that none replaces another. One that is missing is what is wrong
    /// with the entry.
    pub(super) fn move_to_corrupt(&self, path: &Path) -> io::Result<()> {
        let last = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let name = format!("{}-{}", last(path.parent()), last(Some(path)));
        let mut to = self.layout.corrupt().join(&name);
        let mut number = 1;
        while to.try_exists()? {
            number += 1;
            to = self.layout.corrupt().join(format!("{name}.{number}"));
        }
        if_there(self.disk.rename(path, &to)).map(|_| ())
    }

    /// Changes a pending entry's record on its way into another room.
    pub(super) fn rewrite(
        &self,
        id: FileId,
        to: Room,
        change: impl FnOnce(Record) -> Record,
    ) -> Result<(), JournalError> {
        self.unpack(id)?;
        let (_, record) = self.record(id)?;
        let encoded = change(record)
            .encode()
            .map_err(at(id, "encode the record"))?;
        let mut unmoved = Unmoved {
            journal: self,
            path: self.layout.record_in_writing(id),
            is_moved: false,
        };
        let written = self.disk.create(&unmoved.path, &encoded);
        let file = written.map_err(at(id, "write the record"))?;
        point!("move.record-written");
        self.sync_file(&file).map_err(at(id, "fsync the record"))?;
        self.replace(id, &unmoved.path, to)?;
        unmoved.is_moved = true;
        point!("move.record-moved");
        self.finish_move(id)
    }

    /// Moves a new record into its room, unless the entry has left the backlog meanwhile. The old one
    /// is where it was.
    fn replace(&self, id: FileId, in_writing: &Path, to: Room) -> Result<(), JournalError> {
        let mut index = self.index();
        let slot = index.get(id).filter(|slot| slot.room.is_pending());
        slot.ok_or(JournalError::Absent(id))?;
        self.disk
            .rename(in_writing, &self.layout.record(to, id))
            .map_err(at(id, "move the record"))?;
        index.begin_move(id, to);
        Ok(())
    }
}

/// A new record that may be left where it is written, by an error (of a full disk the half of it) or
/// a panic: it is removed then.
struct Unmoved<'a> {
    journal: &'a Journal,
    path: PathBuf,
    is_moved: bool,
}

impl Drop for Unmoved<'_> {
    fn drop(&mut self) {
        if !self.is_moved
            && let Err(err) = if_there(self.journal.disk.unlink(&self.path))
        {
            log::error!("{}: cannot be removed: {err}", self.path.display());
        }
    }
}

/// Names the entry and the step of an I/O error.
pub(super) fn at(id: FileId, step: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Disk { id, step, source }
}
