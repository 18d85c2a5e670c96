//! The levels of all watermarks at which uploads are refused, for status and metrics.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{fs, io};

use super::admission::backlog;
use super::volume::if_there;
use super::{Free, Journal, orphans};
use crate::config::JournalConfig;

/// The unit of `st_blocks` (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// A watermark at which uploads are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    /// The least free bytes of the disk.
    FreeBytes,
    /// The least free inodes of the disk.
    FreeInodes,
    /// The most bytes that are promised and not proven.
    PendingBytes,
    /// The most entries that are promised and not proven.
    PendingEntries,
}

/// The level of one watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The watermark.
    pub watermark: Watermark,
    /// The present value.
    pub now: u64,
    /// The least or the most that is allowed.
    pub limit: u64,
}

impl Watermark {
    /// Its name in status and metrics.
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
    /// Whether even an empty upload is refused because of it.
    pub fn is_reached(self) -> bool {
        match self.watermark {
            Watermark::FreeBytes | Watermark::FreeInodes => self.now < self.limit,
            Watermark::PendingBytes => self.now > self.limit,
            Watermark::PendingEntries => self.now >= self.limit,
        }
    }
}

impl Journal {
    /// The level of each watermark, with this free space of the disk.
    pub fn levels(&self, free: Free) -> [Level; 4] {
        let pending = backlog(&self.state());
        levels(&self.limits, free, pending.all_bytes(), pending.entries)
    }

    /// The percentage of the room for pending entries that is taken: at 100 uploads are refused. The
    /// room is bounded by the journal's limits and by the free space of the disk, whichever is less.
    /// Asks the disk; a disk that does not answer has no room.
    pub fn fullness_percent(&self) -> u32 {
        self.free().map_or(100, |free| fullness(self.levels(free)))
    }

    /// Bytes on the disk of bodies on their way in: the files in nginx's spool that nobody has adopted
    /// yet.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn spooled_bytes(&self) -> io::Result<u64> {
        spooled_bytes(&self.layout.spool())
    }

    /// Removes spool files that nobody will claim. Returns how many.
    ///
    /// # Errors
    /// When the spool or /proc cannot be read; then nothing more is removed.
    pub fn remove_spool_orphans(&self) -> io::Result<usize> {
        let (spool, age) = (self.layout.spool(), self.limits.spool_orphan);
        orphans::remove(self.disk(), &spool, age)
    }
}

/// The level of each watermark, with this free space and these pending entries.
fn levels(
    limits: &JournalConfig,
    free: Free,
    pending_bytes: u64,
    pending_entries: u64,
) -> [Level; 4] {
    let level = |watermark, now, limit| Level {
        watermark,
        now,
        limit,
    };
    [
        level(Watermark::FreeBytes, free.bytes, limits.min_free_bytes),
        level(Watermark::FreeInodes, free.inodes, limits.min_free_inodes),
        level(Watermark::PendingBytes, pending_bytes, limits.max_bytes),
        level(
            Watermark::PendingEntries,
            pending_entries,
            limits.max_entries,
        ),
    ]
}

/// Bytes on the disk of the files in nginx's spool that have no other name.
fn spooled_bytes(spool: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for found in fs::read_dir(spool)? {
        // nginx may have removed it meanwhile.
        if let Some(file) = if_there(found?.metadata())?
            && file.is_file()
            && file.nlink() == 1
        {
            bytes = bytes.saturating_add(file.blocks().saturating_mul(BLOCK_BYTES));
        }
    }
    Ok(bytes)
}

fn fullness([bytes, inodes, pending_bytes, pending_entries]: [Level; 4]) -> u32 {
    let percent = |pending: Level, disk: Level| {
        let left = disk.now.saturating_sub(disk.limit);
        let room = pending.limit.min(pending.now.saturating_add(left));
        let percent = u128::from(pending.now) * 100 / u128::from(room.max(1));
        u32::try_from(percent).unwrap_or(u32::MAX).min(100)
    };
    percent(pending_bytes, bytes).max(percent(pending_entries, inodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_the_nearest_limit() {
        let levels = |free_bytes, free_inodes, pending_bytes, pending_entries| {
            let level = |watermark, now, limit| Level {
                watermark,
                now,
                limit,
            };
            [
                level(Watermark::FreeBytes, free_bytes, 1000),
                level(Watermark::FreeInodes, free_inodes, 10),
                level(Watermark::PendingBytes, pending_bytes, 8000),
                level(Watermark::PendingEntries, pending_entries, 100),
            ]
        };
        let plenty = u64::MAX;
        for (levels, expected) in [
            (levels(plenty, plenty, 0, 0), 0),
            (levels(plenty, plenty, 2000, 10), 25),
            (levels(plenty, plenty, 2000, 50), 50),
            (levels(7000, plenty, 2000, 0), 25),
            (levels(3000, plenty, 2000, 0), 50),
            (levels(1000, plenty, 1, 0), 100),
            (levels(0, plenty, 0, 0), 0),
            (levels(plenty, 30, 0, 20), 50),
            (levels(plenty, plenty, 9000, 0), 100),
        ] {
            assert_eq!(fullness(levels), expected, "{levels:?}");
        }
    }
}
