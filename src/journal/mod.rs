//! The promise on disk: accepted uploads, from their adoption until their proven commit.
//!
//! An entry is a *record* (what is known of it) and a *body* (its bytes). All bodies are in one
//! directory; the room that a record is in is the entry's state, and each change of state is one
//! rename. Synchronous code over std; it must never know HTTP, nor what the store is made of.
//!
//! | room | means | leaves it by |
//! |---|---|---|
//! | `log` | promised, as `incoming`; small ones, in few files: see its module | a proven commit; into `incoming` before anything else |
//! | `tmp` | a record being written | rename into a room; recovery removes the rest |
//! | `incoming` | promised | a proven commit, a failed attempt, a delete |
//! | `deferred` | promised, tried in vain | the same |
//! | `hold` | promised, waits for an admin | an admin's retry, a delete |
//! | `settled` | proven in the store | its grace time, the byte budget |
//! | `deleted` | deleted by a caller | the store answers, and holds nothing of it |
//! | `answered` | left, and answers a request that has a key; in few files | the time that keys are kept, the count of them |
//! | `corrupt` | unreadable | an admin's hand |

mod admission;
mod adopt;
mod answers;
mod disk;
mod entry;
mod error;
mod form;
mod index;
mod inspect;
mod layout;
mod lock;
mod log;
pub mod point;
mod recovery;
mod remove;
mod settle;
mod shared;
mod sweep;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Cursor, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use rustix::io::Errno;

use crate::config::{Durability, JournalConfig};
use crate::file::{FileId, FileIds, FileMeta, UnixMillis, Window};
use crate::store::{Body, Promised};

pub use admission::Free;
pub use adopt::{Adopted, Draft};
pub use answers::{Request, Running, Standing, Turn};
pub use disk::{Disk, LocalDisk, UnsyncedDisk};
pub use entry::Record;
pub use error::{AdoptError, JournalError, OpenError};
pub use index::Totals;
pub use inspect::{Inspection, Seen, Sight, Strange};
pub use layout::{BODIES, Layout, Room};
pub use log::Waiter;
#[cfg(any(test, fuzzing))]
pub use log::fuzz;
pub use recovery::Recovered;
pub use remove::Deletion;
pub use settle::Settling;

use answers::Answers;
use index::{Index, Place, Slot};
use lock::JournalLock;
use log::Log;
use point::point;
use shared::{Changed, SharedSync};

/// The journal of this node. One per data directory; shared by reference.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    layout: Layout,
    limits: JournalConfig,
    ids: FileIds,
    index: Mutex<Index>,
    poison: OnceLock<String>,
    /// Of the directory of bodies. Nothing is between the move into `incoming` and its fsync, so
    /// that one has nothing to gain.
    bodies_sync: SharedSync,
    log: Log,
    answers: Arc<Answers>,
    _lock: JournalLock,
}

/// A promised or recently settled file, for a download.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub id: FileId,
    /// Its description.
    pub meta: FileMeta,
    /// The room its record is in.
    pub room: Room,
    /// Whether it has a file among the bodies that is it from end to end. Any other is read by
    /// [`Journal::open_window`].
    pub is_whole_file: bool,
}

impl Kept {
    /// How far it has come.
    pub fn standing(&self) -> Standing {
        Standing::of(self.room)
    }
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
    /// The paths of this journal.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What its promises are worth.
    pub fn durability(&self) -> Durability {
        self.limits.durability
    }

    /// The room that an entry is in, from memory alone; `None` if there is no such entry. Never
    /// waits: it may be asked on a thread that must not stand still.
    ///
    /// # Errors
    /// [`Busy`]: ask [`Journal::look`].
    pub fn glance(&self, id: FileId) -> Result<Option<Room>, Busy> {
        let index = match self.index.try_lock() {
            Ok(index) => index,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        Ok(index.get(id).map(|slot| slot.room))
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
            )) => Ok(Look::Deleted),
            Ok((slot, record)) => Ok(Look::Kept(Kept {
                id,
                is_whole_file: slot.place == Place::Files && record.window.offset == 0,
                meta: record.meta,
                room: slot.room,
            })),
            Err(JournalError::Absent(_)) => Ok(Look::Absent),
            Err(err) => Err(err),
        }
    }

    /// Opens an entry for the committer. From here on the store may hold something of it.
    ///
    /// # Errors
    /// `Unreadable` when record or body is not what it should be: [`Journal::set_aside`] it.
    pub fn open_work(&self, id: FileId) -> Result<Work, JournalError> {
        let (_, record) = match self.record(id) {
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
            Room::Incoming | Room::Deferred => Ok(Work::Commit {
                promised: Promised {
                    id,
                    body: self.body(slot, &record)?,
                    meta: record.meta,
                    is_retry: slot.is_begun,
                },
                attempts: record.attempts,
            }),
        }
    }

    /// Opens the file that holds an entry's bytes, with where they are in it; `None` if the entry
    /// is not here, or no longer. What is open stays readable whatever becomes of the entry.
    ///
    /// # Errors
    /// When record or body cannot be read.
    pub fn open_window(&self, id: FileId) -> Result<Option<(File, Window)>, JournalError> {
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
            Ok((self.open_body(&record)?, record.window))
        });
        match found {
            Err(JournalError::Absent(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Everything the committer has to do, with the time at which it is due.
    pub fn work(&self) -> Vec<(FileId, UnixMillis)> {
        let index = self.index();
        let at_once = [Room::Incoming, Room::Deleted]
            .into_iter()
            .flat_map(|room| index.in_room(room))
            .map(|id| (id, UnixMillis(0)));
        let deferred = index.in_room(Room::Deferred);
        let mut work: Vec<_> = at_once.collect();
        drop(index);
        work.extend(deferred.into_iter().map(|id| {
            let due = self.record(id).map(|(_, record)| record.next_attempt);
            // What cannot be read is due now, so that it is found out and set aside.
            (id, due.unwrap_or(UnixMillis(0)))
        }));
        work
    }

    /// The bytes of an entry; `None` if it is not in the journal.
    pub fn length(&self, id: FileId) -> Option<u64> {
        self.index().get(id).map(|slot| slot.length)
    }

    /// Entries and bytes in a room.
    pub fn totals(&self, room: Room) -> Totals {
        self.index().totals(room)
    }

    /// How many files are set aside for an admin.
    ///
    /// # Errors
    /// When `corrupt` cannot be read.
    pub fn corrupt_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(self.layout.corrupt())?.count())
    }

    /// When the oldest pending entry was accepted.
    pub fn oldest_pending(&self) -> Option<std::time::SystemTime> {
        self.index().oldest_pending().map(FileId::made_at)
    }

    /// Why no promises are made any more; `None` while all is well.
    pub fn poison(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// Takes the index. A thread that panicked under the lock leaves it usable: every change to
    /// it is complete in itself, and the disk is the truth.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the record of an entry from where it is.
    fn record(&self, id: FileId) -> Result<(Slot, Record), JournalError> {
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

    /// The bytes of an entry, for the committer.
    fn body(&self, slot: Slot, record: &Record) -> Result<Box<dyn Body>, JournalError> {
        if let Place::Log(position) = slot.place
            && let Some(logged) = self.logged(record.id, position)?
        {
            // It was read to compare it with its digest.
            return Ok(Box::new(Cursor::new(logged.body)));
        }
        let mut file = self.open_body(record)?;
        file.seek(SeekFrom::Start(record.window.offset))
            .map_err(settle::at(record.id, "open the body"))?;
        Ok(Box::new(file.take(record.window.length)))
    }

    /// Opens the file with an entry's window, and sees that all of it is there.
    fn open_body(&self, record: &Record) -> Result<File, JournalError> {
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

    /// Fsyncs a file; if that fails, the journal makes no more promises.
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.disk
            .sync_file(file)
            .inspect_err(|err| self.set_poison("a file", err))
    }

    /// Fsyncs a directory; if that fails, the journal makes no more promises.
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.disk
            .sync_directory(path)
            .inspect_err(|err| self.set_poison(&path.display().to_string(), err))
    }

    fn set_poison(&self, what: &str, err: &io::Error) {
        let out_of_handles = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
        if out_of_handles.contains(&err.raw_os_error()) {
            // The directory was not even opened: no page was lost, and nothing was promised.
            return;
        }
        let reason = format!("fsync of {what} failed: {err}");
        if self.poison.set(reason.clone()).is_ok() {
            ::log::error!("{reason}; no more uploads are accepted until a restart");
        }
    }
}
