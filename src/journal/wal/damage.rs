//! Data of the log that was written and cannot be read.

use std::fmt;

use super::position::Position;
use crate::file::FileId;

/// The damaged part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The record, or the lengths and digests of its bodies.
    Front,
    /// A body, counted from zero.
    Body(usize),
}

/// A part of the log that was synced once and has changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A file that is not empty has no readable head.
    File {
        /// The file's number.
        number: u32,
    },
    /// A file is shorter than its head says.
    Short {
        /// The file's number.
        number: u32,
        /// Its segment.
        generation: u64,
    },
    /// One of the two copies of a segment's head is damaged. Nothing is lost.
    HeadCopy {
        /// The segment.
        generation: u64,
    },
    /// Two files claim to be this segment; the second is not read.
    Twice {
        /// The segment.
        generation: u64,
        /// The file that is not read.
        number: u32,
    },
    /// Segments are missing.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The head of a group is damaged, or the write of a group was lost. Its frames are still found,
    /// except those that are reported too.
    Group {
        /// The segment.
        generation: u64,
        /// The offset at which the group begins.
        place: usize,
    },
    /// Frames are lost in a stretch of a group without a sound head of a frame.
    Frames {
        /// The segment.
        generation: u64,
        /// The offset at which the stretch begins.
        place: usize,
        /// The length of the stretch in bytes.
        bytes: usize,
    },
    /// A frame is damaged and its head is sound, so the id of the lost entry is known.
    Frame {
        /// The entry of the frame.
        id: FileId,
        /// The position of the frame.
        position: Position,
        /// Its first damaged part.
        part: Part,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { number } => write!(formatter, "file {number} has no readable head"),
            Self::Short { number, generation } => {
                write!(formatter, "file {number}, segment {generation}: cut short")
            }
            Self::HeadCopy { generation } => {
                write!(
                    formatter,
                    "segment {generation}: one of its two heads is damaged"
                )
            }
            Self::Twice { generation, number } => write!(
                formatter,
                "segment {generation}: there are two; file {number} is not read"
            ),
            Self::Missing { first, last } if first == last => {
                write!(formatter, "segment {first} is missing")
            }
            Self::Missing { first, last } => {
                write!(formatter, "segments {first} to {last} are missing")
            }
            Self::Group { generation, place } => write!(
                formatter,
                "segment {generation}: the group at {place} is damaged"
            ),
            Self::Frames {
                generation,
                place,
                bytes,
            } => write!(
                formatter,
                "segment {generation}: no frame can be read in {bytes} bytes at {place}"
            ),
            Self::Frame { id, position, part } => {
                let Position {
                    generation, place, ..
                } = position;
                match part {
                    Part::Front => write!(formatter, "{id}: the record")?,
                    Part::Body(number) => write!(formatter, "{id}: body {number}")?,
                }
                write!(formatter, " is damaged, in segment {generation} at {place}")
            }
        }
    }
}
