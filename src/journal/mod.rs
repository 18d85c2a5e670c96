//! The promise on disk: accepted uploads, from their adoption until their proven commit.
//!
//! All records are frames in one log, and the state of an entry is the fold of its frames. Synchronous
//! code over std; it must never know HTTP, nor what the store is made of.
//!
//! Bodies are files in `body/`, names that nginx's spool files get, or stand in the frame if they are
//! small. Records are frames in `wal/`; no state is a directory. All that changes an entry is a *step*
//! (see the module of that name): decided, marked and queued at once, then synced, and only then told. The
//! journal itself announces what others have to do then: see [`Announcement`].
//!
//! | operation | steps | a cut leaves | the next start |
//! |---|---|---|---|
//! | adopt a small file | frame queued; synced: the promise | nothing, or the entry | makes durable what it finds, before any word |
//! | adopt any other | body linked, fsynced with `body/`; then the same | a lone body, or the entry | unlinks what is lone, if the log is sound |
//! | adopt a form | the same, with one frame | all of it, or nothing | the same |
//! | settle, defer, hold, retry | frame queued; synced: told | the old state, or the new one | goes on from it |
//! | delete | tombstone queued; synced: told; body unlinked; the store cleared; `body/` fsynced; `gone` queued | the entry, a tombstone, or nothing | goes on from the tombstone |
//! | evict | the body unlinked, `body/` fsynced; `gone` queued, synced | a settled entry, perhaps without its body | evicts what has no body |
//! | copy | base queued, synced; a later head tells the oldest segment; its file is used again or unlinked | either base | the later one counts |
//!
//! | part | is | must never know |
//! |---|---|---|
//! | [`volume`] | every fsync, link, rename and unlink; poison | records |
//! | [`record`] | what is written: bases and changes, with their versions | the log |
//! | [`wal`] | the log: append with group commit, read, replay, trim, damage | the meaning of a frame |
//! | [`index`] | what memory knows of entries, and each decision about them | the disk |
//! | [`idempotency`] | keys of requests, and what answered them | the disk |
//! | [`inspection`] | a journal, as an admin sees it | the operations |
//! | all other files | the operations: numbered steps over the parts above | |

mod admission;
mod adopt;
mod adopt_soon;
mod announce;
mod begin;
mod body;
mod copy;
mod corrupt;
mod defer;
mod delete;
mod error;
mod evict;
mod figures;
mod form;
pub mod idempotency;
pub mod index;
pub mod inspection;
mod keys;
mod layout;
mod levels;
mod lock;
mod lookup;
mod memory;
mod orphans;
mod place;
pub mod point;
pub mod record;
mod recover;
mod replay;
mod room;
mod settle;
mod shared;
mod step;
mod tag;
#[cfg(test)]
mod tests;
pub mod volume;
mod waiting;
pub mod wal;
mod work;

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::{Durability, JournalConfig};
use crate::file::{FileId, FileIds, UnixMillis, wall_time};

pub use admission::Free;
pub use adopt::{Adopted, Draft, record_bytes};
pub use adopt_soon::Waiter;
pub use announce::{Announcement, Announcer};
pub use delete::Deletion;
pub use error::{AdoptError, JournalError, OpenError};
pub use figures::JournalFigures;
pub use idempotency::{Claim, Fingerprint, Running, Standing};
pub use index::Totals;
pub use inspection::Inspection;
pub use layout::{BODIES, Layout};
pub use levels::{Level, Mark};
pub use lookup::{Glimpse, Kept, Look, Opened};
pub use memory::Busy;
pub use record::Subject;
pub use recover::Recovered;
pub use room::Room;
pub use settle::Settling;
pub use volume::{Disk, LocalDisk, UnsyncedDisk};
pub use waiting::{Retried, Waiting};
pub use work::Work;

use idempotency::Claims;
use index::{Known, Phase};
use lock::JournalLock;
use memory::{Memory, State};
use point::point;
use record::LogTime;
use room::{phase_of, room_of};
use shared::{Changed, SharedSync};
use wal::Wal;

/// Files for segments that are kept for changes, tombstones and copies while the disk is full.
const RESERVED_SEGMENTS: usize = 2;

/// The journal of this node. One per data directory; shared by reference.
#[derive(Debug)]
pub struct Journal {
    wal: Wal,
    memory: Arc<Memory>,
    layout: Layout,
    limits: JournalConfig,
    ids: FileIds,
    /// Of the directory of bodies.
    bodies_sync: SharedSync,
    /// Keys of requests that are being carried out.
    claims: Claims,
    /// When a body was last unlinked.
    unlinked: Mutex<Option<Changed>>,
    /// Segments with damage: their files are kept.
    damaged: BTreeSet<u64>,
    /// What the start found damaged in the log, in words.
    damage: Vec<String>,
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

    /// Why no promises are made any more; `None` while all is well.
    pub fn poison(&self) -> Option<&str> {
        self.wal.volume().poison()
    }

    /// Notes that the log is closed in order. To be called when nobody changes anything any more.
    ///
    /// # Errors
    /// What the log says; a start needs no such note.
    pub fn close(&self) -> Result<(), wal::AppendError> {
        self.wal.stop()
    }

    /// The bytes of an entry; `None` if it is not in the journal.
    pub fn length(&self, id: FileId) -> Option<u64> {
        self.known(id).map(|known| known.length)
    }

    /// Entries and bytes in a room.
    pub fn totals(&self, room: Room) -> Totals {
        self.state().index.totals(phase_of(room))
    }

    /// How many files the log has.
    pub fn log_segments(&self) -> usize {
        self.wal.generations().len()
    }

    /// How many files are set aside for an admin.
    ///
    /// # Errors
    /// When `corrupt` cannot be read.
    pub fn corrupt_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(self.layout.corrupt())?.count())
    }

    /// What the start found damaged in the log, in words: a hundred at most.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Whether an entry still waits for its commit.
    pub fn is_pending(&self, id: FileId) -> bool {
        let known = self.known(id);
        known.is_some_and(|known| known.phase.is_pending())
    }

    /// Whether an entry is deleted.
    pub fn is_deleted(&self, id: FileId) -> bool {
        let known = self.known(id);
        known.is_some_and(|known| known.phase == Phase::Deleted)
    }

    /// Bytes of the bodies of a subject that wait for their commit.
    pub fn pending_bytes(&self, subject: Subject) -> u64 {
        self.state().index.pending_bytes(subject)
    }

    /// Keeps something for as long as an entry waits for its commit, and then drops it; at once, if it
    /// does not wait.
    pub fn keep_while_pending(&self, id: FileId, share: impl Any + Send) {
        let mut state = self.state();
        let known = state.index.get(id);
        if known.is_some_and(|known| known.phase.is_pending()) {
            state.shares.insert(id, Box::new(share));
        }
    }

    fn known(&self, id: FileId) -> Option<Known> {
        self.state().index.get(id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.memory.lock()
    }

    fn disk(&self) -> &dyn Disk {
        self.wal.volume().disk()
    }

    /// Makes what was changed among the bodies last.
    fn sync_bodies(&self, changed: Changed) -> io::Result<()> {
        self.bodies_sync.make_last(changed, || {
            self.wal.volume().sync_directory(&self.layout.bodies())
        })
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.wal.volume().sync_elsewhere(file)
    }

    /// Now, by the log's own clock.
    fn now(&self) -> LogTime {
        LogTime(self.wal.clock_ms())
    }

    /// The moment that the wall clock shows then, as it stands now; now, of what is over.
    fn to_wall_time(&self, at: LogTime) -> UnixMillis {
        UnixMillis::now().later(at.since(self.now()))
    }

    /// An id that no entry has.
    fn free_id(&self) -> FileId {
        loop {
            let id = self.ids.next(wall_time());
            if self.known(id).is_none() {
                return id;
            }
        }
    }
}

/// Names the entry and the step of an I/O error.
fn at(id: FileId, step: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Disk { id, step, source }
}
