//! How far a promised file has come, as a caller is told.

use crate::journal::index::Phase;

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

impl Standing {
    /// The word for callers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Committed => "committed",
            Self::Deleted => "deleted",
        }
    }

    /// Of an entry.
    pub const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Coming | Phase::Growing | Phase::Waiting | Phase::Deferred | Phase::Held => {
                Self::Pending
            }
            Phase::Settled => Self::Committed,
            Phase::Deleted => Self::Deleted,
        }
    }

    /// Of one whose entry has left, as its answer was retained.
    pub const fn retained(is_deleted: bool) -> Self {
        if is_deleted {
            Self::Deleted
        } else {
            Self::Committed
        }
    }
}
