//! The interface between the index and the log: queueing a frame, and the reasons against it.

use super::slot::Phase;
use crate::journal::record::{Frame, RecordError};

/// The end of the log, as a decision needs it. It is called under the lock of the index, and must not
/// wait.
pub trait LogTail {
    /// Queues a frame with its inline bodies behind all others. Its outcome is reported with its
    /// ticket: [`super::Index::synced`] or [`super::Index::failed`].
    ///
    /// # Errors
    /// When it is not queued: then it will never land, and no outcome is reported.
    fn push(&mut self, frame: &Frame, ticket: Ticket) -> Result<(), NotQueued>;
}

/// The log takes no frames, or not this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotQueued;

/// A queued frame: later ones are larger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The reason why a step was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such entry.
    Absent,
    /// Another step of the entry is under way: decide anew after it.
    Wait(Wait),
    /// It is in this phase, which does not allow the step.
    Is(Phase),
    /// The upload has this many bytes, and not as many as the caller assumed.
    Offset(u64),
    /// The entry has changed since it was read: read it again.
    Moved,
    /// The record cannot be written in its format.
    Record(RecordError),
    /// The log does not take the frame.
    NotQueued,
}

/// The event to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The outcome of this frame.
    Frame(Ticket),
    /// The end of the entry: its body is being unlinked.
    Leaving,
}

pub(super) type Decided = Result<Ticket, Refused>;

impl From<NotQueued> for Refused {
    fn from(NotQueued: NotQueued) -> Self {
        Self::NotQueued
    }
}

impl From<RecordError> for Refused {
    fn from(err: RecordError) -> Self {
        Self::Record(err)
    }
}
