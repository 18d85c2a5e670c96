//! The entries of the log in memory: pure code, without a lock, a file or a thread of its
//! own.
//!
//! # The life of an entry in memory
//! 1. *Decide*: an operation asks for a step (`adopt`, `settle`, `delete`, `copy` …). The index looks
//!    at the slot, refuses, or queues the frame and marks the slot. That is one step: the index is
//!    behind one lock, and the queue is asked within it. So an entry's frames stand in the log in the
//!    order of the decisions, and no decision is made of a state that is about to change.
//! 2. *Wait*: one change is under way for each slot. Whoever comes meanwhile is told to wait for that
//!    frame, and decides anew. The slot still says what was true before.
//! 3. *Synced*: the frame is on the disk. Its mark becomes the state of the slot, and now the callers
//!    are told. Or it *failed*: the mark is taken back, and nothing has changed.
//! 4. *Copy*: when the segment of its base is the oldest, its frames are read outside the lock; they
//!    count only if no frame of it has come since ([`Reading`]). The copy is a base with its whole
//!    present state, decided and queued as any other step.
//! 5. *Oldest*: a segment counts the bases in it. [`Index::oldest`] follows what is synced alone, so
//!    the head that tells it is always one of a later group than the copies. When that head is
//!    synced, the segments before it mean nothing.
//! 6. *Leave*: the slot goes with its synced `gone`, and nothing before.
//! 7. *Replay*: a start folds all frames that are not below `oldest`, in their order. It makes the last
//!    group durable before it tells anybody what it found.
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 1, 2 | the frame, or not | finds the old state or the new one; nobody was told |
//! | 3 | the frame | finds the new state |
//! | 4 queued | the old base, perhaps the copy | finds either; both say the same |
//! | 5 told | frames below `oldest`, perhaps | passes them over |
//!
//! # Memory
//! A slot is 64 bytes, in a list that grows by pages; it is found through chains that run through the
//! slots, and ordered by heaps of their numbers. A test measures all of it.

mod decide;
mod listing;
mod marks;
pub(super) mod order;
mod paged;
mod queue;
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

use crate::file::FileId;
use crate::journal::record::{LogTime, Subject};

pub use listing::{Listing, OldestLook};
pub use marks::Synced;
pub use queue::{NotQueued, Queue, Refused, Ticket, Wait};
pub use reading::Reading;
pub use replay::Replayed;
pub use slot::{Phase, Place};

/// Everything that memory knows of entries.
#[derive(Debug, Default)]
pub struct Index {
    slots: Table<Slot>,
    /// Those that are due some time, and not taken.
    due: Order,
    /// Those that may leave some time.
    settled: Order,
    subjects: Subjects,
    segments: Segments,
    /// The lengths of the extents of uploads that may still grow.
    extents: HashMap<FileId, Vec<u64>>,
    last_ticket: Ticket,
    /// All that is queued.
    marks: BTreeMap<Ticket, Vec<Mark>>,
    /// The frame under way of each entry that is marked.
    marked: HashMap<FileId, Ticket>,
    totals: [Totals; Phase::ALL.len()],
    /// Entries with changes and no base, as far as replayed.
    lost: BTreeSet<FileId>,
    oldest: Oldest,
}

/// Entries and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub entries: u64,
    /// The sum of their lengths.
    pub bytes: u64,
    /// Bytes of their records in the log.
    pub record_bytes: u64,
}

impl Totals {
    /// Of one entry, without its record.
    pub fn of(length: u64) -> Self {
        Self {
            entries: 1,
            bytes: length,
            record_bytes: 0,
        }
    }

    /// All bytes that they take.
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
        self.entries = self.entries.saturating_sub(less.entries);
        self.bytes = self.bytes.saturating_sub(less.bytes);
        self.record_bytes = self.record_bytes.saturating_sub(less.record_bytes);
    }
}

/// An entry, as the synced frames tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// How far it has come.
    pub phase: Phase,
    /// Its bytes.
    pub length: u64,
    /// Where its base is.
    pub base: Place,
    /// Where the last change behind it is.
    pub change: Option<Place>,
    /// When it is due, lapses, or was settled, as its phase says.
    pub due: LogTime,
    /// Attempts that failed by its own fault.
    pub attempts: u16,
    /// Its subject.
    pub subject: Subject,
    /// Whether it answers a request that has a key.
    pub is_keyed: bool,
    /// Whether the store may have something of it.
    pub may_be_stored: bool,
    /// Whether its body is being unlinked, since the store has it.
    pub is_leaving: bool,
}

impl Index {
    /// An entry; `None` also for one whose first frame is not synced: nobody was told of it.
    pub fn get(&self, id: FileId) -> Option<Known> {
        let slot = self.slot(id)?;
        (slot.phase != Phase::Coming).then(|| Known {
            phase: slot.phase,
            length: slot.sizes.length(),
            base: slot.base,
            change: slot.change.if_any(),
            due: slot.due,
            attempts: slot.attempts,
            subject: slot.subject,
            is_keyed: slot.flags.has(Flags::KEYED),
            may_be_stored: slot.flags.has(Flags::BEGUN),
            is_leaving: slot.flags.has(Flags::LEAVING),
        })
    }

    /// Entries and bytes in a phase.
    pub fn totals(&self, phase: Phase) -> Totals {
        let at = Phase::ALL.iter().position(|&other| other == phase);
        let totals = at.and_then(|at| self.totals.get(at));
        totals.copied().unwrap_or_default()
    }

    /// Bytes that a subject has pending, with those that are queued and not promised yet.
    pub fn pending_bytes(&self, subject: Subject) -> u64 {
        self.subjects.pending(subject)
    }

    /// Takes the next entry that is due: to be committed, to be cleared away in the store if it is
    /// deleted, or to be deleted if it is an upload that has lapsed. Nobody else gets it until it is
    /// given back. None is taken while a step of it is under way: a tombstone tells whether a commit had
    /// begun.
    pub fn take_due(&mut self, now: LogTime) -> Option<FileId> {
        let number = self.due.first()?;
        let slot = self.slots.get(number)?;
        let id = slot.id;
        if slot.due > now || self.marked.contains_key(&id) {
            return None;
        }
        let is_commit = matches!(slot.phase, Phase::Waiting | Phase::Deferred);
        self.edit(number, |slot| {
            slot.flags.set(Flags::TAKEN, true);
            slot.flags
                .set(Flags::BEGUN, is_commit || slot.flags.has(Flags::BEGUN));
        });
        Some(id)
    }

    /// When the next entry is due.
    pub fn next_due(&self) -> Option<LogTime> {
        let slot = self.slots.get(self.due.first()?)?;
        Some(slot.due)
    }

    /// Gives back an entry that was taken, whatever has become of it. If nothing has, it is due at a
    /// time: this is of memory alone, and an outage of the store is no fault of the entry.
    pub fn give_back(&mut self, id: FileId, due: LogTime) {
        if let Some(number) = self.number(id) {
            self.edit(number, |slot| {
                slot.flags.set(Flags::TAKEN, false);
                let is_unchanged = matches!(slot.phase, Phase::Waiting | Phase::Deleted);
                slot.due = if is_unchanged { due } else { slot.due };
            });
        }
    }

    /// Takes the entry that was settled first, if that was before a time: its body may be unlinked.
    /// When that is durable, [`Index::gone`] is its last step.
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

    /// The first segment that is needed: the next head may tell it. It follows what is synced alone.
    pub fn oldest(&self) -> u64 {
        self.segments.oldest()
    }

    /// How many bases a segment has that are the last of their entries.
    pub fn bases_in(&self, segment: u64) -> u64 {
        self.segments.live(segment)
    }

    /// About how many bytes of the log are needed, if a segment has so many.
    pub fn live_bytes(&self, segment_bytes: u64) -> u64 {
        self.segments.live_bytes(segment_bytes)
    }

    /// Bytes of memory that all tables take; not those of what is queued just now, and of the extents of
    /// uploads that still grow.
    pub fn memory_bytes(&self) -> usize {
        let orders = self.due.bytes() + self.settled.bytes();
        self.slots.bytes() + orders + self.subjects.bytes()
    }

    fn number(&self, id: FileId) -> Option<u32> {
        self.slots.find(slot::hash(id), |slot| slot.id == id)
    }

    fn slot(&self, id: FileId) -> Option<&Slot> {
        self.slots.get(self.number(id)?)
    }
}
