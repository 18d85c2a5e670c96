//! What cannot be read though it was written.

use std::fmt;

use super::position::Position;
use crate::file::FileId;

/// The part of a frame that is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The record, or what is known of its bodies.
    Front,
    /// A body, counted from zero.
    Body(usize),
}

/// A part of the log that was synced once and is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A file has no head that can be read, and is not empty.
    File {
        /// Of the file.
        number: u32,
    },
    /// A file is shorter than its head says.
    Short {
        /// Of the file.
        number: u32,
        /// Its segment.
        generation: u64,
    },
    /// One of the two copies of a segment's head. Nothing is lost.
    HeadCopy {
        /// The segment.
        generation: u64,
    },
    /// Two files say that they are this segment; the second is not read.
    Twice {
        /// The segment.
        generation: u64,
        /// The file that is not read.
        number: u32,
    },
    /// Segments are not there.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The head of a group, or a group whose write was lost. Its frames are still found, but for those
    /// that are named beside it.
    Group {
        /// The segment.
        generation: u64,
        /// Where the group begins.
        place: usize,
    },
    /// Frames in a stretch of a group that holds no sound head of a frame.
    Frames {
        /// The segment.
        generation: u64,
        /// Where the stretch begins.
        place: usize,
        /// How long it is.
        bytes: usize,
    },
    /// A frame whose head is sound, so that one knows what is lost.
    Frame {
        /// What the frame is about.
        id: FileId,
        /// Where it is.
        position: Position,
        /// The first part of it that is damaged.
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
