//! The head of a segment, which is stored twice.

use sha2::{Digest as _, Sha256};

use super::fields::Fields;
use super::format::{BLOCK, FIRST_GROUP, FORMAT, SALT_BYTES};
use super::seal::{Seal, first_bytes};

/// The end of a segment's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct End {
    /// The offset behind the last group.
    pub(super) place: usize,
    /// The number of the last group; in a segment without groups, that of the last group before it.
    pub(super) number: u64,
}

const MAGIC: &[u8; 8] = b"gs-wal\r\n";

/// Bytes of a copy before its check: form and size, generation, salt, and the end of the segment before it.
const CHECKED_BYTES: usize = MAGIC.len()
    + 2 * size_of::<u32>()
    + size_of::<u64>()
    + SALT_BYTES
    + size_of::<u64>()
    + size_of::<u32>();

/// The fields of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) seal: Seal,
    /// The size of its file.
    pub(super) bytes: u32,
    /// The end of the segment before it.
    pub(super) before: End,
}

/// The result of reading a segment's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadFound {
    Sound {
        head: SegmentHead,
        /// Whether the other copy is unreadable.
        is_damaged: bool,
    },
    /// A sound head of an unknown format.
    Newer(u32),
    Unreadable,
}

impl SegmentHead {
    /// Both copies, and everything else before the first group.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(FIRST_GROUP);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&FORMAT.to_le_bytes());
        copy.extend_from_slice(&self.bytes.to_le_bytes());
        copy.extend_from_slice(&self.seal.generation.to_le_bytes());
        copy.extend_from_slice(&self.seal.salt);
        copy.extend_from_slice(&self.before.number.to_le_bytes());
        let place = u32::try_from(self.before.place).unwrap_or(u32::MAX);
        copy.extend_from_slice(&place.to_le_bytes());
        debug_assert_eq!(copy.len(), CHECKED_BYTES);
        let check = first_bytes(Sha256::new().chain_update(&copy));
        copy.extend_from_slice(&check);
        copy.resize(BLOCK, 0);
        copy.extend_from_within(..);
        copy
    }

    /// Reads the head from the first bytes of a file.
    pub(super) fn read(bytes: &[u8]) -> HeadFound {
        let copies = [0, BLOCK].map(|place| bytes.get(place..).and_then(read_copy));
        let newer = copies.iter().flatten().find_map(|copy| copy.err());
        if let Some(form) = newer {
            return HeadFound::Newer(form);
        }
        let sound = copies.iter().flatten().filter_map(|copy| copy.ok());
        let newest = sound.max_by_key(|head| head.seal.generation);
        newest.map_or(HeadFound::Unreadable, |head| HeadFound::Sound {
            head,
            is_damaged: copies.contains(&None),
        })
    }
}

/// A sound copy of the head, or its unknown format.
fn read_copy(bytes: &[u8]) -> Option<Result<SegmentHead, u32>> {
    let (checked, rest) = bytes.split_at_checked(CHECKED_BYTES)?;
    let check = first_bytes(Sha256::new().chain_update(checked));
    if !checked.starts_with(MAGIC) || !rest.starts_with(&check) {
        return None;
    }
    let mut fields = Fields::of(checked.get(MAGIC.len()..)?);
    let form = fields.u32()?;
    if form != FORMAT {
        return Some(Err(form));
    }
    let bytes = fields.u32()?;
    let generation = fields.u64()?;
    let salt = fields.bytes()?;
    let number = fields.u64()?;
    let place = fields.size()?;
    Some(Ok(SegmentHead {
        seal: Seal { salt, generation },
        bytes,
        before: End { place, number },
    }))
}
