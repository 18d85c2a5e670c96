//! The promise on disk: accepted uploads, from their adoption until their proven commit.
//!
//! All records are frames in one log, and the state of an entry is the fold of its frames. The code is
//! synchronous, over std; it must never know HTTP, nor what the store is made of.
//!
//! Bodies are files in `body/` (further names of nginx's spool files), or inline in the frame if they
//! are small. Records are frames in `wal/`; no state is a directory. Every change of an entry is a
//! *step* (see the module of that name): decided, marked and queued in one go, then synced, and only
//! then told. The journal itself announces the work that follows for other rooms: see [`Announcement`].
//!
//! | operation | steps | a cut leaves | the next start |
//! |---|---|---|---|
//! | adopt a small file | frame queued; synced: the promise | nothing, or the entry | makes everything durable that it finds, before it answers anything |
//! | adopt any other | body linked, fsynced with `body/`; then the same | a body without an entry, or the entry | unlinks bodies without an entry, if the log is not damaged |
//! | adopt a form | the same, with one frame | all of it, or nothing | the same |
//! | settle, defer, hold, retry | frame queued; synced: told | the old state, or the new one | goes on from it |
//! | delete | tombstone queued; synced: told; body unlinked; the store cleared; `body/` fsynced; `gone` queued | the entry, a tombstone, or nothing | goes on from the tombstone |
//! | delete a message | a tombstone that keeps the message queued; synced: told; parts unlinked; then as a delete | the message, or the tombstone with some parts | unlinks the other parts; goes on from the tombstone |
//! | link, unlink | a base with the file's present state queued; synced: told | the file with or without the link | goes on from it |
//! | open an upload, vote on a key | frame queued; synced: told | nothing, or an upload without bytes; nothing, or the vote | keeps it until it expires |
//! | append | body linked or lengthened, fsynced with `body/` if it is new; frame queued; synced: the offset, or the file | the old offset, perhaps with a longer body; the new one; or the file | goes on from it; the next append cuts the body to the offset |
//! | small append | body lengthened; frame with the bytes queued; synced: the offset | the old offset, perhaps with a longer body; the new one, perhaps with a shorter body | writes the bytes into the body again |
//! | end or expire | as a delete | the upload, or a tombstone | goes on from it |
//! | carry out a whole request under the key of an upload | as adopt; then end the upload | either, or both | ends the upload if the promise is there |
//! | put parts together | bytes copied to a new body, fsynced with `body/`; frame queued; synced: the promise | a body without an entry, or the file | as for an adopted file |
//! | intend | an intent queued, synced; links are made; the message's base takes its place | the intent, or the message | undoes its links, or keeps the message |
//! | evict | the body unlinked, `body/` fsynced; `gone` queued, synced | a settled entry, perhaps without its body | evicts entries without a body |
//! | take over from a dead node | the body linked or copied, fsynced with `body/`; frame queued, synced | a body without an entry, or the entry | as for an adopted file |
//! | copy | base queued, synced; a later head names the oldest segment; the files before it are reused or unlinked | either base | the later one counts |
//!
//! | part | is | must never know |
//! |---|---|---|
//! | [`volume`] | every fsync, link, rename and unlink; poison | records |
//! | [`record`] | the bytes of records: bases and changes, with their versions | the log |
//! | [`wal`] | the log: append with group commit, read, replay, trim, damage | the meaning of a frame |
//! | [`index`] | the entries in memory, and each decision about them | the disk |
//! | [`idempotency`] | keys of requests, and their answers | the disk |
//! | [`inspection`] | a journal, as an admin sees it | the operations |
//! | all other files | the operations: numbered steps over the parts above | |

mod admission;
mod adopt;
mod adopt_soon;
mod announce;
mod answered;
mod append;
mod begin;
mod body;
mod concatenate;
mod copy;
mod corrupt;
mod damaged;
mod defer;
mod delete;
mod dying;
mod error;
mod evict;
mod figures;
mod form;
mod giving_way;
pub mod idempotency;
pub mod index;
pub mod inspection;
mod intent;
mod keys;
mod layout;
mod levels;
mod link;
mod lock;
mod lookup;
mod made;
mod memory;
mod message;
mod open;
mod orphans;
mod outline;
mod pack;
mod place;
pub mod point;
pub mod record;
mod recover;
mod refused;
mod replay;
mod rescue;
mod room;
mod settle;
mod shared;
mod step;
mod tag;
mod tail;
#[cfg(test)]
mod tests;
mod under_key;
mod upload;
pub mod volume;
mod vote;
mod waiting;
pub mod wal;
mod work;

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::{Durability, JournalConfig};
use crate::file::{FileId, FileIds, UnixMillis, wall_time};

pub use admission::Free;
pub use adopt::{Adopted, Draft, record_bytes};
pub use adopt_soon::Waiter;
pub use announce::{Announcement, Announcer, UploadProgress};
pub use answered::{AnswerPage, HandedFile};
pub use delete::Deletion;
pub use dying::MessageDeletion;
pub use error::{AdoptError, JournalError, OpenError};
pub use figures::JournalFigures;
pub use idempotency::{AnswerPlace, Claim, Fingerprint, Running, Standing};
pub use index::Totals;
pub use inspection::Inspection;
pub use intent::Intention;
pub use layout::{BODIES, Layout};
pub use levels::{Level, Watermark};
pub use lookup::{Kept, Lookup, Opened};
pub use memory::Busy;
pub use message::{AdoptedMessage, KeptMessage, MessageDraft, PartDraft};
pub use outline::Outlined;
pub use record::{Becomes, Subject};
pub use recover::Recovered;
pub use rescue::{DeadJournal, Taken};
pub use room::Room;
pub use settle::Settling;
pub use under_key::UnderKey;
pub use upload::{
    Appended, Completion, Ends, MadeFiles, MadeUpload, OpenUpload, UploadDraft, UploadError,
    UploadState,
};
pub use volume::{Disk, LocalDisk, UnsyncedDisk};
pub use waiting::{Retried, Waiting};
pub use work::Work;

#[cfg(test)]
pub(crate) use tests::{disk::FaultyDisk, fault::Fault};

use idempotency::Claims;
use index::{Known, Phase};
use lock::JournalLock;
use memory::{Memory, State};
use point::point;
use record::LogTime;
use room::{phase_of, room_of};
use shared::{Changed, SharedSync};
use wal::Wal;

/// Segment files in reserve for changes, tombstones and copies on a full disk.
const RESERVED_SEGMENTS: usize = 2;

/// The journal of this node. One per data directory; shared by reference.
#[derive(Debug)]
pub struct Journal {
    wal: Wal,
    memory: Arc<Memory>,
    layout: Layout,
    limits: JournalConfig,
    ids: FileIds,
    /// Shared fsyncs of the directory of bodies.
    bodies_sync: SharedSync,
    /// Keys of requests that are being carried out.
    claims: Claims,
    /// Uploads with an append under way.
    appending: Claims<FileId>,
    /// Uploads with an append that the log refused: a start may still find its frame.
    refused_appends: Mutex<HashSet<FileId>>,
    /// Uploads with bytes that only the log has for good: the body was not fsynced since.
    with_tails: Mutex<HashSet<FileId>>,
    /// The last unlink of a body.
    unlinked: Mutex<Option<Changed>>,
    /// Segments with damage that a start, or copying forward, has found; their files are kept.
    damaged: Mutex<BTreeSet<u64>>,
    /// The damage in the log that the start found, in words.
    damage: Vec<String>,
    _lock: JournalLock,
}

impl Journal {
    /// The paths of this journal.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The setting of what makes a promise.
    pub fn durability(&self) -> Durability {
        self.limits.durability
    }

    /// The reason why no promises are made; `None` while all is well.
    pub fn poison(&self) -> Option<&str> {
        self.wal.volume().poison()
    }

    /// Notes in the log that it was closed in order. To be called after the last change.
    ///
    /// # Errors
    /// The log's error. A start does not need the note.
    pub fn close(&self) -> Result<(), wal::AppendError> {
        self.wal.stop()
    }

    /// The length of an entry; `None` if it is not in the journal.
    pub fn length(&self, id: FileId) -> Option<u64> {
        self.known(id).map(|known| known.length)
    }

    /// Entries and bytes in a room.
    pub fn totals(&self, room: Room) -> Totals {
        self.state().index.totals(phase_of(room))
    }

    /// The number of the log's files.
    pub fn log_segments(&self) -> usize {
        self.wal.generations().len()
    }

    /// The number of files that are set aside for an admin.
    ///
    /// # Errors
    /// When `corrupt` cannot be read.
    pub fn corrupt_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(self.layout.corrupt())?.count())
    }

    /// The damage in the log that the start found, in words: the first hundred.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Whether an entry still waits for its commit.
    pub fn is_pending(&self, id: FileId) -> bool {
        self.known(id).is_some_and(|known| known.phase.is_pending())
    }

    /// Bytes of the bodies of a subject that wait for their commit.
    pub fn pending_bytes(&self, subject: Subject) -> u64 {
        self.state().index.pending_bytes(subject)
    }

    fn is_settled(&self, id: FileId) -> bool {
        let known = self.known(id);
        known.is_some_and(|known| known.phase == Phase::Settled)
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

    /// Makes a change among the bodies durable.
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

    /// The wall clock's time at that moment of the log, as the wall clock is set now; the present time
    /// for a past moment.
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

/// Adds the entry and the step to an I/O error.
fn at(id: FileId, step: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Disk { id, step, source }
}
