//! One entry in memory.

use super::Totals;
use super::order::Ranked;
use super::sizes::Sizes;
use super::table::{Chained, NONE};
use crate::file::FileId;
use crate::journal::record::{LogTime, Subject};

/// Where a frame is: in a group, so many bytes from the beginning of that group's segment.
///
/// A check of a frame covers the number of its group, so a place names one frame that was written once.
/// Both numbers share 64 bits: 40 for the group, which last for 34 years of a thousand groups a second,
/// and 24 for the offset in steps of 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

/// Frames begin on so many bytes.
const STEP: u32 = 8;

/// Bits of an offset, in steps.
const OFFSET_BITS: u32 = 24;

impl Place {
    /// No frame is there.
    pub(in crate::journal) const NOWHERE: Self = Self(u64::MAX);

    /// A segment has no more bytes than this, so that each of its frames has a place.
    pub const SEGMENT_BYTES: u32 = STEP << OFFSET_BITS;

    /// The place of a frame; `None` if there can be none.
    pub fn new(group: u64, offset: u32) -> Option<Self> {
        let steps = u64::from(offset / STEP);
        let is_possible = offset.is_multiple_of(STEP)
            && offset < Self::SEGMENT_BYTES
            && group < u64::MAX >> OFFSET_BITS;
        is_possible.then_some(Self((group << OFFSET_BITS) | steps))
    }

    /// The number of the group.
    pub fn group(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    /// Where the frame begins in the group's segment.
    pub fn offset(self) -> u32 {
        let steps = self.0 & ((1 << OFFSET_BITS) - 1);
        u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .saturating_mul(STEP)
    }

    pub(in crate::journal) fn if_any(self) -> Option<Self> {
        (self != Self::NOWHERE).then_some(self)
    }
}

/// How far an entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its base is queued; nobody knows it yet.
    Coming,
    /// An upload that may still grow.
    Growing,
    /// Promised, and due.
    Waiting,
    /// Promised, and due at a time.
    Deferred,
    /// Promised; waits for an admin.
    Held,
    /// The store has it.
    Settled,
    /// Deleted; something of it may be left.
    Deleted,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Coming,
        Self::Growing,
        Self::Waiting,
        Self::Deferred,
        Self::Held,
        Self::Settled,
        Self::Deleted,
    ];

    /// Promised, and not in the store yet.
    pub(super) const PROMISED: &[Self] = &[Self::Waiting, Self::Deferred, Self::Held];

    /// Whether its bytes count among those that its subject has pending.
    pub fn is_pending(self) -> bool {
        !matches!(self, Self::Settled | Self::Deleted)
    }
}

/// Facts of an entry beside its phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// A commit, or the clearing of the store, is under way.
    pub(super) const TAKEN: u8 = 1;
    /// The store may have something of it.
    pub(super) const BEGUN: u8 = 1 << 1;
    /// Its body is being unlinked, since the store has it.
    pub(super) const LEAVING: u8 = 1 << 2;
    /// It answers a request that has a key.
    pub(super) const KEYED: u8 = 1 << 3;

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
    /// The last change behind that.
    pub(super) change: Place,
    pub(super) sizes: Sizes,
    /// When it is due, lapses, or was settled, as its phase says.
    pub(super) due: LogTime,
    pub(super) subject: Subject,
    /// Where it is in the order of those that are due, or of those that are settled.
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

    /// All of it is another, but for its place in the table.
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

    /// Its bytes as far as its subject has them pending.
    pub(super) fn pending_bytes(&self) -> u64 {
        if self.phase.is_pending() {
            self.sizes.length()
        } else {
            0
        }
    }
}

/// Ids are ours: nobody can choose some that share a bucket.
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
    /// By what it is ordered.
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
