//! The entries of the log in memory: pure code, without a lock, a file or a thread.
//!
//! # The life of an entry in memory
//! 1. *Decide*: an operation asks for a step (`adopt`, `settle`, `delete`, `copy` …). The index checks
//!    the slot. It either refuses, or queues the frame and marks the slot, in one go: the index is
//!    behind one lock, and the frame is queued under that lock. So an entry's frames stand in the log
//!    in the order of the decisions, and no decision is based on a state that is about to change.
//! 2. *Wait*: each slot has at most one change under way. A caller that comes meanwhile has to wait for
//!    that frame, and decides anew. Until then the slot shows the state before.
//! 3. *Synced*: the frame is on the disk. Its mark becomes the state of the slot, and now callers are
//!    told. Or the frame *failed*: the mark is taken back, and nothing has changed.
//! 4. *Copy*: when the segment of its base is the oldest, the entry's frames are read outside the lock;
//!    they count only if no other frame of the entry has come since ([`Reading`]). The copy is a base
//!    with the whole present state. It is decided and queued like any other step.
//! 5. *Oldest*: each segment has a count of its live bases. [`Index::oldest`] counts only synced
//!    frames, so the head that states it always belongs to a later group than the copies. When that
//!    head is synced, the segments before it no longer count.
//! 6. *Leave*: the slot is removed only after `gone` is synced.
//! 7. *Replay*: a start folds all frames that are not below `oldest`, in their order. It makes the last
//!    group durable before it tells anybody what it found.
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 1, 2 | the frame, or not | finds the old state or the new one; no caller was told |
//! | 3 | the frame | finds the new state |
//! | 4 queued | the old base, perhaps the copy | finds either; both have the same state |
//! | 5 told | perhaps frames below `oldest` | skips them |
//!
//! # Memory
//! A slot takes 64 bytes, in a list that grows by pages. Slots are found through chains that link them,
//! and ordered by heaps of their numbers. A test measures the memory of all tables.

mod coming;
mod decide;
mod links;
mod listing;
mod log_tail;
mod marks;
pub(super) mod order;
mod paged;
mod reading;
mod replay;
mod segments;
mod sizes;
mod slot;
mod slots;
mod subjects;
pub(super) mod table;
#[cfg(test)]
pub(super) mod tests;
mod uploads;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use listing::Oldest;
use marks::{Effect, Mark};
use order::Order;
use segments::Segments;
use slot::{Flags, Slot};
use subjects::Subjects;
use table::Table;
use uploads::OpenUploads;

use crate::file::FileId;
use crate::journal::record::{LogTime, Subject};

pub use coming::Coming;
pub use listing::{Listing, OldestLook};
pub use log_tail::{LogTail, NotQueued, Refused, Ticket, Wait};
pub use marks::Synced;
pub use reading::Reading;
pub use replay::Replayed;
pub use slot::{Phase, Place};

/// The index of all entries.
#[derive(Debug, Default)]
pub struct Index {
    slots: Table<Slot>,
    /// Settled slots, which may leave.
    settled: Order,
    subjects: Subjects,
    segments: Segments,
    uploads: OpenUploads,
    last_ticket: Ticket,
    /// The marks of all queued frames.
    marks: BTreeMap<Ticket, Vec<Mark>>,
    /// The frame under way of each marked entry.
    marked: HashMap<FileId, Ticket>,
    totals: [Totals; Phase::ALL.len()],
    /// Entries with changes and without a base, so far in the replay.
    lost: BTreeSet<FileId>,
    oldest: Oldest,
}

/// Entries and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Their number.
    pub entries: u64,
    /// The sum of their lengths.
    pub bytes: u64,
    /// The bytes of their records in the log.
    pub record_bytes: u64,
}

impl Totals {
    /// The totals of one entry, without its record.
    pub fn of(length: u64) -> Self {
        Self {
            entries: 1,
            bytes: length,
            record_bytes: 0,
        }
    }

    /// Whether these are among them.
    fn has(self, these: Self) -> bool {
        self.entries >= these.entries
            && self.bytes >= these.bytes
            && self.record_bytes >= these.record_bytes
    }

    /// The sum of both kinds of bytes.
    pub fn all_bytes(self) -> u64 {
        self.bytes.saturating_add(self.record_bytes)
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.entries = self.entries.saturating_add(more.entries);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.record_bytes = self.record_bytes.saturating_add(more.record_bytes);
    }
}

impl std::ops::SubAssign for Totals {
    fn sub_assign(&mut self, less: Self) {
        debug_assert!(self.has(less), "{less:?} goes, of {self:?}");
        self.entries = self.entries.saturating_sub(less.entries);
        self.bytes = self.bytes.saturating_sub(less.bytes);
        self.record_bytes = self.record_bytes.saturating_sub(less.record_bytes);
    }
}

/// An entry, by its synced frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Known {
    /// Its phase.
    pub phase: Phase,
    /// Its bytes; of an upload that may still grow, those that have come.
    pub length: u64,
    /// The place of its base.
    pub base: Place,
    /// The place of the last change behind the base.
    pub change: Option<Place>,
    /// When it is due, expires, or was settled, depending on its phase.
    pub due: LogTime,
    /// Attempts that failed by its own fault.
    pub attempts: u16,
    /// Its subject.
    pub subject: Subject,
    /// Whether it answers a keyed request.
    pub is_keyed: bool,
    /// Whether the store may hold something of it.
    pub may_be_stored: bool,
    /// Whether its body is being unlinked, as the store has it.
    pub is_leaving: bool,
    /// Whether its links are being made for a message that is still to be promised.
    pub is_linking: bool,
}

impl Index {
    /// An entry; `None` also while its first frame is not synced, as no caller knows of it then.
    pub fn get(&self, id: FileId) -> Option<Known> {
        let slot = self.slot(id)?;
        (slot.phase != Phase::Coming).then(|| Known {
            phase: slot.phase,
            length: self
                .growth(id)
                .map_or(slot.sizes.length(), |growth| growth.kept()),
            base: slot.base,
            change: slot.change.if_any(),
            due: slot.due,
            attempts: slot.attempts,
            subject: slot.subject,
            is_keyed: slot.flags.has(Flags::KEYED),
            may_be_stored: slot.flags.has(Flags::BEGUN),
            is_leaving: slot.flags.has(Flags::LEAVING),
            is_linking: slot.flags.has(Flags::LINKING),
        })
    }

    /// Whether an entry is the package of a message, and not deleted.
    pub fn is_package(&self, id: FileId) -> bool {
        let slot = self.slot(id);
        slot.is_some_and(|slot| slot.flags.has(Flags::PACKAGE))
    }

    /// Entries and bytes in a phase.
    pub fn totals(&self, phase: Phase) -> Totals {
        let at = Phase::ALL.iter().position(|&other| other == phase);
        let totals = at.and_then(|at| self.totals.get(at));
        totals.copied().unwrap_or_default()
    }

    /// The pending bytes of a subject, including those that are queued and not promised yet.
    pub fn pending_bytes(&self, subject: Subject) -> u64 {
        self.subjects.pending(subject)
    }

    /// Takes the entry that was settled first, if that was before a given time: its body may be
    /// unlinked. When that is durable, [`Index::gone`] is its last step.
    pub fn take_settled(&mut self, before: LogTime) -> Option<FileId> {
        let number = self.settled.first()?;
        let slot = self.slots.get(number)?;
        let id = slot.id;
        if slot.due > before || self.marked.contains_key(&id) {
            return None;
        }
        self.edit(number, |slot| slot.flags.set(Flags::LEAVING, true));
        Some(id)
    }

    /// The first segment that is still needed; the next head may state it. It counts only synced
    /// frames.
    pub fn oldest(&self) -> u64 {
        self.segments.oldest()
    }

    /// The number of live bases in a segment.
    pub fn bases_in(&self, segment: u64) -> u64 {
        self.segments.live(segment)
    }

    /// The approximate number of bytes of the log that are needed, if a segment has this size.
    pub fn live_bytes(&self, segment_bytes: u64) -> u64 {
        self.segments.live_bytes(segment_bytes)
    }

    /// Bytes of memory of all tables, without those of queued frames and of open uploads.
    pub fn memory_bytes(&self) -> usize {
        self.slots.bytes() + self.settled.bytes() + self.subjects.bytes()
    }

    fn number(&self, id: FileId) -> Option<u32> {
        self.slots.find(slot::hash(id), |slot| slot.id == id)
    }

    fn slot(&self, id: FileId) -> Option<&Slot> {
        self.slots.get(self.number(id)?)
    }
}
