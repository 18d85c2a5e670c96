//! Reading frames back, one or all of them.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::Damage;
use super::error::ReadError;
use super::files::{read_all, read_up_to};
use super::found::{Content, Found};
use super::frame::FrameHead;
use super::position::Position;
use super::scan::{Depth, Ends, SegmentBytes};
use super::{Segment, Wal, lock};

/// How much is read at first of a frame whose length is not known.
const FIRST_BYTES: usize = 16 * 1024;

impl Wal {
    /// Reads the frame that begins at this place of the segment that has the group of this number, all of
    /// it, and sees that it is what was written.
    ///
    /// # Errors
    /// As [`Wal::read`].
    pub fn read_at(&self, number: u64, place: u32) -> Result<Content, ReadError> {
        let segment = self.segment_of(number).ok_or(ReadError::Gone)?; // 1
        let mut bytes = vec![0; FIRST_BYTES];
        let read = read_up_to(&segment.file, &mut bytes, place.into())?;
        bytes.truncate(read);
        let at = usize::try_from(place).map_err(io::Error::other)?;
        let head = FrameHead::read(segment.head.seal, number, at, &bytes);
        let length = head.ok_or(ReadError::Damaged)?.total();
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
        content(&segment, position, &bytes.into()).ok_or(ReadError::Damaged)
    }

    /// The segment that has the group of this number, if it has frames.
    fn segment_of(&self, number: u64) -> Option<Arc<Segment>> {
        let segments = lock(&self.segments);
        let mut newest_first = segments.values().rev();
        let found = newest_first.find(|segment| segment.head.before.number < number);
        found.cloned()
    }

    /// The generation of the segment that has the group of this number, if it has frames and lives.
    pub fn generation_of(&self, number: u64) -> Option<u64> {
        let segment = self.segment_of(number)?;
        Some(segment.head.seal.generation)
    }

    /// Hands out the frames of a segment that gets no more of them, bodies included, and returns what is
    /// damaged in it.
    ///
    /// # Errors
    /// [`ReadError::Gone`] also when it is the newest; what the disk says.
    pub fn frames_of(
        &self,
        generation: u64,
        sink: &mut dyn FnMut(&Found<'_>),
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

    /// Reads a frame, all of it, and sees that it is what was written.
    ///
    /// # Errors
    /// [`ReadError`]. The caller asks its index again before it calls anything damage.
    pub fn read(&self, position: Position) -> Result<Content, ReadError> {
        let segment = lock(&self.segments).get(&position.generation).cloned(); // 1
        segment.ok_or(ReadError::Gone)?.read(position)
    }

    /// Reads the whole log with all bodies, up to the group that was synced last, and returns what is
    /// damaged: what the start had found of files that it cannot read, and what is found now.
    ///
    /// # Errors
    /// What the disk says.
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
    /// Steps 2 and 3 of a read, though another segment may have begun in the file by now.
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
