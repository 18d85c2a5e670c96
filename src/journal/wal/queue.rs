//! The queue of frames for the next group, and its waiters.
//!
//! One thread at a time *leads*: it takes the oldest gathered group, writes it, and tells its waiters.
//! A caller waits on a thread of its own ([`Wal::wait`]) and leads itself when nobody else does, or it
//! is a [`Waiter`], which takes no thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::error::AppendError;
use super::format::HEAD_BYTES;
use super::frame::Frame;
use super::position::Position;
use super::write::{Note, Placed};
use super::{Wal, lock};

/// Waits for a frame, without a thread.
pub trait Waiter: Send {
    /// No thread leads: let a thread that may block on the disk call [`Wal::lead`], now. This method
    /// must neither call it itself nor block.
    fn lead(&self);

    /// The frame is in the log, or nothing of it is. The leading thread calls this once, while all
    /// others wait for it.
    fn completed(self: Box<Self>, outcome: Result<Position, AppendError>);
}

/// A frame in a group, for [`Wal::wait`]. If this is dropped, the frame is still written with its group
/// once a thread leads.
#[derive(Debug)]
#[must_use = "no word may be given before the group is synced"]
pub struct Ticket {
    group: Arc<Group>,
    frame: InGroup,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// When the thread that is leading took its group.
    pub(super) led_since: Option<Instant>,
    /// The oldest group comes first.
    pub(super) groups: VecDeque<Gathering>,
}

/// Frames that wait for a group.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) frames: Vec<Frame>,
    /// Includes the head.
    bytes: usize,
    pub(super) note: Note,
    pub(super) group: Arc<Group>,
    pub(super) waiting: VecDeque<Waiting>,
}

/// Shared by the threads that wait for a group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) outcome: OnceLock<Result<Placed, AppendError>>,
    /// Wakes all threads when there is an outcome, and one thread when nobody leads.
    pub(super) wake: Condvar,
}

/// The place of a frame in its group.
#[derive(Debug, Clone, Copy)]
pub(super) struct InGroup {
    offset: usize,
    length: usize,
}

pub(super) struct Waiting {
    pub(super) frame: InGroup,
    pub(super) waiter: Box<dyn Waiter>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.frame.fmt(formatter)
    }
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            bytes: HEAD_BYTES,
            note: Note::default(),
            group: Arc::default(),
            waiting: VecDeque::new(),
        }
    }
}

impl InGroup {
    pub(super) fn position(self, placed: Placed) -> Result<Position, AppendError> {
        let number = |size: usize| u32::try_from(size).map_err(|_| AppendError::TooLarge(size));
        Ok(Position {
            generation: placed.generation,
            number: placed.number,
            place: number(placed.place + self.offset)?,
            bytes: number(self.length)?,
        })
    }
}

impl Queue {
    /// Whether a thread is leading.
    pub(super) fn is_led(&self) -> bool {
        self.led_since.is_some()
    }

    /// The last gathering group, if it has room for this many bytes.
    fn gathering(&mut self, bytes: usize, limit: usize) -> Option<&mut Gathering> {
        let last = self.groups.back();
        if last.is_none_or(|last| last.bytes + bytes > limit) {
            self.groups.push_back(Gathering::default());
        }
        self.groups.back_mut()
    }

    /// Lets another waiter lead, if there is one.
    pub(super) fn hand_on(&self) {
        if self.is_led() {
            return;
        }
        let mut waiting = self.groups.iter().flat_map(|group| &group.waiting);
        if let Some(first) = waiting.next() {
            first.waiter.lead();
        }
        if let Some(next) = self.groups.front() {
            next.group.wake.notify_one();
        }
    }
}

impl Wal {
    /// Puts a frame into the next group, and returns without waiting for the disk.
    ///
    /// # Errors
    /// `TooLarge`, poison. Then the frame is in no group.
    pub fn queue(&self, frame: Frame) -> Result<Ticket, AppendError> {
        let mut queue = lock(&self.queue);
        let (gathering, frame) = self.add(&mut queue, frame)?;
        let group = Arc::clone(&gathering.group);
        Ok(Ticket { group, frame })
    }

    /// Like [`Wal::queue`], for a waiter without a thread.
    ///
    /// # Errors
    /// As [`Wal::queue`]; then the waiter is dropped and never told.
    pub fn queue_for(&self, frame: Frame, waiter: Box<dyn Waiter>) -> Result<(), AppendError> {
        let mut queue = lock(&self.queue);
        // If other waiters came before, one of them was asked to lead.
        let is_asked = queue.groups.iter().any(|group| !group.waiting.is_empty());
        let is_led = queue.is_led();
        let (gathering, frame) = self.add(&mut queue, frame)?;
        if !is_led && !is_asked {
            waiter.lead();
        }
        gathering.waiting.push_back(Waiting { frame, waiter });
        Ok(())
    }

    fn add<'a>(
        &self,
        queue: &'a mut Queue,
        frame: Frame,
    ) -> Result<(&'a mut Gathering, InGroup), AppendError> {
        self.volume.check()?;
        let (bytes, length) = (frame.bytes().len(), frame.length());
        let limit = self.shape.largest_group();
        if HEAD_BYTES + bytes > limit {
            return Err(AppendError::TooLarge(length));
        }
        let gathering = queue.gathering(bytes, limit);
        let gathering = gathering.ok_or(AppendError::TooLarge(length))?;
        let offset = gathering.bytes;
        gathering.bytes += bytes;
        gathering.frames.push(frame);
        Ok((gathering, InGroup { offset, length }))
    }

    /// Waits until a frame survives a power cut.
    ///
    /// # Errors
    /// The disk's error for its group. Then nothing of the group counts as being in the log.
    pub fn wait(&self, ticket: &Ticket) -> Result<Position, AppendError> {
        ticket.frame.position(self.outcome_of(&ticket.group)?)
    }

    /// Adds a note to the last group, and waits until it is synced.
    pub(super) fn note(&self, note: Note) -> Result<(), AppendError> {
        let mut queue = lock(&self.queue);
        let limit = self.shape.largest_group();
        let gathering = queue.gathering(0, limit);
        let gathering = gathering.ok_or(AppendError::TooLarge(0))?;
        gathering.note.oldest = gathering.note.oldest.max(note.oldest);
        gathering.note.flags |= note.flags;
        let group = Arc::clone(&gathering.group);
        drop(queue);
        self.outcome_of(&group).map(drop)
    }

    /// Waits for the outcome of a group. All frames that wait while another group is written form the
    /// next one; the first waiting thread that wakes writes it for all.
    fn outcome_of(&self, group: &Group) -> Result<Placed, AppendError> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(outcome) = group.outcome.get() {
                return outcome.clone();
            }
            if queue.is_led() {
                let woken = group.wake.wait(queue);
                queue = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue = self.write_next(queue);
            // This thread has its own outcome; a waiter without one must lead next.
            queue.hand_on();
        }
    }

    /// The time for which the disk has been writing the group of this moment.
    pub fn writes_for(&self) -> Duration {
        let since = lock(&self.queue).led_since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The number of frames that wait for a group.
    #[cfg(test)]
    pub(in crate::journal) fn queued(&self) -> usize {
        let queue = lock(&self.queue);
        queue.groups.iter().map(|group| group.frames.len()).sum()
    }
}
