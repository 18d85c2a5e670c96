//! The seam between the index and the log: how a frame is queued, and why not.

use super::slot::Phase;
use crate::journal::record::{Frame, RecordError};

/// The log's end, as far as a decision needs it. To be asked within the lock of the index, and to wait
/// for nothing.
pub trait Queue {
    /// Puts a frame, with the inline bodies that it speaks of, behind all that were queued. Its outcome
    /// is told with its ticket: [`super::Index::synced`] or [`super::Index::failed`].
    ///
    /// # Errors
    /// When it is not queued: nothing of it will ever land, and nothing is told.
    fn push(&mut self, frame: Frame, ticket: Ticket) -> Result<(), NotQueued>;
}

/// The log takes no frame, or not this one.
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

/// Why a step is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such entry.
    Absent,
    /// Another step of it is under way: decide anew behind it.
    Wait(Wait),
    /// It is in this phase, which has no such step.
    Is(Phase),
    /// The upload has so many bytes, and not as many as the caller thinks.
    Offset(u64),
    /// A frame of it has come since it was read: read it again.
    Moved,
    /// The record cannot be written in its form.
    Record(RecordError),
    /// The log does not take it.
    NotQueued,
}

/// For what to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until this frame is synced, or has failed.
    Frame(Ticket),
    /// Until the entry is gone: its body is being unlinked.
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
