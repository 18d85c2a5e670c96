//! Work on entries outside the log: beginning a commit, removing a body, and listing all entries.

use std::ops::Range;

use super::log_tail::{Decided, LogTail, Refused, Wait};
use super::slot::{Flags, Phase};
use super::{Effect, Index, Known};
use crate::file::FileId;
use crate::journal::record::{Change, Frame};

impl Index {
    /// Notes that a commit of an entry begins: from now on the store may hold something of it. The
    /// caller must read the entry's links after this. Returns the entry as it was before.
    ///
    /// # Errors
    /// [`Refused`], also when it waits for no commit. While a step of the entry is under way nothing
    /// begins: its tombstone must state whether a commit had begun.
    pub fn begin(&mut self, id: FileId) -> Result<Known, Refused> {
        let phase = self.free(id)?.phase;
        let known = self.get(id).ok_or(Refused::Absent)?;
        if !matches!(phase, Phase::Waiting | Phase::Deferred) {
            return Err(Refused::Is(phase));
        }
        self.flag(id, Flags::BEGUN, true);
        self.flag(id, Flags::RELINKED, false);
        Ok(known)
    }

    /// Like [`Index::take_settled`], for this entry.
    ///
    /// # Errors
    /// [`Refused`], also when it is not settled, or leaves already.
    pub fn leave(&mut self, id: FileId) -> Result<(), Refused> {
        let slot = self.free(id)?;
        if slot.phase != Phase::Settled {
            return Err(Refused::Is(slot.phase));
        }
        if slot.flags.has(Flags::LEAVING) {
            return Err(Refused::Wait(Wait::Leaving));
        }
        self.flag(id, Flags::LEAVING, true);
        Ok(())
    }

    /// Takes back that a settled entry is leaving: its body could not be unlinked.
    pub fn stay(&mut self, id: FileId) {
        self.flag(id, Flags::LEAVING, false);
    }

    /// Removes an unreadable entry; its remains are kept elsewhere. A tombstone stays: the store may hold something
    /// of the file.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn give_up(&mut self, id: FileId, queue: &mut impl LogTail) -> Decided {
        let phase = self.free(id)?.phase;
        if phase == Phase::Deleted {
            return Err(Refused::Is(phase));
        }
        self.queue(id, &Frame::change(id, &Change::Gone)?, Effect::Gone, queue)
    }

    /// The number of entries, including those that are still coming.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in this range of slots. When an entry leaves, the last one takes its slot.
    pub fn entries(&self, places: Range<usize>) -> impl Iterator<Item = (FileId, Known)> {
        let numbers = places.take_while(|&at| at < self.len());
        numbers.filter_map(|at| {
            let id = self.slots.get(u32::try_from(at).ok()?)?.id;
            Some((id, self.get(id)?))
        })
    }

    fn flag(&mut self, id: FileId, flag: u8, is_set: bool) {
        if let Some(number) = self.number(id) {
            self.edit(number, |slot| slot.flags.set(flag, is_set));
        }
    }
}
