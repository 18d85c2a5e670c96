//! How far each limit is at which uploads are refused: for status and metrics.

use std::os::unix::fs::MetadataExt as _;
use std::{fs, io};

use super::disk::if_there;
use super::{Free, Journal};

/// What `st_blocks` counts in (stat(2)).
const BLOCK_BYTES: u64 = 512;

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
            level(Mark::PendingBytes, backlog.all_bytes(), limits.max_bytes),
            level(Mark::PendingEntries, backlog.entries, limits.max_entries),
        ]
    }

    /// Bytes on the disk of bodies that are on their way in: what nginx has in its spool, and nobody has
    /// taken over yet.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn spooled_bytes(&self) -> io::Result<u64> {
        let mut bytes = 0_u64;
        for found in fs::read_dir(self.layout.spool())? {
            // nginx may have been quicker.
            if let Some(file) = if_there(found?.metadata())?
                && file.is_file()
                && file.nlink() == 1
            {
                bytes = bytes.saturating_add(file.blocks().saturating_mul(BLOCK_BYTES));
            }
        }
        Ok(bytes)
    }
}
