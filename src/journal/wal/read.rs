//! Reading frames back, one or all of them.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::Damage;
use super::error::ReadError;
use super::found::Content;
use super::frame::{FrameHead, Position};
use super::scan::{Depth, Ends, SegmentBytes};
use super::start::read_all;
use super::{Segment, Wal, lock};

impl Wal {
    /// Reads a frame, all of it, and sees that it is what was written.
    ///
    /// # Errors
    /// [`ReadError`]. The caller asks its index again before it calls anything damage.
    pub fn read(&self, position: Position) -> Result<Content, ReadError> {
        let segment = lock(&self.segments).get(&position.generation).cloned(); // 1
        let segment = segment.ok_or(ReadError::Gone)?;
        let mut bytes = vec![0; usize::try_from(position.bytes).map_err(io::Error::other)?];
        match segment
            .file
            .read_exact_at(&mut bytes, position.place.into())
        {
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Damaged);
            }
            read => read?, // 2
        }
        content(&segment, position, &bytes.into()).ok_or(ReadError::Damaged)
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
