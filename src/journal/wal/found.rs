//! Frames that were found in the log.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::error::ReadError;
use super::format::BODY_ENTRY_BYTES;
use super::position::{Position, Tag};

/// A frame as it was found in the log.
#[derive(Debug, Clone, Copy)]
pub struct FoundFrame<'a> {
    /// Its head.
    pub tag: Tag,
    /// Its position.
    pub position: Position,
    /// The record, which is sound.
    pub record: &'a [u8],
    /// The inline bodies.
    pub bodies: Bodies<'a>,
}

/// The inline bodies of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Bodies<'a> {
    table: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Bodies<'a> {
    pub(super) fn new(table: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { table, bytes }
    }

    /// The stated length of each body.
    pub fn lengths(self) -> impl Iterator<Item = u32> {
        self.entries().map(|(length, _)| length)
    }

    /// Each body, checked against its digest; `None` for a damaged one.
    pub fn sound(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let bodies = self.with_digests();
        bodies.map(|(body, digest)| (Sha256::digest(body).as_slice() == digest).then_some(body))
    }

    /// The number of the first damaged body.
    pub(super) fn damaged(self) -> Option<usize> {
        self.sound().position(|body| body.is_none())
    }

    /// Each body with its digest, which a start has not checked.
    pub(super) fn with_digests(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.bytes;
        self.entries().map(move |(length, digest)| {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (body, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = after;
            (body, digest)
        })
    }

    /// The stated length and digest of each body.
    fn entries(self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let entries = self.table.chunks_exact(BODY_ENTRY_BYTES);
        entries.filter_map(|entry| {
            let (length, digest) = entry.split_first_chunk()?;
            Some((u32::from_le_bytes(*length), digest))
        })
    }
}

/// A frame that was read; its record is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its head.
    pub tag: Tag,
    /// The record.
    pub record: Bytes,
    /// The inline bodies.
    pub bodies: Vec<InlineBody>,
}

/// An inline body that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineBody {
    /// Its length as the frame states it.
    pub length: u32,
    /// Its bytes; `None` if they are damaged.
    pub bytes: Option<Bytes>,
}

impl InlineBody {
    /// Its bytes.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub fn sound(self) -> Result<Bytes, ReadError> {
        self.bytes.ok_or(ReadError::Damaged)
    }
}
