//! The states of an entry, as admins and metrics see them.

use std::fmt;

use super::index::Phase;

/// The room of an entry that a caller may know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Promised; not tried yet, or without a failure of its own.
    Incoming,
    /// Promised; an attempt failed, and the next one has a due time.
    Deferred,
    /// Promised; no attempt can help before an admin has looked at it.
    Hold,
    /// Proven in the store; the body stays for a while.
    Settled,
    /// Deleted by a caller, until nothing of it is left anywhere.
    Deleted,
}

impl Room {
    /// All rooms, in order.
    pub const ALL: [Self; 5] = [
        Self::Incoming,
        Self::Deferred,
        Self::Hold,
        Self::Settled,
        Self::Deleted,
    ];

    /// Its name, for admins.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Settled => "settled",
            Self::Deleted => "deleted",
        }
    }

    /// Whether an entry in this room is promised and not yet proven in the store.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Incoming | Self::Deferred | Self::Hold)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The room of an entry in this phase; `None` if no caller knows of it yet.
pub(super) fn room_of(phase: Phase) -> Option<Room> {
    match phase {
        Phase::Coming | Phase::Growing | Phase::Intended => None,
        Phase::Waiting => Some(Room::Incoming),
        Phase::Deferred => Some(Room::Deferred),
        Phase::Held => Some(Room::Hold),
        Phase::Settled => Some(Room::Settled),
        Phase::Deleted => Some(Room::Deleted),
    }
}

pub(super) fn phase_of(room: Room) -> Phase {
    match room {
        Room::Incoming => Phase::Waiting,
        Room::Deferred => Phase::Deferred,
        Room::Hold => Phase::Held,
        Room::Settled => Phase::Settled,
        Room::Deleted => Phase::Deleted,
    }
}
