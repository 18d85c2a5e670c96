//! Converts frames between the records and the log.

use super::index::Place;
use super::record::Frame;
use super::wal::{self, FoundFrame, Shape};

/// The records count what the log adds to them, and a place can name each frame of the log.
const _: () = {
    assert!(Frame::LOG_BYTES == wal::FRAME_BYTES);
    assert!(Frame::LOG_BODY_BYTES == wal::BODY_ENTRY_BYTES);
    assert!(wal::FRAME_STEP.is_power_of_two() && Place::STEP.is_power_of_two());
    assert!(wal::FRAME_STEP.trailing_zeros() == Place::STEP.trailing_zeros());
    assert!(Shape::DEFAULT.segment_bytes <= Place::SEGMENT_BYTES);
};

/// A frame that was found in the log, for the records.
pub(super) fn found_frame(found: &FoundFrame<'_>) -> Frame {
    read_frame(&found.tag, found.record, found.bodies.lengths())
}

/// The head of a frame in the log.
pub(super) fn tag(frame: &Frame) -> wal::Tag {
    wal::Tag {
        kind: frame.kind,
        version: frame.version,
        flags: frame.flags,
        id: frame.id,
        length: frame.length,
        time: frame.moment,
    }
}

/// The parts of a frame that was read, for the records.
pub(super) fn read_frame(
    tag: &wal::Tag,
    record: &[u8],
    body_lengths: impl Iterator<Item = u32>,
) -> Frame {
    Frame {
        kind: tag.kind,
        version: tag.version,
        flags: tag.flags,
        id: tag.id,
        length: tag.length,
        moment: tag.time,
        body_lengths: body_lengths.collect(),
        record: record.to_vec(),
    }
}
