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
//!
//! [`next`] is the journal in the form that this one moves to, where all records are frames in one log,
//! with [`record`], [`index`], [`idempotency`], [`inspection`], [`wal`] and, under it, [`volume`]. Of all
//! these, only the calls to the disk are in use yet.

mod admission;
mod adopt;
mod answers;
mod body;
mod entry;
mod error;
mod form;
pub mod idempotency;
pub mod index;
mod inspect;
pub mod inspection;
mod lasting;
mod layout;
mod levels;
mod lock;
mod log;
mod moves;
pub mod next;
mod orphans;
pub mod point;
mod read;
pub mod record;
mod recovery;
mod remove;
mod rooms;
mod settle;
mod shared;
mod sweep;
#[cfg(test)]
mod tests;
pub mod volume;
mod waiting;
pub mod wal;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Durability, JournalConfig};
use crate::file::{FileId, FileIds, UnixMillis};

pub use admission::Free;
pub use adopt::{Adopted, Draft, record_bytes};
pub use answers::{Request, Running, Sender, Standing, Turn};
pub use entry::Record;
pub use error::{AdoptError, JournalError, OpenError};
pub use inspect::{Inspection, Seen, Sight, Strange};
pub use layout::{BODIES, Layout, Room};
pub use levels::{Level, Mark};
pub use log::Waiter;
#[cfg(any(test, fuzzing))]
pub use log::fuzz;
pub use read::{Busy, Glimpse, Kept, Look, Work};
pub use recovery::Recovered;
pub use remove::Deletion;
pub use rooms::Totals;
pub use settle::Settling;
pub use volume::{Disk, LocalDisk, UnsyncedDisk};
pub use waiting::{Retried, Waiting};

use answers::Answers;
use lock::JournalLock;
use log::Log;
use point::point;
use rooms::Index;
use shared::{Changed, SharedSync};
use volume::Poison;

/// The journal of this node. One per data directory; shared by reference.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    layout: Layout,
    limits: JournalConfig,
    ids: FileIds,
    /// Shared with the bodies that are open.
    index: Arc<Mutex<Index>>,
    poison: Poison,
    /// Of the directory of bodies. Nothing is between the move into `incoming` and its fsync, so
    /// that one has nothing to gain.
    bodies_sync: SharedSync,
    log: Log,
    answers: Arc<Answers>,
    _lock: JournalLock,
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
        self.poison.reason()
    }

    /// Takes the index. A thread that panicked under the lock leaves it usable: every change to
    /// it is complete in itself, and the disk is the truth.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.poison.set(what, err);
    }
}
