//! One answer in memory.

use crate::file::FileId;
use crate::journal::index::Place;
use crate::journal::index::order::Ranked;
use crate::journal::index::table::{Chained, NONE};
use crate::journal::record::{Answer, LogTime, PartOf, Subject};

/// The tag by which a key is found: 128 bits, made from the key with a secret of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag([u8; 16]);

impl Tag {
    pub(super) fn new([high, low]: [u64; 2]) -> Self {
        Self((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    pub(super) fn hash(self) -> u64 {
        self.halves().0
    }

    /// The priority in the tree, which nobody outside can foresee.
    pub(super) fn priority(self) -> u64 {
        self.halves().1
    }

    fn halves(self) -> (u64, u64) {
        let number = u128::from_le_bytes(self.0);
        let half = |number: u128| u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0);
        (half(number), half(number >> 64))
    }
}

/// The age of an answer: its time and its first file. Lower is older.
pub(super) type Age = (LogTime, Option<FileId>);

/// One file of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Not found yet. (This is the first file of the answer, not the missing one.)
    Missing { first: FileId },
    /// Found; the place is empty until a base of answers has it.
    Found {
        id: FileId,
        /// As the base of answers states.
        is_deleted: bool,
        place: Place,
    },
}

/// The files of an answer, in order.
#[derive(Debug)]
pub(super) enum Files {
    One(Part),
    Many(Box<[Part]>),
}

/// An answer in memory. There may be millions: each byte counts.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) tag: Tag,
    pub(super) files: Files,
    pub(super) at: LogTime,
    pub(super) sender: Subject,
    /// Its rank in the order of ages.
    pub(super) rank: u32,
    next: u32,
    /// Its subtrees in the tree of all senders' answers: the answers before it, and those behind it.
    pub(super) before: u32,
    pub(super) behind: u32,
}

impl Part {
    /// Notes that it was found. Returns whether it was missing before.
    pub(super) fn find(&mut self, id: FileId) -> bool {
        let is_new = matches!(self, Self::Missing { .. });
        if is_new {
            *self = Self::Found {
                id,
                is_deleted: false,
                place: Place::NOWHERE,
            };
        }
        is_new
    }

    pub(super) fn id(&self) -> Option<FileId> {
        match self {
            Self::Missing { .. } => None,
            Self::Found { id, .. } => Some(*id),
        }
    }

    /// The place of the base of answers that has it.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Missing { .. } => None,
            Self::Found { place, .. } => place.if_any(),
        }
    }

    pub(super) fn is_deleted(&self) -> bool {
        matches!(
            self,
            Self::Found {
                is_deleted: true,
                ..
            }
        )
    }

    pub(super) fn retain(&mut self, at: Place, is_of_deleted: bool) {
        if let Self::Found {
            is_deleted, place, ..
        } = self
        {
            (*place, *is_deleted) = (at, is_of_deleted);
        }
    }
}

impl Files {
    fn missing(part: &PartOf) -> Self {
        let missing = Part::Missing { first: part.first };
        match usize::try_from(part.files) {
            Ok(files) if files > 1 => Self::Many(vec![missing; files].into()),
            _ => Self::One(missing),
        }
    }

    pub(super) fn parts(&self) -> &[Part] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Many(parts) => parts,
        }
    }

    pub(super) fn part(&self, position: u32) -> Option<&Part> {
        self.parts().get(usize::try_from(position).ok()?)
    }

    pub(super) fn part_mut(&mut self, position: u32) -> Option<&mut Part> {
        let parts = match self {
            Self::One(part) => std::slice::from_mut(part),
            Self::Many(parts) => parts,
        };
        parts.get_mut(usize::try_from(position).ok()?)
    }

    /// The id of the first file, which each file of the answer states.
    pub(super) fn first(&self) -> Option<FileId> {
        let first = self.parts().first()?;
        Some(match first {
            Part::Missing { first } => *first,
            Part::Found { id, .. } => *id,
        })
    }

    pub(super) fn found(&self) -> usize {
        self.parts().iter().filter_map(Part::id).count()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.parts().iter().filter_map(Part::place)
    }

    /// Bytes of memory beside the slot, including those that an allocator adds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(parts) => size_of_val(&**parts) + 16,
        }
    }
}

impl Slot {
    /// The slot of an answer without any found file yet.
    pub(super) fn new(tag: Tag, answer: &Answer) -> Self {
        Self {
            tag,
            files: Files::missing(&answer.part),
            at: answer.request.at,
            sender: answer.request.sender,
            rank: NONE,
            next: NONE,
            before: NONE,
            behind: NONE,
        }
    }

    /// Its age. No two answers have the same.
    pub(super) fn age(&self) -> Age {
        (self.at, self.files.first())
    }
}

impl Chained for Slot {
    fn hash(&self) -> u64 {
        self.tag.hash()
    }

    fn next(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn peek_next(&self) -> u32 {
        self.next
    }
}

impl Ranked for Slot {
    fn rank(&mut self) -> &mut u32 {
        &mut self.rank
    }
}

/// Whether a file can be this part of an answer.
pub(super) fn is_possible(id: FileId, part: &PartOf) -> bool {
    let is_first = part.position == 0;
    part.position < part.files && is_first == (id == part.first)
}
