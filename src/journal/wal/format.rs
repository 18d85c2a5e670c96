//! The format of the log's bytes.
//!
//! Numbers are little endian. A *check* is the first 16 bytes of the sha-256 of the salt, the
//! generation, the group number, the offset in the segment, and the bytes that it covers. The salt is
//! random and secret, so no body can contain bytes that pass for a head. Number and offset bind a block
//! to the one write that it belongs to, so no old block passes for a new one.
//!
//! | part | fields (bytes) |
//! |---|---|
//! | head of a segment, at 0 and again at 4096 | magic 8, form 4, segment bytes 4, generation 8, salt 16, last number of the predecessor 8, its end 4, sha-256 of these fields 16 |
//! | head of a group, on 4096 | magic 8, number 8, bytes with this head 4, frames 4, distance to the number of the group before 4, flags 1, start number 3, oldest generation 8, log clock 8, check 16 |
//! | head of a frame, on 8 | magic 4, kind 1, version 1, flags 2, record bytes 4, bodies 4, bytes of all bodies 4, id 12, length 8, time 8, check 16 |
//! | front of a frame | record, for each body its length 4 and its sha-256 32, check 16 |
//! | bodies of a frame | one behind the other |
//!
//! - The first group is at 8192. Each later group begins on the first block of 4096 bytes behind the
//!   one before, so that a torn block never holds a promised frame beside a new one. The rest of the
//!   last block is zeros.
//! - A head of a group without frames confirms the group before it; the next group overwrites it.
//! - If a segment has two sound heads, the one with the higher generation counts. Magic, format and
//!   check keep their offsets in every future format, so that a newer format is told from damage.
//! - If a front or body is damaged, the length in the frame's head leads to the next frame. Behind a
//!   damaged head the next sound head is searched for.

use crate::file::FileIds;

/// The format that this program writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// Groups begin at multiples of this.
pub(super) const BLOCK: usize = 4096;

/// The offset of a segment's first group.
pub(super) const FIRST_GROUP: usize = 2 * BLOCK;

/// Bytes in the head of a group, and in the head of a frame.
pub(super) const HEAD_BYTES: usize = 64;

/// Frames begin at multiples of this.
pub(in crate::journal) const FRAME_STEP: usize = 8;

/// Bytes of a check.
pub(super) const CHECK_BYTES: usize = 16;

/// Bytes of the salt of a segment.
pub(super) const SALT_BYTES: usize = 16;

/// Bytes that a check of the head of a group, or of a frame, covers.
pub(super) const CHECKED_BYTES: usize = HEAD_BYTES - CHECK_BYTES;

/// Bytes of the digest of a body.
const DIGEST_BYTES: usize = 32;

/// Bytes that the front of a frame has for each body: its length and its digest.
pub(in crate::journal) const BODY_ENTRY_BYTES: usize = size_of::<u32>() + DIGEST_BYTES;

/// Bytes of a frame without its record and its bodies: the head, and the check of the front.
pub(in crate::journal) const FRAME_BYTES: usize = HEAD_BYTES + CHECK_BYTES;

/// The flags in the head of a group take this many lower bits of their field. The other bits are the start
/// number.
pub(super) const FLAG_BITS: u32 = u32::BITS - FileIds::START_BITS;

/// The first block at or behind an offset.
pub(super) fn to_block(place: usize) -> usize {
    place.next_multiple_of(BLOCK)
}
