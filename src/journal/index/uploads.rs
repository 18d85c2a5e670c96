//! Steps of uploads that may still grow.

use super::Index;
use super::coming::Coming;
use super::log_tail::{Decided, LogTail, Refused};
use super::marks::Effect;
use super::slot::Phase;
use crate::file::FileId;
use crate::journal::record::{
    Body, Change, Entry, File, Frame, LogTime, RecordError, State, Upload, grow,
};

impl Index {
    /// The lengths of the extents of an upload that may still grow.
    pub fn extents(&self, id: FileId) -> Option<&[u64]> {
        self.extents.get(&id).map(Vec::as_slice)
    }

    /// Adds an upload that may still grow.
    ///
    /// # Errors
    /// [`Refused`], also when the entry exists.
    pub fn begin_upload(
        &mut self,
        id: FileId,
        upload: Upload,
        queue: &mut impl LogTail,
    ) -> Decided {
        let extents = upload.extents.clone();
        let ticket = self.come(&Coming::upload(id, upload)?, queue)?;
        self.extents.insert(id, extents);
        Ok(ticket)
    }

    /// Extends an upload that has `at` bytes: by a new file, or at the end of the last one.
    ///
    /// # Errors
    /// [`Refused::Offset`] if the upload has another number of bytes, and the others.
    pub fn extend(
        &mut self,
        id: FileId,
        at: u64,
        bytes: u64,
        is_new_file: bool,
        lapses: LogTime,
        queue: &mut impl LogTail,
    ) -> Decided {
        let slot = self.free(id)?;
        let (phase, length, subject) = (slot.phase, slot.sizes.length(), slot.subject);
        if phase != Phase::Growing {
            return Err(Refused::Is(phase));
        }
        if length != at {
            return Err(Refused::Offset(length));
        }
        let mut extents = self.extents.get(&id).cloned().unwrap_or_default();
        let last = extents.last().filter(|_| !is_new_file).copied();
        let count = extents.len() - usize::from(last.is_some());
        let too_long = RecordError::Damaged("longer than any file");
        let number = u32::try_from(count).map_err(|_| too_long)?;
        let length = last.unwrap_or(0).checked_add(bytes).ok_or(too_long)?;
        grow(&mut extents, number, length)?;
        let change = Change::Extent {
            number,
            length,
            lapses,
        };
        let effect = Effect::Extent {
            bytes,
            extents,
            lapses,
        };
        let ticket = self.queue(id, &Frame::change(id, &change)?, effect, queue)?;
        self.subjects.add(subject, bytes);
        Ok(ticket)
    }

    /// Completes an upload: its extents become a promised file.
    ///
    /// # Errors
    /// [`Refused`], [`Refused::Offset`] if the file differs from the bytes that have come.
    pub fn complete(&mut self, id: FileId, file: File, queue: &mut impl LogTail) -> Decided {
        let slot = self.free(id)?;
        if slot.phase != Phase::Growing {
            return Err(Refused::Is(slot.phase));
        }
        let is_whole = matches!(&file.body, Body::Extents(extents) if self.extents(id) == Some(extents))
            && file.meta.length == slot.sizes.length()
            && file.subject == slot.subject
            && file.state == State::Waiting;
        if !is_whole {
            return Err(Refused::Offset(slot.sizes.length()));
        }
        let frame = Frame::entry(id, &Entry::File(file))?;
        self.queue(id, &frame, Effect::Complete, queue)
    }
}
