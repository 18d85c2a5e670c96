//! One record in the log, with the inline bodies that belong to it.

use std::{io, iter};

use sha2::{Digest as _, Sha256};

use super::damage::Part;
use super::fields::Fields;
use super::format::{BODY_ENTRY_BYTES, CHECK_BYTES, CHECKED_BYTES, FRAME_STEP, HEAD_BYTES};
use super::found::{Bodies, FoundFrame};
use super::position::{Position, Tag};
use super::seal::Seal;
use crate::file::FileId;

const MAGIC: &[u8; 4] = b"gs-f";

/// The sha-256 of a body.
pub type Digest = [u8; 32];

/// A frame to be written.
#[derive(Debug)]
pub struct Frame {
    /// The bytes as on disk, up to the beginning of the next frame; the checks are zeros.
    bytes: Vec<u8>,
    /// The number of bytes before the check of the front.
    before_check: usize,
    length: usize,
}

impl Frame {
    /// Lays a frame out. `fill` writes all bodies one behind the other; their lengths are known before.
    /// So a body is read from a file directly to its place. `digests` are the known sha-256 of the
    /// bodies; only bodies without one are hashed.
    ///
    /// # Errors
    /// The errors of `fill`; `InvalidInput` if a length does not fit into 32 bits.
    pub fn build(
        tag: Tag,
        record: &[u8],
        body_lengths: &[u32],
        digests: &[Option<Digest>],
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let head = FrameHead::of(tag, record, body_lengths);
        let head = head.ok_or(io::ErrorKind::InvalidInput)?;
        let front_at = HEAD_BYTES + record.len();
        let bodies_at = HEAD_BYTES + head.front_bytes();
        let length = head.total();
        let mut bytes = Vec::with_capacity(length.next_multiple_of(FRAME_STEP));
        bytes.extend_from_slice(&head.encode());
        bytes.resize(HEAD_BYTES, 0);
        bytes.extend_from_slice(record);
        bytes.resize(length, 0);
        let (front, bodies) = bytes.split_at_mut(bodies_at);
        fill(bodies)?;
        let entries = front.get_mut(front_at..).unwrap_or_default();
        let mut rest = &*bodies;
        let digests = digests.iter().copied().chain(iter::repeat(None));
        let lengths = body_lengths.iter().zip(digests);
        for (entry, (&length, known)) in entries.chunks_exact_mut(BODY_ENTRY_BYTES).zip(lengths) {
            let (length_field, digest_field) = entry.split_at_mut(size_of_val(&length));
            let end = usize::try_from(length).map_err(io::Error::other)?;
            let (body, after) = rest.split_at(end);
            length_field.copy_from_slice(&length.to_le_bytes());
            let digest = known.unwrap_or_else(|| Sha256::digest(body).into());
            digest_field.copy_from_slice(&digest);
            rest = after;
        }
        bytes.resize(length.next_multiple_of(FRAME_STEP), 0);
        Ok(Self {
            bytes,
            before_check: bodies_at - CHECK_BYTES,
            length,
        })
    }

    /// All of its bytes in a group.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is the frame of this record.
    pub fn has_record(&self, record: &[u8]) -> bool {
        let front = self.bytes.get(HEAD_BYTES..).unwrap_or_default();
        front.starts_with(record)
    }

    /// Its length, without the padding up to the next frame.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Computes the checks for the group and the offset at which it will be written.
    pub(super) fn seal(&mut self, seal: Seal, number: u64, place: usize) {
        let front = HEAD_BYTES..self.before_check;
        for (checked, place) in [(0..CHECKED_BYTES, place), (front, place + HEAD_BYTES)] {
            let end = checked.end;
            let check = seal.check(number, place, self.bytes.get(checked).unwrap_or_default());
            if let Some(field) = self.bytes.get_mut(end..end + CHECK_BYTES) {
                field.copy_from_slice(&check);
            }
        }
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) tag: Tag,
    record_bytes: usize,
    bodies: usize,
    body_bytes: usize,
}

impl FrameHead {
    /// `None` if a length does not fit into its field.
    fn of(tag: Tag, record: &[u8], body_lengths: &[u32]) -> Option<Self> {
        let body_bytes = body_lengths
            .iter()
            .try_fold(0_u32, |sum, length| sum.checked_add(*length))?;
        let head = Self {
            tag,
            record_bytes: record.len(),
            bodies: body_lengths.len(),
            body_bytes: usize::try_from(body_bytes).ok()?,
        };
        u32::try_from(head.total()).ok()?;
        Some(head)
    }

    fn encode(&self) -> Vec<u8> {
        let tag = &self.tag;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[tag.kind, tag.version]);
        head.extend_from_slice(&tag.flags.to_le_bytes());
        for length in [self.record_bytes, self.bodies, self.body_bytes] {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            head.extend_from_slice(&length.to_le_bytes());
        }
        head.extend_from_slice(&tag.id.bytes());
        head.extend_from_slice(&tag.length.to_le_bytes());
        head.extend_from_slice(&tag.time.to_le_bytes());
        debug_assert_eq!(head.len(), CHECKED_BYTES);
        head
    }

    /// Reads a head; `None` unless it was written at this offset, in the group of this number.
    pub(super) fn read(seal: Seal, number: u64, place: usize, frame: &[u8]) -> Option<Self> {
        if !frame.starts_with(MAGIC) {
            return None;
        }
        let (checked, check) = frame.get(..HEAD_BYTES)?.split_at_checked(CHECKED_BYTES)?;
        let mut fields = Fields::of(checked.get(MAGIC.len()..)?);
        let (kind, version, flags) = (fields.u8()?, fields.u8()?, fields.u16()?);
        let (record_bytes, bodies) = (fields.size()?, fields.size()?);
        let body_bytes = fields.size()?;
        let head = Self {
            tag: Tag {
                kind,
                version,
                flags,
                id: FileId::from_bytes(fields.bytes()?),
                length: fields.u64()?,
                time: fields.u64()?,
            },
            record_bytes,
            bodies,
            body_bytes,
        };
        (seal.check(number, place, checked) == check).then_some(head)
    }

    fn front_bytes(&self) -> usize {
        self.record_bytes + self.bodies * BODY_ENTRY_BYTES + CHECK_BYTES
    }

    /// The length of the frame.
    pub(super) fn total(&self) -> usize {
        self.before_bodies() + self.body_bytes
    }

    /// The length of the frame without its bodies.
    pub(super) fn before_bodies(&self) -> usize {
        HEAD_BYTES + self.front_bytes()
    }

    /// Reads the other parts of a frame with this head. The digests of the bodies are not checked.
    pub(super) fn open<'a>(
        &self,
        seal: Seal,
        position: Position,
        frame: &'a [u8],
    ) -> Result<FoundFrame<'a>, Part> {
        let found = self.split(seal, position, frame).ok_or(Part::Front)?;
        let bytes = found.bodies.lengths().map(u64::from).sum();
        let is_complete = u64::try_from(self.body_bytes) == Ok(bytes);
        is_complete.then_some(found).ok_or(Part::Front)
    }

    /// The record, and the table of the bodies; `None` if they are not as they were written.
    pub(super) fn front<'a>(
        &self,
        seal: Seal,
        position: Position,
        frame: &'a [u8],
    ) -> Option<(&'a [u8], &'a [u8])> {
        let front = frame.get(HEAD_BYTES..self.before_bodies())?;
        let (checked, check) = front.split_at_checked(front.len() - CHECK_BYTES)?;
        let place = usize::try_from(position.place)
            .ok()?
            .checked_add(HEAD_BYTES)?;
        if seal.check(position.number, place, checked) != check {
            return None;
        }
        checked.split_at_checked(self.record_bytes)
    }

    fn split<'a>(&self, seal: Seal, position: Position, frame: &'a [u8]) -> Option<FoundFrame<'a>> {
        let bodies = frame.get(self.before_bodies()..self.total())?;
        let (record, table) = self.front(seal, position, frame)?;
        Some(FoundFrame {
            tag: self.tag,
            position,
            record,
            bodies: Bodies::new(table, bodies),
        })
    }
}
