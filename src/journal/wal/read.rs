//! Reads frames back, one or all of them.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::damage::Damage;
use super::error::ReadError;
use super::files::read_up_to;
use super::found::{Content, FoundFrame, InlineBody};
use super::frame::FrameHead;
use super::position::Position;
use super::scan::{Depth, Ends, SegmentBytes};
use super::{Segment, Wal, lock};
use crate::journal::volume::Disk;

/// Bytes of a first read, if the length of the frame is not known.
const FIRST_BYTES: usize = 16 * 1024;

impl Wal {
    /// Reads the whole frame at this offset of the segment that contains the group of this number, and
    /// verifies its checks. A damaged inline body leaves the others readable.
    ///
    /// # Errors
    /// [`ReadError`]. The caller must ask its index again before it treats the error as damage.
    pub fn read_at(&self, number: u64, place: u32) -> Result<Content, ReadError> {
        let segment = self.segment_of(number).ok_or(ReadError::Gone)?; // 1
        segment.read_at(self.volume.disk(), number, place)
    }

    /// Does the same without the inline bodies: they are neither read nor verified.
    ///
    /// # Errors
    /// As [`Wal::read_at`].
    pub fn read_front_at(&self, number: u64, place: u32) -> Result<Content, ReadError> {
        let segment = self.segment_of(number).ok_or(ReadError::Gone)?;
        let disk = self.volume.disk();
        let (head, position, bytes) =
            segment.read_bytes(disk, number, place, FrameHead::before_bodies)?;
        let front = head.front(segment.head.seal, position, &bytes);
        let (record, _) = front.ok_or(ReadError::Damaged)?;
        Ok(Content {
            tag: head.tag,
            record: bytes.slice_ref(record),
            bodies: Vec::new(),
        })
    }

    /// The segment that contains the group of this number, if that group has frames.
    fn segment_of(&self, number: u64) -> Option<Arc<Segment>> {
        let segments = lock(&self.segments);
        let mut newest_first = segments.values().rev();
        let found = newest_first.find(|segment| segment.head.before.number < number);
        found.cloned()
    }

    /// The generation of the living segment that contains the group of this number, if that group has
    /// frames.
    pub fn generation_of(&self, number: u64) -> Option<u64> {
        let segment = self.segment_of(number)?;
        Some(segment.head.seal.generation)
    }

    /// Hands out all frames of a complete segment with their bodies, and returns the damage in it.
    ///
    /// # Errors
    /// [`ReadError::Gone`], also for the newest segment; the disk's error.
    pub fn frames_of(
        &self,
        generation: u64,
        sink: &mut dyn FnMut(&FoundFrame<'_>),
    ) -> Result<Vec<Damage>, ReadError> {
        let (segment, is_newest) = {
            let segments = lock(&self.segments);
            let newest = segments.keys().next_back();
            (
                segments.get(&generation).cloned(),
                newest == Some(&generation),
            )
        };
        let segment = segment.filter(|_| !is_newest).ok_or(ReadError::Gone)?;
        let ends = segment.sealed.get().copied();
        let ends = ends.map_or(Ends::Somewhere, Ends::At);
        let mut bytes = vec![0; usize::try_from(segment.head.bytes).map_err(io::Error::other)?];
        let length = segment.fill(self.volume.disk(), &mut bytes, 0)?;
        bytes.truncate(length);
        let (head, bytes) = (segment.head, bytes.as_slice());
        let scan = SegmentBytes { head, bytes }.scan(ends, Depth::Bodies, sink);
        Ok(scan.damages)
    }
}

impl Segment {
    /// Steps 2 and 3 of a read. Another segment may have begun in the file by now.
    pub(super) fn read_at(
        &self,
        disk: &dyn Disk,
        number: u64,
        place: u32,
    ) -> Result<Content, ReadError> {
        let (head, position, bytes) = self.read_bytes(disk, number, place, FrameHead::total)?;
        let found = head.open(self.head.seal, position, &bytes); // 3
        let found = found.map_err(|_| ReadError::Damaged)?;
        let bodies = found.bodies.lengths().zip(found.bodies.sound());
        let bodies = bodies.map(|(length, body)| InlineBody {
            length,
            bytes: body.map(|body| bytes.slice_ref(body)),
        });
        Ok(Content {
            tag: found.tag,
            record: bytes.slice_ref(found.record),
            bodies: bodies.collect(),
        })
    }

    /// Step 2: the head of the frame at this offset, and the first bytes of the frame, as many as
    /// `wanted`.
    fn read_bytes(
        &self,
        disk: &dyn Disk,
        number: u64,
        place: u32,
        wanted: impl FnOnce(&FrameHead) -> usize,
    ) -> Result<(FrameHead, Position, Bytes), ReadError> {
        let mut bytes = vec![0; FIRST_BYTES];
        let read = self.read(disk, &mut bytes, place.into())?;
        bytes.truncate(read);
        let at = usize::try_from(place).map_err(io::Error::other)?;
        let head = FrameHead::read(self.head.seal, number, at, &bytes);
        let behind = u64::from(place) + u64::try_from(read).map_err(io::Error::other)?;
        let Some(head) = head else {
            // A bad block may have the rest of it.
            if read < FIRST_BYTES {
                self.fill(disk, &mut [0], behind)?;
            }
            return Err(ReadError::Damaged);
        };
        let length = wanted(&head);
        bytes.resize(length, 0);
        if let Some(rest) = bytes.get_mut(read..)
            && self.fill(disk, rest, behind)? < rest.len()
        {
            return Err(ReadError::Damaged);
        }
        let position = Position {
            generation: self.head.seal.generation,
            number,
            place,
            bytes: u32::try_from(length).map_err(io::Error::other)?,
        };
        Ok((head, position, bytes.into()))
    }

    /// Reads up to the end of the file; a bad block is an error.
    fn fill(&self, disk: &dyn Disk, into: &mut [u8], place: u64) -> io::Result<usize> {
        read_up_to(&|into, place| self.read(disk, into, place), into, place)
    }

    /// Reads up to the end of the file, or to a bad block.
    fn read(&self, disk: &dyn Disk, into: &mut [u8], place: u64) -> io::Result<usize> {
        let read = |into: &mut [u8], place| disk.read_at(&self.file, into, place);
        self.bad_blocks.read(Instant::now(), into, place, &read)
    }
}
