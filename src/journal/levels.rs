//! How far each limit is at which uploads are refused: for status and metrics.

use super::{Free, Journal};

/// A limit that uploads are refused at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Of the disk: least.
    FreeBytes,
    /// Of the disk: least.
    FreeInodes,
    /// Promised and not proven: most.
    PendingBytes,
    /// Promised and not proven: most.
    PendingEntries,
}

/// What there is of something that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Of what.
    pub mark: Mark,
    /// How much there is.
    pub now: u64,
    /// The least or the most that there may be.
    pub limit: u64,
}

impl Mark {
    /// The word in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FreeBytes => "free_bytes",
            Self::FreeInodes => "free_inodes",
            Self::PendingBytes => "pending_bytes",
            Self::PendingEntries => "pending_entries",
        }
    }
}

impl Level {
    /// Whether even an empty upload is refused for this.
    pub fn is_reached(self) -> bool {
        match self.mark {
            Mark::FreeBytes | Mark::FreeInodes => self.now < self.limit,
            Mark::PendingBytes => self.now > self.limit,
            Mark::PendingEntries => self.now >= self.limit,
        }
    }
}

impl Journal {
    /// How far each mark is, with what is free on the disk.
    pub fn levels(&self, free: Free) -> [Level; 4] {
        let backlog = self.index().backlog();
        let limits = &self.limits;
        let level = |mark, now, limit| Level { mark, now, limit };
        [
            level(Mark::FreeBytes, free.bytes, limits.min_free_bytes),
            level(Mark::FreeInodes, free.inodes, limits.min_free_inodes),
            level(Mark::PendingBytes, backlog.bytes, limits.max_bytes),
            level(Mark::PendingEntries, backlog.entries, limits.max_entries),
        ]
    }
}
