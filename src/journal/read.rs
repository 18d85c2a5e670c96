//! Reading entries: where one is, its record, and its bytes.

use std::fs::File;
use std::io;
use std::sync::{Arc, TryLockError};

use bytes::Bytes;

use super::Journal;
use super::adopt::Adopted;
use super::answers::Standing;
use super::body::OpenBody;
use super::entry::Record;
use super::error::JournalError;
use super::layout::Room;
use super::rooms::{Place, Slot};
use super::{recovery, settle};
use crate::file::{FileId, FileMeta, Window};
use crate::store::{Promised, Sha256};

/// A promised or recently settled file, for a download.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub id: FileId,
    /// Its description.
    pub meta: FileMeta,
    /// The room its record is in.
    pub room: Room,
    /// Its digest, if it is settled and that was not before the start: the store has it then.
    pub sha256: Option<Sha256>,
    /// Whether it has a file among the bodies that is it from end to end. Any other is read by
    /// [`Journal::open_window`].
    pub is_whole_file: bool,
    /// All of its bytes, if it is in the log and small.
    pub content: Option<Bytes>,
}

/// Bytes up to which a body comes along with its description.
const SMALL_BYTES: u64 = 64 * 1024;

impl Kept {
    /// How far it has come.
    pub fn standing(&self) -> Standing {
        Standing::of(self.room)
    }
}

/// What memory alone has of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glimpse {
    /// As in [`Kept`].
    pub room: Room,
    /// As in [`Kept`].
    pub sha256: Option<Sha256>,
}

/// The journal is moving an entry just now: its memory can be read by those alone who may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What the journal knows of an id.
#[derive(Debug, Clone)]
pub enum Look {
    /// Nothing: ask the store.
    Absent,
    /// It was deleted, and what is left of it is being cleared away.
    Deleted,
    /// Its body is here.
    Kept(Kept),
}

/// A pending entry that is about to be committed, or a deleted one to be cleared away.
#[derive(Debug)]
pub enum Work {
    /// Write it to the store.
    Commit {
        /// The file, with its body open.
        promised: Promised,
        /// Attempts that failed so far.
        attempts: u32,
    },
    /// It was deleted: [`Journal::erase`] it.
    Erase {
        /// Whether the store may hold something of it, to be cleared first.
        is_begun: bool,
    },
    /// Nothing to do: it left the journal, or waits for an admin.
    Nothing,
}

impl Journal {
    /// What memory has of an entry; `None` if there is no such entry. Never waits: it may be asked
    /// on a thread that must not stand still.
    ///
    /// # Errors
    /// [`Busy`]: ask [`Journal::look`].
    pub fn glance(&self, id: FileId) -> Result<Option<Glimpse>, Busy> {
        let index = match self.index.try_lock() {
            Ok(index) => index,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        if index.is_half_deleted(id) {
            return Err(Busy);
        }
        Ok(index.get(id).map(|slot| Glimpse {
            room: slot.room,
            sha256: index.digest(id),
        }))
    }

    /// What is known of an id here.
    ///
    /// # Errors
    /// When its record is here and cannot be read.
    pub fn look(&self, id: FileId) -> Result<Look, JournalError> {
        match self.record(id) {
            Ok((
                Slot {
                    room: Room::Deleted,
                    ..
                },
                _,
            )) => {
                self.finish_move_of_another(id)?;
                Ok(Look::Deleted)
            }
            Ok((slot, record)) => Ok(Look::Kept(Kept {
                id,
                content: self.small_content(id, slot, &record),
                is_whole_file: slot.place == Place::Files && record.window.offset == 0,
                meta: record.meta,
                room: slot.room,
                // It may have been settled since the look at its room.
                sha256: (slot.room == Room::Settled)
                    .then(|| self.index().digest(id))
                    .flatten(),
            })),
            Err(JournalError::Absent(_)) => Ok(Look::Absent),
            Err(err) => Err(err),
        }
    }

    /// The part of an entry that a download needs, when it was promised just now, without a look at the disk; `None`
    /// if the disk has more of it. `is_whole_body` says that it is all of what nginx handed over, and
    /// `content` are its bytes, if they are at hand.
    pub fn kept(
        &self,
        adopted: &Adopted,
        is_whole_body: bool,
        content: Option<Bytes>,
    ) -> Option<Kept> {
        let slot = self.index().get(adopted.id)?;
        let is_in_files = slot.place == Place::Files;
        (is_in_files || content.is_some()).then(|| Kept {
            id: adopted.id,
            meta: adopted.meta.clone(),
            room: slot.room,
            sha256: None,
            is_whole_file: is_in_files && is_whole_body,
            content,
        })
    }

    /// The bytes of a small entry of the log. What cannot be read is found out by the one who needs
    /// it.
    fn small_content(&self, id: FileId, slot: Slot, record: &Record) -> Option<Bytes> {
        match slot.place {
            Place::Log(position) if record.window.length <= SMALL_BYTES => {
                let logged = self.logged(id, position).ok().flatten();
                logged.map(|logged| logged.body)
            }
            Place::Log(_) | Place::Files => None,
        }
    }

    /// Notes the digest of a settled entry, as the store has it.
    pub fn note_digest(&self, id: FileId, sha256: Sha256) {
        self.index().note_digest(id, sha256);
    }

    /// Opens an entry for the committer. From here on the store may hold something of it.
    ///
    /// # Errors
    /// `Unreadable` when record or body is not what it should be: [`Journal::set_aside`] it. An entry of
    /// the log may turn out to be so later, as its body is read and verified.
    pub fn open_work(&self, id: FileId) -> Result<Work, JournalError> {
        let (record, in_log) = match self.open_record(id) {
            Err(JournalError::Absent(_)) => return Ok(Work::Nothing),
            found => found?,
        };
        // The room counts that it is in now: a delete may have come since the record was read.
        let slot = {
            let mut index = self.index();
            let Some(slot) = index.get(id) else {
                return Ok(Work::Nothing);
            };
            if slot.room.is_pending() {
                index.begin(id);
            }
            slot
        };
        match slot.room {
            Room::Hold | Room::Settled => Ok(Work::Nothing),
            Room::Deleted => Ok(Work::Erase {
                is_begun: slot.is_begun,
            }),
            Room::Incoming | Room::Deferred => {
                let body = match in_log {
                    Some(body) => body,
                    None => OpenBody {
                        id,
                        index: Arc::clone(&self.index),
                        file: Arc::new(self.open_body(&record)?),
                        window: record.window,
                        front: None,
                    },
                };
                Ok(Work::Commit {
                    promised: Promised {
                        id,
                        body: Box::new(body),
                        meta: record.meta,
                        is_retry: slot.is_begun,
                    },
                    attempts: record.attempts,
                })
            }
        }
    }

    /// Reads the record of an entry, and opens the body of one in the log.
    fn open_record(&self, id: FileId) -> Result<(Record, Option<OpenBody>), JournalError> {
        let slot = self.index().get(id);
        if let Some(Place::Log(position)) = slot.map(|slot| slot.place)
            && let Some((record, body)) = self.open_logged(id, position)?
        {
            return Ok((record, Some(body)));
        }
        // In the log a moment ago, it has files now.
        Ok((self.record(id)?.1, None))
    }

    /// Opens the file that holds an entry's bytes, with where they are in it; `None` if the entry
    /// is not here, or no longer. What is open stays readable whatever becomes of the entry.
    ///
    /// # Errors
    /// When record or body cannot be read.
    pub fn open_window(&self, id: FileId) -> Result<Option<(Arc<File>, Window)>, JournalError> {
        let found = self.record(id).and_then(|(slot, record)| {
            if slot.room == Room::Deleted {
                return Err(JournalError::Absent(id));
            }
            if let Place::Log(position) = slot.place
                && let Some(logged) = self.logged(id, position)?
            {
                return Ok((logged.segment, logged.window));
            }
            // In the log a moment ago, it has files now.
            Ok((Arc::new(self.open_body(&record)?), record.window))
        });
        match found {
            Err(JournalError::Absent(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Reads the record of an entry from where it is.
    pub(super) fn record(&self, id: FileId) -> Result<(Slot, Record), JournalError> {
        // The entry may change rooms between the look at the index and the read. No entry goes
        // through more rooms than there are.
        for _ in Room::ALL {
            let Some(slot) = self.index().get(id) else {
                break;
            };
            if let Place::Log(position) = slot.place {
                if let Some(record) = self.logged_record(id, position)? {
                    return Ok((slot, record));
                }
                continue;
            }
            match std::fs::read(self.layout.record(slot.room, id)) {
                Ok(bytes) => {
                    return Record::decode(id, &bytes)
                        .map(|record| (slot, record))
                        .map_err(|reason| JournalError::Unreadable { id, reason });
                }
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(JournalError::Disk {
                        id,
                        step: "read the record",
                        source,
                    });
                }
            }
        }
        Err(JournalError::Absent(id))
    }

    /// Opens the file with an entry's window, and sees that all of it is there.
    pub(super) fn open_body(&self, record: &Record) -> Result<File, JournalError> {
        let id = record.id;
        let file = match File::open(self.layout.body(id)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let slot = self.index().get(id);
                let is_deleted = slot.is_none_or(|slot| slot.room == Room::Deleted);
                return Err(if is_deleted {
                    JournalError::Absent(id)
                } else {
                    let reason = "the body is missing".to_owned();
                    JournalError::Unreadable { id, reason }
                });
            }
            opened => opened.map_err(settle::at(id, "open the body"))?,
        };
        let found = file.metadata().map_err(settle::at(id, "open the body"))?;
        recovery::check_window(record, found.len())?;
        Ok(file)
    }
}
