//! The form of the log's bytes: a head, then groups of frames.
//!
//! | part | bytes |
//! |---|---|
//! | head of a segment | its salt (8), the digest of salt and generation (8) |
//! | head of a group | `MAGIC` (8), its length with this head (8), the digest of salt, generation, place and length (16) |
//! | frame | its kind (4), the id (12), the lengths of record and body (4 each), both, its digest (32) |
//!
//! Numbers are little endian, digests sha-256 or the first bytes of it. The digest of a frame is that of
//! all before; in the place of its body stands the body's own digest, so that a body that is hashed on
//! its way need not be kept, nor hashed again. In the log's first form it did not: such frames are of
//! another kind, and are read for those who have some. The salt is never told: no body can hold what
//! would be taken for a group. Salt, generation and place bind a group to where it was written: what
//! was copied from elsewhere, or is left of an earlier write, is none.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

use crate::file::{FileId, Window};
use crate::store;

/// Begins a group.
const MAGIC: &[u8; 8] = b"gs-group";

/// The bytes of a segment's head.
pub(super) const HEAD_BYTES: usize = 16;

/// The bytes of a group's head.
pub(super) const GROUP_HEAD_BYTES: usize = 32;

const FRAME_HEAD_BYTES: usize = 24;

const DIGEST_BYTES: usize = 32;

const FILE: &[u8; 4] = b"body";

/// As [`FILE`] in the log's first form: the digest is that of all bytes before it.
const PLAIN_FILE: &[u8; 4] = b"file";

const GONE: &[u8; 4] = b"gone";

/// Said of a frame whose digest is another.
pub(super) const DAMAGED: &str = "its frame in the log is damaged";

/// What one segment's groups are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    salt: [u8; 8],
    generation: u64,
}

impl Seal {
    pub(super) fn new(salt: u64, generation: u64) -> Self {
        Self {
            salt: salt.to_le_bytes(),
            generation,
        }
    }

    /// The head of the segment.
    pub(super) fn head(self) -> Vec<u8> {
        let digest = Sha256::new()
            .chain_update(self.salt)
            .chain_update(self.generation.to_le_bytes())
            .finalize();
        let check = digest.iter().copied().take(HEAD_BYTES - self.salt.len());
        self.salt.into_iter().chain(check).collect()
    }

    /// Reads what [`Seal::head`] wrote for this generation.
    pub(super) fn read(generation: u64, segment: &[u8]) -> Option<Self> {
        let salt = *segment.first_chunk()?;
        let seal = Self { salt, generation };
        segment.starts_with(&seal.head()).then_some(seal)
    }

    /// The head of a group of `length` bytes, written at `place`.
    pub(super) fn group_head(self, place: u64, length: u64) -> Vec<u8> {
        let digest = Sha256::new()
            .chain_update(self.salt)
            .chain_update(self.generation.to_le_bytes())
            .chain_update(place.to_le_bytes())
            .chain_update(length.to_le_bytes())
            .finalize();
        let mut head = [&MAGIC[..], &length.to_le_bytes()[..]].concat();
        head.extend(digest.iter().take(GROUP_HEAD_BYTES - head.len()));
        head
    }

    /// Where the group that begins at `place` ends, if its head is whole and all of it is there.
    pub(super) fn group(self, place: usize, segment: &[u8]) -> Option<Range<usize>> {
        let here = segment.get(place..)?;
        let length = u64::from_le_bytes(*here.get(MAGIC.len()..)?.first_chunk()?);
        let is_head = here.starts_with(&self.group_head(u64::try_from(place).ok()?, length));
        let end = place.checked_add(usize::try_from(length).ok()?)?;
        (is_head && end <= segment.len()).then_some(place..end)
    }

    /// The first group after `place`.
    pub(super) fn next_group(self, place: usize, segment: &[u8]) -> Option<usize> {
        let after = segment.get(place + 1..)?;
        let begins = after.windows(MAGIC.len()).enumerate();
        begins
            .filter(|(_, bytes)| bytes == MAGIC)
            .map(|(at, _)| place + 1 + at)
            .find(|&at| self.group(at, segment).is_some())
    }
}

/// Where a frame with a body is in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) struct Position {
    /// The segment.
    pub(in crate::journal) generation: u64,
    /// Where the frame begins.
    pub(super) offset: u64,
    pub(super) record_bytes: u32,
    body_bytes: u32,
}

impl Position {
    /// Where the record is.
    pub(super) fn record(self) -> Window {
        Window {
            offset: self.offset + 24,
            length: self.record_bytes.into(),
        }
    }

    /// All that stands before the body: the frame's head and the record.
    pub(super) fn front(self) -> Window {
        Window {
            offset: self.offset,
            length: self.record().offset - self.offset + self.record().length,
        }
    }

    /// Where the body is.
    pub(super) fn body(self) -> Window {
        Window {
            offset: self.offset + 24 + u64::from(self.record_bytes),
            length: self.body_bytes.into(),
        }
    }

    /// All of the frame.
    pub(super) fn frame(self) -> Window {
        let bytes = 24 + 32 + u64::from(self.record_bytes) + u64::from(self.body_bytes);
        Window {
            offset: self.offset,
            length: bytes,
        }
    }

    /// The same frame where it is after a group was written.
    pub(super) fn placed(self, generation: u64, place: u64) -> Self {
        Self {
            generation,
            offset: self.offset + place,
            ..self
        }
    }
}

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// An upload was promised.
    File {
        id: FileId,
        record: &'a [u8],
        body: &'a [u8],
    },
    /// Its frame means nothing any more: it is settled, or has files.
    Gone(FileId),
}

/// What stands before the body in the frame of an upload.
#[derive(Debug)]
pub(super) struct Front<'a> {
    pub(super) id: FileId,
    pub(super) record: &'a [u8],
    /// Whether the frame is of the log's first form: its end says nothing of the body's digest.
    pub(super) is_plain: bool,
}

/// Makes the frame of an upload; `fill` writes its body. Returns it with its position in itself.
pub(super) fn encode_file(
    id: FileId,
    record: &[u8],
    body_bytes: u32,
    fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> io::Result<(Vec<u8>, Position)> {
    let record_bytes = u32::try_from(record.len()).map_err(io::Error::other)?;
    let position = Position {
        generation: 0,
        offset: 0,
        record_bytes,
        body_bytes,
    };
    let total = usize::try_from(position.frame().length).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(total);
    begin(&mut frame, FILE, id, [record_bytes, body_bytes]);
    frame.extend_from_slice(record);
    let body_at = frame.len();
    frame.resize(total - DIGEST_BYTES, 0);
    fill(frame.get_mut(body_at..).unwrap_or_default())?;
    let (front, body) = frame.split_at(body_at);
    let digest = digest(front, &Sha256::digest(body));
    frame.extend_from_slice(&digest);
    Ok((frame, position))
}

/// Makes the frame that takes another's meaning.
pub(super) fn encode_gone(id: FileId) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + DIGEST_BYTES);
    begin(&mut frame, GONE, id, [0, 0]);
    let digest = digest(&frame, &[]);
    frame.extend_from_slice(&digest);
    frame
}

fn begin(frame: &mut Vec<u8>, kind: &[u8], id: FileId, lengths: [u32; 2]) {
    frame.extend_from_slice(kind);
    frame.extend_from_slice(&id.bytes());
    for length in lengths {
        frame.extend_from_slice(&length.to_le_bytes());
    }
}

/// The digest of a frame: of what stands before its body, and of its body or what stands for it.
fn digest(front: &[u8], body_or_digest: &[u8]) -> [u8; DIGEST_BYTES] {
    let hasher = Sha256::new()
        .chain_update(front)
        .chain_update(body_or_digest);
    hasher.finalize().into()
}

/// What a frame's head says: its kind, the id, the lengths of record and body; and what follows it.
type Head<'a> = ([u8; 4], FileId, [u32; 2], &'a [u8]);

fn split_head(bytes: &[u8]) -> Option<Head<'_>> {
    let (kind, rest) = bytes.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (record_bytes, rest) = rest.split_first_chunk()?;
    let (body_bytes, rest) = rest.split_first_chunk()?;
    let lengths = [record_bytes, body_bytes].map(|bytes| u32::from_le_bytes(*bytes));
    Some((*kind, FileId::from_bytes(*id), lengths, rest))
}

/// Reads what stands before the body of an upload's frame. `None` if its head says something else of the
/// frame; whether all of it is whole is seen by [`verify`].
pub(super) fn decode_front(position: Position, front: &[u8]) -> Option<Front<'_>> {
    let (kind, id, lengths, record) = split_head(front)?;
    let is_plain = &kind == PLAIN_FILE;
    let is_upload = is_plain || &kind == FILE;
    (is_upload && lengths == [position.record_bytes, position.body_bytes]).then_some(Front {
        id,
        record,
        is_plain,
    })
}

/// Sees that a frame with this front, and a body of this digest there, is as it was written: by its end,
/// behind the body.
///
/// # Errors
/// What the disk says; `InvalidData` when it is not.
pub(in crate::journal) fn verify(
    front: &[u8],
    sha256: store::Sha256,
    segment: &File,
    body: Window,
) -> io::Result<()> {
    let mut end = [0; DIGEST_BYTES];
    segment.read_exact_at(&mut end, body.offset + body.length)?;
    if digest(front, &sha256.0) == end {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, DAMAGED))
    }
}

/// Reads the frame that `bytes` begin with; returns how long it is too. `None` unless it is whole.
pub(super) fn decode(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (kind, id, lengths, rest) = split_head(bytes)?;
    let [record_bytes, body_bytes] = lengths.map(usize::try_from);
    let (record, rest) = rest.split_at_checked(record_bytes.ok()?)?;
    let (body, rest) = rest.split_at_checked(body_bytes.ok()?)?;
    let (digest, after) = rest.split_at_checked(DIGEST_BYTES)?;
    let length = bytes.len() - after.len();
    let front = bytes.get(..FRAME_HEAD_BYTES + record.len())?;
    let sha256 = (&kind == FILE).then(|| Sha256::digest(body));
    let body_or_digest = sha256.as_ref().map_or(body, |sha256| sha256.as_slice());
    if self::digest(front, body_or_digest) != digest {
        return None;
    }
    match &kind {
        FILE | PLAIN_FILE => Some((Frame::File { id, record, body }, length)),
        GONE => Some((Frame::Gone(id), length)),
        _ => None,
    }
}

/// The position of a decoded frame with a body.
pub(super) fn position(generation: u64, at: usize, record: &[u8], body: &[u8]) -> Option<Position> {
    Some(Position {
        generation,
        offset: u64::try_from(at).ok()?,
        record_bytes: u32::try_from(record.len()).ok()?,
        body_bytes: u32::try_from(body.len()).ok()?,
    })
}
