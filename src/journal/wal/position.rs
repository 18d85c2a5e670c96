//! What a frame is called, and where it is.

use crate::file::FileId;

/// What stands in the head of a frame for its reader. The log passes it on, and understands none of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The kind of the record.
    pub kind: u8,
    /// The version of its form.
    pub version: u8,
    /// Bits that the reader of the record defines.
    pub flags: u16,
    /// What the record is about.
    pub id: FileId,
    /// Bytes of the file.
    pub length: u64,
    /// A time of the reader.
    pub time: u64,
}

/// Where a frame is, and when it was written. Only the frame that was written there then can be read by
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The segment.
    pub generation: u64,
    /// The number of the group.
    pub number: u64,
    /// Where in the segment the frame begins.
    pub place: u32,
    /// All of the frame.
    pub bytes: u32,
}
