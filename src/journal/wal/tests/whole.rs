//! The log as a whole, for its tests.

use std::io;
use std::sync::Arc;

use super::super::files::read_all;
use super::super::scan::{Depth, Ends, SegmentBytes};
use super::super::write::Note;
use super::super::{AppendError, Damage, Frame, Position, Segment, Wal, lock};

impl Wal {
    /// Appends a frame, and returns when it survives a power cut.
    ///
    /// # Errors
    /// As [`Wal::queue`] and [`Wal::wait`].
    pub(super) fn append(&self, frame: Frame) -> Result<Position, AppendError> {
        self.wait(&self.queue(frame)?)
    }

    /// Waits until everything that is queued now is in the log or refused.
    ///
    /// # Errors
    /// Poison.
    pub(super) fn sync(&self) -> Result<(), AppendError> {
        self.note(Note::default())?;
        Ok(self.volume.check()?)
    }

    /// Reads the whole log with all bodies, up to the last synced group. Returns all damage
    /// of its frames.
    ///
    /// # Errors
    /// The disk's error.
    pub(super) fn verify(&self) -> io::Result<Vec<Damage>> {
        let writer = lock(&self.writer); // no segment begins meanwhile
        let end = writer.end;
        let segments: Vec<Arc<Segment>> = lock(&self.segments).values().cloned().collect();
        drop(writer);
        let mut damages = Vec::new();
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
