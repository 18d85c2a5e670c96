//! Reads frames back, one or all of them.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::Damage;
use super::error::ReadError;
use super::files::{read_all, read_up_to};
use super::found::{Content, FoundFrame};
use super::frame::FrameHead;
use super::position::Position;
use super::scan::{Depth, Ends, SegmentBytes};
use super::{Segment, Wal, lock};

/// Bytes of a first read, if the length of the frame is not known.
const FIRST_BYTES: usize = 16 * 1024;

impl Wal {
    /// Reads the whole frame at this offset of the segment that contains the group of this number, and
    /// verifies its checks.
    ///
    /// # Errors
    /// As [`Wal::read`].
    pub fn read_at(&self, number: u64, place: u32) -> Result<Content, ReadError> {
        let (segment, position, bytes) = self.read_bytes(number, place, FrameHead::total)?;
        content(&segment, position, &bytes).ok_or(ReadError::Damaged)
    }

    /// Does the same without the inline bodies: they are neither read nor verified.
    ///
    /// # Errors
    /// As [`Wal::read`].
    pub fn read_front_at(&self, number: u64, place: u32) -> Result<Content, ReadError> {
        let (segment, position, bytes) =
            self.read_bytes(number, place, FrameHead::before_bodies)?;
        let seal = segment.head.seal;
        let at = usize::try_from(place).map_err(io::Error::other)?;
        let head = FrameHead::read(seal, number, at, &bytes);
        let front = head.and_then(|head| {
            let (record, _) = head.front(seal, position, &bytes)?;
            Some(Content {
                tag: head.tag,
                record: bytes.slice_ref(record),
                bodies: Vec::new(),
            })
        });
        front.ok_or(ReadError::Damaged)
    }

    /// Steps 1 and 2: the first bytes of the frame at this offset, as many as `wanted` by its head.
    fn read_bytes(
        &self,
        number: u64,
        place: u32,
        wanted: impl FnOnce(&FrameHead) -> usize,
    ) -> Result<(Arc<Segment>, Position, Bytes), ReadError> {
        let segment = self.segment_of(number).ok_or(ReadError::Gone)?; // 1
        let mut bytes = vec![0; FIRST_BYTES];
        let read = read_up_to(&segment.file, &mut bytes, place.into())?;
        bytes.truncate(read);
        let at = usize::try_from(place).map_err(io::Error::other)?;
        let head = FrameHead::read(segment.head.seal, number, at, &bytes);
        let length = wanted(&head.ok_or(ReadError::Damaged)?);
        bytes.resize(length, 0);
        if let Some(rest) = bytes.get_mut(read..) {
            let behind = u64::from(place) + u64::try_from(read).map_err(io::Error::other)?;
            if read_up_to(&segment.file, rest, behind)? < rest.len() {
                return Err(ReadError::Damaged);
            } // 2
        }
        let position = Position {
            generation: segment.head.seal.generation,
            number,
            place,
            bytes: u32::try_from(length).map_err(io::Error::other)?,
        };
        Ok((segment, position, bytes.into()))
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
        let bytes = read_all(&segment.file)?;
        let (head, bytes) = (segment.head, bytes.as_slice());
        let scan = SegmentBytes { head, bytes }.scan(ends, Depth::Bodies, sink);
        Ok(scan.damages)
    }

    /// Reads a whole frame, and verifies its checks.
    ///
    /// # Errors
    /// [`ReadError`]. The caller must ask its index again before it treats the error as damage.
    pub fn read(&self, position: Position) -> Result<Content, ReadError> {
        let segment = lock(&self.segments).get(&position.generation).cloned(); // 1
        segment.ok_or(ReadError::Gone)?.read(position)
    }

    /// Reads the whole log with all bodies, up to the last synced group. Returns all damage: what the
    /// start found in unreadable files, and what is found now.
    ///
    /// # Errors
    /// The disk's error.
    pub fn verify(&self) -> io::Result<Vec<Damage>> {
        let writer = lock(&self.writer); // no segment begins meanwhile
        let end = writer.end;
        let segments: Vec<Arc<Segment>> = lock(&self.segments).values().cloned().collect();
        drop(writer);
        let is_of_a_file = |damage: &&Damage| {
            matches!(
                damage,
                Damage::File { .. }
                    | Damage::Short { .. }
                    | Damage::HeadCopy { .. }
                    | Damage::Twice { .. }
                    | Damage::Missing { .. }
            )
        };
        let mut damages: Vec<_> = self.lost.iter().filter(is_of_a_file).cloned().collect();
        let newest = segments.last().map(|segment| segment.head.seal.generation);
        for segment in segments {
            let is_newest = Some(segment.head.seal.generation) == newest;
            let sealed = segment.sealed.get().copied();
            let ends = match sealed.or(is_newest.then_some(end)) {
                Some(end) => Ends::At(end),
                None => Ends::Somewhere,
            };
            let bytes = read_all(&segment.file)?;
            let (head, bytes) = (segment.head, bytes.as_slice());
            let scan = SegmentBytes { head, bytes }.scan(ends, Depth::Bodies, &mut |_| {});
            damages.extend(scan.damages);
        }
        Ok(damages)
    }
}

impl Segment {
    /// Steps 2 and 3 of a read. Another segment may have begun in the file by now.
    pub(super) fn read(&self, position: Position) -> Result<Content, ReadError> {
        let mut bytes = vec![0; usize::try_from(position.bytes).map_err(io::Error::other)?];
        match self.file.read_exact_at(&mut bytes, position.place.into()) {
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Damaged);
            }
            read => read?, // 2
        }
        content(self, position, &bytes.into()).ok_or(ReadError::Damaged)
    }
}

/// Step 3 of a read.
fn content(segment: &Segment, position: Position, bytes: &Bytes) -> Option<Content> {
    let seal = segment.head.seal;
    let place = usize::try_from(position.place).ok()?;
    let head = FrameHead::read(seal, position.number, place, bytes)?;
    let found = head.open(seal, position, bytes).ok()?;
    if head.total() != bytes.len() || found.bodies.damaged().is_some() {
        return None;
    }
    Some(Content {
        tag: found.tag,
        record: bytes.slice_ref(found.record),
        bodies: found
            .bodies
            .iter()
            .map(|body| bytes.slice_ref(body))
            .collect(),
    })
}
