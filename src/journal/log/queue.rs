//! Who waits for the next group, and who writes it.
//!
//! One thread at a time *leads*: it takes all that has gathered, writes it, and tells everybody.
//! Who waits does so on a thread of its own ([`Journal::append`]), and then leads itself when nobody
//! does; or is a [`Waiter`], which takes no thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, MutexGuard, OnceLock, PoisonError};
use std::{io, mem, thread};

use super::super::adopt::{Adopted, at};
use super::super::entry::Record;
use super::super::error::AdoptError;
use super::super::rooms::{Place, Totals};
use super::frame::{self, Position};
use super::{Journal, lock};
use crate::file::FileId;

/// One who waits for the promise of a small upload without a thread.
pub trait Waiter: Send {
    /// Nobody leads: have some thread that may wait for the disk call [`Journal::lead`], now. Must
    /// not call it itself.
    fn lead(&self);

    /// The upload is a promise, or nothing of it is kept. Called once, by the thread that leads, which
    /// all others wait for.
    fn told(self: Box<Self>, outcome: Result<Adopted, AdoptError>);
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Whether a thread is writing a group.
    pub(super) is_led: bool,
    gathering: Gathering,
    /// To be noted with the next group.
    pub(super) gone: Vec<FileId>,
}

/// Frames that wait for the next group.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Written as they are, behind the group's head: a group of large ones is never copied.
    pub(super) frames: Vec<Vec<u8>>,
    /// Bytes of all of them.
    pub(super) length: usize,
    pub(super) entries: u64,
    group: Arc<Group>,
    /// The entries of those who wait on no thread.
    queued: VecDeque<Queued>,
}

/// What the threads of a group share.
#[derive(Debug, Default)]
struct Group {
    /// The segment that it is in and where it begins, or why it is not.
    outcome: OnceLock<Result<(u64, u64), Failure>>,
    /// Told to all when there is an outcome, and to one when nobody leads.
    turn: Condvar,
}

/// An upload in a group, and who waits for it.
pub(super) struct Queued {
    pub(super) record: Record,
    /// Where its frame is, in itself.
    pub(super) position: Position,
    pub(super) waiter: Box<dyn Waiter>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Queued")
            .field("id", &self.record.id)
            .finish_non_exhaustive()
    }
}

/// An I/O error, for all that it concerns.
#[derive(Debug, Clone)]
struct Failure {
    code: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        Self {
            code: err.raw_os_error(),
            kind: err.kind(),
            text: err.to_string(),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        failure.code.map_or_else(
            || Self::new(failure.kind, failure.text),
            Self::from_raw_os_error,
        )
    }
}

impl Gathering {
    /// Adds a frame; returns where in the group it is.
    fn add(&mut self, frame: Vec<u8>) -> io::Result<u64> {
        let before = frame::GROUP_HEAD_BYTES + self.length;
        self.length += frame.len();
        self.frames.push(frame);
        u64::try_from(before).map_err(io::Error::other)
    }
}

impl Queue {
    /// Takes what has gathered.
    fn take(&mut self) -> (Gathering, Vec<FileId>) {
        (mem::take(&mut self.gathering), mem::take(&mut self.gone))
    }

    /// Has somebody else lead, if anybody waits.
    fn hand_on(&self) {
        if let Some(first) = self.gathering.queued.front() {
            first.waiter.lead();
        }
        self.gathering.group.turn.notify_one();
    }

    /// How many uploads wait for the next group.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.gathering.entries
    }
}

impl Journal {
    /// Writes a frame, and returns when it will survive a power cut: the segment, and where in it
    /// the frame is. All that waits while another group is written makes up the next one, which
    /// the first of these threads to wake writes for all.
    ///
    /// # Errors
    /// What the disk says; nothing of the group was written then, for all that is promised.
    pub(super) fn append(&self, frame: Vec<u8>, entries: u64) -> io::Result<(u64, u64)> {
        let mut queue = lock(&self.log.queue);
        let before = queue.gathering.add(frame)?;
        queue.gathering.entries += entries;
        let group = Arc::clone(&queue.gathering.group);
        loop {
            if let Some(outcome) = group.outcome.get() {
                let (generation, place) = outcome.clone()?;
                return Ok((generation, place + before));
            }
            if queue.is_led {
                let woken = group.turn.wait(queue);
                queue = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue = self.write_next(queue);
            // This thread has its own to do: one of those who have none must find another.
            queue.hand_on();
        }
    }

    /// Puts a frame into the next group, for one who waits on no thread.
    pub(super) fn enqueue(&self, frame: Vec<u8>, mut queued: Queued) -> Result<(), AdoptError> {
        let mut queue = lock(&self.log.queue);
        let before = queue.gathering.add(frame).map_err(at("write to the log"))?;
        queued.position = queued.position.placed(0, before);
        queue.gathering.entries += 1;
        // If others wait already, one of them was asked.
        if !queue.is_led && queue.gathering.queued.is_empty() {
            queued.waiter.lead();
        }
        queue.gathering.queued.push_back(queued);
        Ok(())
    }

    /// Writes groups to the log until nobody waits any more, unless another thread does so. Blocks on
    /// the disk.
    pub fn lead(&self) {
        let mut queue = lock(&self.log.queue);
        while !queue.is_led && !queue.gathering.queued.is_empty() {
            queue = self.write_next(queue);
        }
        // Whoever waits on a thread was not to be kept waiting for this one.
        queue.gathering.group.turn.notify_one();
    }

    /// Writes what has gathered, and tells all who wait for it.
    fn write_next<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.is_led = true;
        let (gathered, gone) = queue.take();
        drop(queue);
        let mut lead = Lead {
            journal: self,
            gathered,
            gone,
        };
        let written = self.write_group(&lead.gathered, &lead.gone);
        let group = Arc::clone(&lead.gathered.group);
        let outcome = group.outcome.get_or_init(|| written.map_err(Failure::from));
        while let Some(queued) = lead.gathered.queued.pop_front() {
            self.tell(queued, outcome.clone());
        }
        drop(lead);
        lock(&self.log.queue)
    }

    /// Tells one who waits what has become of the group.
    fn tell(&self, queued: Queued, outcome: Result<(u64, u64), Failure>) {
        let Queued {
            record,
            position,
            waiter,
        } = queued;
        self.index().release(Totals::of(record.meta.length));
        let adopted = outcome
            .map_err(|failure| at("write to the log")(failure.into()))
            .and_then(|(generation, place)| {
                // The kernel may have told another thread of a lost page that was ours.
                self.check_poison()?;
                let record_bytes = position.record().length;
                let place = Place::Log(position.placed(generation, place));
                Ok(self.enter(record, record_bytes, place))
            });
        waiter.told(adopted);
    }
}

/// The lead of one group. It ends when this is dropped, by a panic as well: else nobody would write
/// ever again, and all would wait.
struct Lead<'a> {
    journal: &'a Journal,
    gathered: Gathering,
    gone: Vec<FileId>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let Gathering { group, queued, .. } = mem::take(&mut self.gathered);
        let outcome = group.outcome.get_or_init(|| {
            self.journal.take_back();
            Err(io::Error::other("the thread that wrote it panicked").into())
        });
        // Whom a panic has left untold learns that by the end of the waiter.
        for untold in queued {
            let length = untold.record.meta.length;
            self.journal.index().release(Totals::of(length));
        }
        let mut queue = lock(&self.journal.log.queue);
        if outcome.is_err() {
            queue.gone.append(&mut self.gone);
        }
        queue.is_led = false;
        group.turn.notify_all();
        if thread::panicking() {
            queue.hand_on();
        }
    }
}
