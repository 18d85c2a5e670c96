//! One entry in memory.

use super::Totals;
use super::order::Ranked;
use super::sizes::Sizes;
use super::table::{Chained, NONE};
use crate::file::FileId;
use crate::journal::record::{LogTime, Subject};

/// The place of a frame: its group, and its offset in that group's segment.
///
/// The check of a frame covers the number of its group, so a place names one frame that was written
/// once. Both numbers share 64 bits: 40 bits for the group, enough for 34 years of a thousand groups a
/// second, and 24 bits for the offset in steps of 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

/// Bits of an offset, counted in steps.
const OFFSET_BITS: u32 = 24;

impl Place {
    /// The place of no frame.
    pub(in crate::journal) const NOWHERE: Self = Self(u64::MAX);

    /// Frames begin at multiples of this.
    pub(in crate::journal) const STEP: u32 = 8;

    /// The largest segment, so that each of its frames has a place.
    pub const SEGMENT_BYTES: u32 = Self::STEP << OFFSET_BITS;

    /// The place of a frame; `None` if a number is out of range.
    pub fn new(group: u64, offset: u32) -> Option<Self> {
        let steps = u64::from(offset / Self::STEP);
        let is_possible = offset.is_multiple_of(Self::STEP)
            && offset < Self::SEGMENT_BYTES
            && group < u64::MAX >> OFFSET_BITS;
        is_possible.then_some(Self((group << OFFSET_BITS) | steps))
    }

    /// The number of the group.
    pub fn group(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    /// The offset of the frame in the group's segment.
    pub fn offset(self) -> u32 {
        let steps = self.0 & ((1 << OFFSET_BITS) - 1);
        u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .saturating_mul(Self::STEP)
    }

    pub(in crate::journal) fn if_any(self) -> Option<Self> {
        (self != Self::NOWHERE).then_some(self)
    }
}

/// The phase of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its base is queued; no caller knows it yet.
    Coming,
    /// An upload that may still grow.
    Growing,
    /// Links are made for a message that is not promised yet, or are to be undone.
    Intended,
    /// Promised, and due.
    Waiting,
    /// Promised, with a due time.
    Deferred,
    /// Promised; waits for an admin.
    Held,
    /// The store has it.
    Settled,
    /// Deleted; something of it may be left in the store.
    Deleted,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 8] = [
        Self::Coming,
        Self::Growing,
        Self::Intended,
        Self::Waiting,
        Self::Deferred,
        Self::Held,
        Self::Settled,
        Self::Deleted,
    ];

    /// The phases of an entry that is promised and not in the store yet.
    pub(in crate::journal) const PROMISED: &[Self] = &[Self::Waiting, Self::Deferred, Self::Held];

    /// Whether its bytes count among its subject's pending bytes.
    pub fn is_pending(self) -> bool {
        !matches!(self, Self::Intended | Self::Settled | Self::Deleted)
    }
}

/// Flags of an entry beside its phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// The store may hold something of it.
    pub(super) const BEGUN: u8 = 1;
    /// Its body is being unlinked, as the store has it.
    pub(super) const LEAVING: u8 = 1 << 1;
    /// It answers a keyed request.
    pub(super) const KEYED: u8 = 1 << 2;
    /// It is the package of a message.
    pub(super) const PACKAGE: u8 = 1 << 3;
    /// It got or lost a link since its commit began.
    pub(super) const RELINKED: u8 = 1 << 4;
    /// Its links are being made: the promise may still come.
    pub(super) const LINKING: u8 = 1 << 5;

    pub(super) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    pub(super) fn set(&mut self, flag: u8, is_set: bool) {
        self.0 = if is_set {
            self.0 | flag
        } else {
            self.0 & !flag
        };
    }
}

/// An entry in memory. There may be millions: each byte counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) id: FileId,
    pub(super) phase: Phase,
    pub(super) flags: Flags,
    pub(super) attempts: u16,
    /// Its last base.
    pub(super) base: Place,
    /// Its last change behind the base.
    pub(super) change: Place,
    pub(super) sizes: Sizes,
    /// When it is due, expires, or was settled, depending on its phase.
    pub(super) due: LogTime,
    pub(super) subject: Subject,
    /// Its rank in the order of settled entries, if it is in it.
    pub(super) rank: u32,
    next: u32,
}

impl Slot {
    pub(super) fn new(id: FileId, phase: Phase, length: u64, subject: Subject) -> Self {
        Self {
            id,
            phase,
            flags: Flags::default(),
            attempts: 0,
            base: Place::NOWHERE,
            change: Place::NOWHERE,
            sizes: Sizes::new(length, 0),
            due: LogTime(0),
            subject,
            rank: NONE,
            next: NONE,
        }
    }

    /// Replaces everything except the links of the table.
    pub(super) fn replace_by(&mut self, other: Self) {
        let (rank, next) = (self.rank, self.next);
        *self = other;
        (self.rank, self.next) = (rank, next);
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            record_bytes: self.sizes.record_bytes(),
            ..Totals::of(self.sizes.length())
        }
    }

    /// Its bytes that count among its subject's pending bytes.
    pub(super) fn pending_bytes(&self) -> u64 {
        if self.phase.is_pending() {
            self.sizes.length()
        } else {
            0
        }
    }
}

/// Ids are made by this node, so nobody can choose ids that share a bucket.
pub(super) fn hash(id: FileId) -> u64 {
    let bytes = id.bytes();
    let high = bytes
        .first_chunk()
        .map_or(0, |&bytes| u64::from_le_bytes(bytes));
    let low = bytes
        .last_chunk()
        .map_or(0, |&bytes| u32::from_le_bytes(bytes));
    let low = u64::from(low);
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low;
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

impl Slot {
    /// Whether it is settled, and is not leaving yet.
    pub(super) fn may_leave(&self) -> bool {
        self.phase == Phase::Settled && !self.flags.has(Flags::LEAVING)
    }

    /// The key of the order of settled entries.
    pub(super) fn order(&self) -> (LogTime, FileId) {
        (self.due, self.id)
    }
}

impl Ranked for Slot {
    fn rank(&mut self) -> &mut u32 {
        &mut self.rank
    }
}

impl Chained for Slot {
    fn hash(&self) -> u64 {
        hash(self.id)
    }

    fn next(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn peek_next(&self) -> u32 {
        self.next
    }
}
