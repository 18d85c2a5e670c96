//! How far each limit is at which uploads are refused, and what is in the spool.

use std::io;

use super::super::levels::{fullness, levels, spooled_bytes};
use super::super::{Free, Level, orphans};
use super::Journal;
use super::admission::backlog;

impl Journal {
    /// How far each mark is, with what is free on the disk.
    pub fn levels(&self, free: Free) -> [Level; 4] {
        let pending = backlog(&self.state());
        levels(&self.limits, free, pending.bytes, pending.entries)
    }

    /// Percent of the room for pending entries that are taken: at 100 uploads are refused. Room ends at
    /// the limits of the journal or with what the disk has free, whichever is nearer. Asks the disk; one
    /// that does not answer has no room.
    pub fn fullness_percent(&self) -> u32 {
        self.free().map_or(100, |free| fullness(self.levels(free)))
    }

    /// Bytes on the disk of bodies that are on their way in: what nginx has in its spool, and nobody has
    /// taken over yet.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn spooled_bytes(&self) -> io::Result<u64> {
        spooled_bytes(&self.layout.spool())
    }

    /// Removes spool files that nobody will claim. Returns how many.
    ///
    /// # Errors
    /// When the spool or /proc cannot be read; nothing more is removed then.
    pub fn remove_spool_orphans(&self) -> io::Result<usize> {
        let (spool, age) = (self.layout.spool(), self.limits.spool_orphan);
        orphans::remove(self.disk(), &spool, age)
    }
}
