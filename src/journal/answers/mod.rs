//! Answers that can be given again: a request that comes a second time under its key gets the ids
//! that it got the first time, whatever was lost in between.
//!
//! The key stands in the record of each entry that answers the request, so that the promise and
//! the key are one step. Before the last trace of such an entry goes - at its eviction, its delete,
//! or the note that its frame in the log means nothing - its record is *kept*: written, together
//! with others, to a file in `answered`, and fsynced. So each answer is at any moment in a room, in
//! the log, or kept; and memory, which knows the keys, is made anew from these at a start.
//!
//! - Answers go when their time is over, by the system's clock and by one that nobody sets. If there are too many, the oldest of the sender that has most go
//!   earlier: however much one sends, the keys of others stay. A file goes when nothing in it is
//!   remembered.
//! - A deleted file still answers: the request was carried out once, and is not to be again.
//! - Nothing is written behind a failure, and no start writes anything new into a file that it has
//!   found. So what is torn is the end of a file, and its entries have not left.

mod kept;
pub(super) mod memory;
mod shares;

use std::collections::HashSet;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Journal;
use super::adopt::Adopted;
use super::entry::Record;
use super::error::JournalError;
use super::layout::Room;
use super::rooms::Place;
use super::settle::at;
use crate::file::{EvenClock, FileId};
use crate::store::Sha256;

use kept::Segment;
use memory::Memory;

/// How many records are kept with one fsync, at most.
const BATCH: usize = 256;

/// By what a request is known when it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The digest of its key, and of whoever sent it.
    pub key: Sha256,
    /// The digest of all that it says.
    pub content: Sha256,
    /// Whose answers it counts among.
    pub sender: Sender,
}

/// Whoever sent a request, by a digest. Records of older versions do not tell: all of these count as
/// one sender's, that of the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender(pub u64);

/// Which request an entry answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTo {
    pub(super) request: Request,
    pub(super) seat: Seat,
    /// Whether the file was deleted before its record was kept.
    pub(super) is_deleted: bool,
}

/// Which of the files that answer one request this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    /// The id of the first of them.
    pub(super) first: FileId,
    pub(super) position: u32,
    /// How many there are.
    pub(super) files: u32,
}

/// How far a promised file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is in the journal, and not proven in the store yet.
    Pending,
    /// It was proven in the store.
    Committed,
    /// It was deleted since.
    Deleted,
}

/// The fate of a request that has a key.
#[derive(Debug)]
pub enum Turn {
    /// It comes for the first time: carry it out while this lives.
    First(Running),
    /// It was answered with these.
    Answered(Vec<Adopted>),
    /// It is being carried out just now.
    Running,
    /// Another request has this key.
    Other,
}

/// A request that is being carried out. Dropping it lets the next one with its key come.
#[derive(Debug)]
pub struct Running {
    answers: Arc<Answers>,
    key: Sha256,
}

/// What memory knows of answers, and where they are written.
#[derive(Debug, Default)]
pub(super) struct Answers {
    memory: Mutex<Memory>,
    /// The keys of requests that are being carried out.
    running: Mutex<HashSet<Sha256>>,
    /// The file that is written to.
    active: Mutex<Option<Segment>>,
    /// What was written last could neither be fsynced nor taken back: nothing may come behind it.
    is_closed: AtomicBool,
    /// Held by the one that keeps what is leaving.
    keeping: Mutex<()>,
    clock: EvenClock,
    #[cfg(test)]
    pub(super) system_clock_is_ahead: Mutex<std::time::Duration>,
}

impl Answers {
    /// Of the system's clock and one that nobody sets since the start, the earlier: a clock that is set
    /// forward, be it for a moment, forgets no answer.
    fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        #[cfg(test)]
        let now = now + *lock(&self.system_clock_is_ahead);
        now.min(self.clock.time())
    }
}

/// A thread that panicked leaves these usable: each change is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    /// The seat of a file that is all of the answer.
    pub(super) fn alone(first: FileId) -> Self {
        Self {
            first,
            position: 0,
            files: 1,
        }
    }

    /// The seats of files that are the answer together.
    pub(super) fn row(ids: &[FileId]) -> impl Iterator<Item = Self> {
        let files = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let first = ids.first().copied();
        first.into_iter().flat_map(move |first| {
            (0..files).map(move |position| Self {
                first,
                position,
                files,
            })
        })
    }

    /// Whether there can be such a seat: no form has that many files.
    pub(super) fn is_possible(self) -> bool {
        self.position < self.files && self.files <= 65_536
    }
}

impl Standing {
    /// The word for callers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Committed => "committed",
            Self::Deleted => "deleted",
        }
    }

    pub(super) const fn of(room: Room) -> Self {
        match room {
            Room::Incoming | Room::Deferred | Room::Hold => Self::Pending,
            Room::Settled => Self::Committed,
            Room::Deleted => Self::Deleted,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.answers.running).remove(&self.key);
    }
}

impl Journal {
    /// Asks whether a request was carried out before. If not, nobody else is told to carry it out
    /// as long as the [`Running`] lives; what is adopted meanwhile for this request, as its drafts
    /// say, is its answer as soon as it is promised.
    ///
    /// # Errors
    /// When the first answer is there and cannot be read.
    pub fn begin(&self, request: Request) -> Result<Turn, JournalError> {
        let key = request.key;
        if !lock(&self.answers.running).insert(key) {
            return Ok(Turn::Running);
        }
        // From here on until it is dropped.
        let running = Running {
            answers: Arc::clone(&self.answers),
            key,
        };
        let Some(ids) = self.remembered().complete(key) else {
            return Ok(Turn::First(running));
        };
        let mut answer = Vec::with_capacity(ids.len());
        for id in ids {
            match self.answered(key, id)? {
                Some((record, _)) if is_to_other(&record, request) => return Ok(Turn::Other),
                Some((record, standing)) => answer.push(Adopted {
                    id,
                    meta: record.meta,
                    standing,
                }),
                None => {
                    log::warn!("{id}: its record is gone; the key that it answered is forgotten");
                    self.remembered().forget(key);
                    return Ok(Turn::First(running));
                }
            }
        }
        Ok(Turn::Answered(answer))
    }

    /// How far a promised file has come; one that has left is taken for committed.
    pub fn standing(&self, id: FileId) -> Standing {
        self.index().standing(id).unwrap_or(Standing::Committed)
    }

    /// How many files of answers are remembered.
    pub fn answers(&self) -> usize {
        self.remembered().files()
    }

    /// Tells memory that an entry answers a request.
    pub(super) fn learn(&self, id: FileId, answer: Option<&AnswerTo>) {
        if let Some(answer) = answer {
            let mut memory = lock(&self.answers.memory);
            memory.learn(id, answer);
            self.forget_old(&mut memory);
        }
    }

    /// Keeps the records of all entries that have left, so that the last trace of them may go.
    ///
    /// # Errors
    /// What the disk says; what is not kept is kept the next time.
    pub(super) fn keep_leaving(&self) -> Result<(), JournalError> {
        let _alone = lock(&self.answers.keeping);
        let leaving: Vec<_> = {
            let index = self.index();
            index
                .leaving
                .iter()
                .map(|(&id, &place)| (id, place))
                .collect()
        };
        for batch in leaving.chunks(BATCH) {
            let mut records = Vec::with_capacity(batch.len());
            for &(id, place) in batch {
                match self.leaving_record(id, place) {
                    Ok(record) => records.extend(record),
                    Err(err @ JournalError::Disk { .. }) => return Err(err),
                    Err(err) => log::error!("{err}; the key that it answered is forgotten"),
                }
            }
            self.keep(&records)
                .map_err(at(FileId::from_bytes([0; 12]), "keep answers"))?;
            let mut index = self.index();
            for (id, place) in batch {
                index.leaving.remove(id);
                if let Place::Log(position) = place {
                    self.log.release(position.generation);
                    self.log.note_gone(*id);
                }
            }
        }
        Ok(())
    }

    /// Keeps the record of an entry whose file is being deleted.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn keep_deleted(&self, id: FileId) -> Result<(), JournalError> {
        if !self.index().get(id).is_some_and(|slot| slot.is_keyed) {
            return Ok(());
        }
        let mut record = match self.record(id) {
            Ok((_, record)) => record,
            Err(err @ JournalError::Disk { .. }) => return Err(err),
            Err(err) => {
                log::error!("{err}; the key that it answered is forgotten");
                return Ok(());
            }
        };
        if let Some(answer) = &mut record.answer {
            answer.is_deleted = true;
        }
        self.keep(&[record]).map_err(at(id, "keep an answer"))
    }

    /// The record of an entry that answers a request, wherever it is, with how far the file has
    /// come; `None` if it is nowhere.
    fn answered(
        &self,
        key: Sha256,
        id: FileId,
    ) -> Result<Option<(Record, Standing)>, JournalError> {
        // In the order in which it goes from place to place.
        match self.record(id) {
            Ok((slot, record)) => {
                let standing = self.index().standing(id);
                let standing = standing.unwrap_or(Standing::of(slot.room));
                return Ok(Some((record, standing)));
            }
            Err(err @ JournalError::Disk { .. }) => return Err(err),
            Err(JournalError::Absent(_) | JournalError::Unreadable { .. }) => {}
        }
        let leaving = self.index().leaving.get(&id).copied();
        if let Some(place) = leaving
            && let Some(record) = self.leaving_record(id, place)?
        {
            return Ok(Some((record, Standing::Committed)));
        }
        let Some(position) = self.remembered().position(key, id) else {
            return Ok(None);
        };
        let record = self.kept_record(id, position)?;
        Ok(record.map(|record| {
            let is_deleted = record.answer.is_some_and(|answer| answer.is_deleted);
            let standing = if is_deleted {
                Standing::Deleted
            } else {
                Standing::Committed
            };
            (record, standing)
        }))
    }

    /// The record of an entry that has left, where it was until then; `None` if it is not there
    /// any more.
    fn leaving_record(&self, id: FileId, place: Place) -> Result<Option<Record>, JournalError> {
        if let Place::Log(position) = place {
            return self.logged_record(id, position);
        }
        match std::fs::read(self.layout.record(Room::Settled, id)) {
            Ok(bytes) => Record::decode(id, &bytes)
                .map(Some)
                .map_err(|reason| JournalError::Unreadable { id, reason }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(at(id, "read the record")(err)),
        }
    }

    /// Memory, without what is too old.
    fn remembered(&self) -> MutexGuard<'_, Memory> {
        let mut memory = lock(&self.answers.memory);
        self.forget_old(&mut memory);
        memory
    }

    fn forget_old(&self, memory: &mut Memory) {
        let oldest = self.answers.now().checked_sub(self.limits.answer_lifetime);
        let oldest = oldest.unwrap_or(SystemTime::UNIX_EPOCH);
        memory.forget_old(oldest, self.limits.max_answers);
    }
}

fn is_to_other(record: &Record, request: Request) -> bool {
    record.answer.is_none_or(|answer| {
        let Request { key, content, .. } = answer.request;
        (key, content) != (request.key, request.content)
    })
}
