//! The tag of a frame, and its position.

use crate::file::FileId;

/// The fields in the head of a frame that are for its reader. The log passes them on without
/// interpreting them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The kind of the record.
    pub kind: u8,
    /// The version of its format.
    pub version: u8,
    /// Bits with a meaning for the reader of the record.
    pub flags: u16,
    /// The entry of the record.
    pub id: FileId,
    /// The length of the file in bytes.
    pub length: u64,
    /// A time with a meaning for the reader.
    pub time: u64,
}

/// The place and the age of a frame. It can only be used to read the frame that was written there at
/// that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The segment.
    pub generation: u64,
    /// The number of the group.
    pub number: u64,
    /// The offset of the frame in the segment.
    pub place: u32,
    /// The length of the frame.
    pub bytes: u32,
}
