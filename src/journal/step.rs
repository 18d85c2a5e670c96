//! Steps: the one way to change an entry.
//!
//! 1. The index is locked. It decides and marks the slot, and the frame is queued.
//! 2. The lock is released. The thread waits until the frame's group is synced, or writes the group
//!    itself.
//! 3. The index is told the outcome: the mark becomes the state, or is taken back.
//! 4. Only now callers are told, and the work for other rooms is announced.
//!
//! If a thread meets another step of the same entry, it waits for the end of that step and decides
//! anew.

use std::io;

use super::index::{Index, LogTail, NotQueued, Refused, Ticket};
use super::memory::News;
use super::record::Frame;
use super::tag::tag;
use super::wal::{self, AppendError, Tag};
use super::{AdoptError, Journal, JournalError};
use crate::file::FileId;
use crate::store::Sha256;

/// A frame as it will stand on disk: it is laid out, and the digests of its bodies are known, before
/// the index is locked.
#[derive(Debug)]
pub(super) struct LaidOut {
    tag: Tag,
    bytes: wal::Frame,
}

/// The end of the log, for a decision of the index.
#[derive(Debug)]
pub(super) struct Tail<'a> {
    wal: &'a wal::Wal,
    laid_out: Option<LaidOut>,
    outcome: Option<Result<wal::Ticket, AppendError>>,
}

/// A step that is decided and queued. It also ends when this is dropped, as others may wait for it.
#[derive(Debug)]
#[must_use = "no word may be given before it has landed"]
pub(super) struct Landing<'a> {
    journal: &'a Journal,
    ticket: Ticket,
    queued: wal::Ticket,
    is_over: bool,
}

/// The reason why a step was not made.
#[derive(Debug)]
pub(super) enum StepError {
    Refused(Refused),
    Append(AppendError),
}

impl LaidOut {
    /// `fill` writes all inline bodies of the frame, one behind the other. Bodies with a known digest
    /// are not hashed.
    pub(super) fn new(
        frame: &Frame,
        known: &[Option<Sha256>],
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let known: Vec<_> = known
            .iter()
            .map(|sha256| Some(sha256.as_ref()?.0))
            .collect();
        let tag = tag(frame);
        let lengths = &frame.body_lengths;
        let bytes = wal::Frame::build(tag, &frame.record, lengths, &known, fill)?;
        Ok(Self { tag, bytes })
    }

    /// The frame's bytes, if the index has decided on this very frame.
    pub(super) fn for_frame(self, frame: &Frame) -> Result<wal::Frame, AppendError> {
        if self.tag == tag(frame) && self.bytes.has_record(&frame.record) {
            Ok(self.bytes)
        } else {
            Err(io::Error::other("the frame is not the one that was laid out").into())
        }
    }
}

impl<'a> Tail<'a> {
    fn of(wal: &'a wal::Wal, laid_out: Option<LaidOut>) -> Self {
        Self {
            wal,
            laid_out,
            outcome: None,
        }
    }
}

impl LogTail for Tail<'_> {
    fn push(&mut self, frame: &Frame, _: Ticket) -> Result<(), NotQueued> {
        let bytes = match self.laid_out.take() {
            Some(laid_out) => laid_out.for_frame(frame),
            None => LaidOut::new(frame, &[], |_| Ok(()))
                .map_or_else(|err| Err(err.into()), |laid_out| Ok(laid_out.bytes)),
        };
        let queued = bytes.and_then(|bytes| self.wal.queue(bytes));
        let is_queued = queued.is_ok();
        self.outcome = Some(queued);
        if is_queued { Ok(()) } else { Err(NotQueued) }
    }
}

impl Journal {
    /// Step 1; landing the result makes steps 2 to 4. `decide` is called again after each wait.
    pub(super) fn decide(
        &self,
        laid_out: Option<LaidOut>,
        news: Option<News>,
        mut decide: impl FnMut(&mut Index, &mut Tail<'_>) -> Result<Ticket, Refused>,
    ) -> Result<Landing<'_>, StepError> {
        let mut tail = Tail::of(&self.wal, laid_out);
        let mut state = self.state();
        loop {
            match self.try_to(&mut decide, &mut state.index, &mut tail) {
                Err(StepError::Refused(Refused::Wait(_))) => state = self.memory.wait(state),
                Ok(landing) => {
                    state.expect(landing.ticket, news);
                    return Ok(landing);
                }
                refused @ Err(_) => return refused,
            }
        }
    }

    /// Makes step 1, but returns an error instead of waiting for another step.
    pub(super) fn decide_now(
        &self,
        laid_out: Option<LaidOut>,
        mut decide: impl FnMut(&mut Index, &mut Tail<'_>) -> Result<Ticket, Refused>,
    ) -> Result<Landing<'_>, StepError> {
        let mut tail = Tail::of(&self.wal, laid_out);
        self.try_to(&mut decide, &mut self.state().index, &mut tail)
    }

    fn try_to<'a>(
        &'a self,
        decide: &mut impl FnMut(&mut Index, &mut Tail<'_>) -> Result<Ticket, Refused>,
        index: &mut Index,
        tail: &mut Tail<'_>,
    ) -> Result<Landing<'a>, StepError> {
        match (decide(index, tail), tail.outcome.take()) {
            (Ok(ticket), Some(Ok(queued))) => Ok(Landing {
                journal: self,
                ticket,
                queued,
                is_over: false,
            }),
            (_, Some(Err(err))) => Err(StepError::Append(err)),
            (Err(refused), None | Some(Ok(_))) => Err(StepError::Refused(refused)),
            (Ok(_), None) => Err(StepError::Refused(Refused::NotQueued)),
        }
    }

    /// Makes steps of several entries that share a group. A thread with steps under way must not wait
    /// for another step, so entries that would have to wait come after all others have landed. Each has
    /// an outcome of its own.
    pub(super) fn steps<T>(
        &self,
        entries: &[T],
        decide: impl Fn(&T, &mut Index, &mut Tail<'_>) -> Result<Ticket, Refused>,
    ) -> Vec<Result<(), StepError>> {
        let decided = entries
            .iter()
            .map(|entry| self.decide_now(None, |index, tail| decide(entry, index, tail)));
        let decided: Vec<_> = decided.collect();
        let landed: Vec<_> = decided
            .into_iter()
            .map(|decided| decided.and_then(|landing| Ok(landing.land()?)))
            .collect();
        let with_entries = landed.into_iter().zip(entries);
        with_entries
            .map(|(landed, entry)| match landed {
                Err(StepError::Refused(Refused::Wait(_))) => {
                    self.step(|index, tail| decide(entry, index, tail))
                }
                landed => landed,
            })
            .collect()
    }

    /// Makes a whole step.
    pub(super) fn step(
        &self,
        decide: impl FnMut(&mut Index, &mut Tail<'_>) -> Result<Ticket, Refused>,
    ) -> Result<(), StepError> {
        Ok(self.decide(None, None, decide)?.land()?)
    }
}

impl Landing<'_> {
    /// Steps 2 and 3.
    pub(super) fn land(mut self) -> Result<(), AppendError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), AppendError> {
        let outcome = self.journal.wal.wait(&self.queued);
        self.is_over = true;
        drop(self.journal.memory.note(self.ticket, &outcome));
        outcome.map(drop)
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if !self.is_over
            && let Err(err) = self.finish()
        {
            log::error!("a step that nobody waited for: {err}");
        }
    }
}

impl From<AppendError> for StepError {
    fn from(err: AppendError) -> Self {
        Self::Append(err)
    }
}

/// The I/O error behind a refused append.
fn io_error(err: AppendError) -> io::Error {
    match err {
        AppendError::Disk {
            code: Some(code), ..
        } => io::Error::from_raw_os_error(code),
        AppendError::Disk { kind, text, .. } => io::Error::new(kind, text),
        err @ (AppendError::Poisoned(_) | AppendError::TooLarge(_) | AppendError::Panicked) => {
            io::Error::other(err)
        }
    }
}

fn refused(refused: Refused) -> io::Error {
    if let Refused::Record(err) = refused {
        return io::Error::other(err);
    }
    io::Error::other(format!("the index refuses: {refused:?}"))
}

impl From<StepError> for AdoptError {
    fn from(err: StepError) -> Self {
        match err {
            StepError::Append(AppendError::Poisoned(poisoned)) => poisoned.into(),
            StepError::Append(err) => super::error::at("write to the log")(io_error(err)),
            StepError::Refused(err) => super::error::at("decide")(refused(err)),
        }
    }
}

impl StepError {
    /// The error of a step on an entry that has to exist.
    pub(super) fn of(self, id: FileId, step: &'static str) -> JournalError {
        match self {
            Self::Refused(Refused::Absent | Refused::Is(_)) => JournalError::Absent(id),
            Self::Refused(err) => super::at(id, step)(refused(err)),
            Self::Append(err) => super::at(id, step)(io_error(err)),
        }
    }
}
