//! The head of a group.

use super::fields::Fields;
use super::format::{BLOCK, CHECKED_BYTES, FLAG_BITS, HEAD_BYTES, to_block};
use super::seal::Seal;

const MAGIC: &[u8; 8] = b"gs-group";

/// The log was closed after this head.
pub(super) const STOPPED: u32 = 1;

/// A start dropped a torn group at the offset of this head.
pub(super) const AFTER_TORN: u32 = 2;

/// The head of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupHead {
    /// Rises over the whole log; no number is used twice.
    pub(super) number: u64,
    /// Includes this head, but not the rest of the last block.
    pub(super) bytes: usize,
    /// 0 in a head that only confirms.
    pub(super) frames: u32,
    /// The number of the last group with frames before it, which was synced before this head was
    /// written.
    pub(super) confirmed: u64,
    /// 8 bits.
    pub(super) flags: u32,
    /// The number of the start that wrote it, 24 bits; 0 if it is unknown.
    pub(super) start: u32,
    /// The oldest generation that counts.
    pub(super) oldest: u64,
    pub(super) clock_ms: u64,
}

impl GroupHead {
    /// The bytes of this head at an offset; `None` if a number is too large for its field.
    pub(super) fn encode(&self, seal: Seal, place: usize) -> Option<Vec<u8>> {
        let bytes = u32::try_from(self.bytes).ok()?;
        let distance = u32::try_from(self.number.checked_sub(self.confirmed)?).ok()?;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&self.number.to_le_bytes());
        head.extend_from_slice(&bytes.to_le_bytes());
        head.extend_from_slice(&self.frames.to_le_bytes());
        head.extend_from_slice(&distance.to_le_bytes());
        head.extend_from_slice(&(self.flags | self.start << FLAG_BITS).to_le_bytes());
        head.extend_from_slice(&self.oldest.to_le_bytes());
        head.extend_from_slice(&self.clock_ms.to_le_bytes());
        debug_assert_eq!(head.len(), CHECKED_BYTES);
        let check = seal.check(self.number, place, &head);
        head.extend_from_slice(&check);
        Some(head)
    }

    /// Reads a head at an offset of a segment; `None` unless it was written for this offset.
    pub(super) fn read(seal: Seal, place: usize, segment: &[u8]) -> Option<Self> {
        let here = segment.get(place..)?;
        if !here.starts_with(MAGIC) {
            return None;
        }
        let (checked, check) = here.get(..HEAD_BYTES)?.split_at_checked(CHECKED_BYTES)?;
        let mut fields = Fields::of(checked.get(MAGIC.len()..)?);
        let number = fields.u64()?;
        let bytes = fields.size()?;
        let frames = fields.u32()?;
        let distance = fields.u32()?;
        let flags = fields.u32()?;
        let head = Self {
            number,
            bytes,
            frames,
            confirmed: number.checked_sub(distance.into())?,
            flags: flags & ((1 << FLAG_BITS) - 1),
            start: flags >> FLAG_BITS,
            oldest: fields.u64()?,
            clock_ms: fields.u64()?,
        };
        let is_sound = bytes >= HEAD_BYTES && seal.check(number, place, checked) == check;
        is_sound.then_some(head)
    }

    /// Returns the first head with a number above `number`, at or behind an offset, on a block
    /// before `limit`.
    pub(super) fn next(
        seal: Seal,
        place: usize,
        limit: usize,
        number: u64,
        segment: &[u8],
    ) -> Option<(usize, Self)> {
        let blocks = (to_block(place)..limit.min(segment.len())).step_by(BLOCK);
        blocks
            .filter_map(|place| Some((place, Self::read(seal, place, segment)?)))
            .find(|(_, head)| head.number > number)
    }
}
