//! The standing of a promised file, as callers are told it.

use crate::journal::index::Phase;
use crate::journal::{Room, phase_of};

/// The standing of a promised file.
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
    /// Its name, for callers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Committed => "committed",
            Self::Deleted => "deleted",
        }
    }

    /// The standing of an entry.
    pub const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Coming
            | Phase::Growing
            | Phase::Intended
            | Phase::Waiting
            | Phase::Deferred
            | Phase::Held => Self::Pending,
            Phase::Settled => Self::Committed,
            Phase::Deleted => Self::Deleted,
        }
    }

    /// Returns the standing of an entry in this room.
    pub fn in_room(room: Room) -> Self {
        Self::of(phase_of(room))
    }

    /// The standing of a file by its retained answer, after its entry has left.
    pub const fn retained(is_deleted: bool) -> Self {
        if is_deleted {
            Self::Deleted
        } else {
            Self::Committed
        }
    }
}
