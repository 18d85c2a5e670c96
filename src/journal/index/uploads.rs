//! Uploads that may still grow: their steps, and their bytes in memory.
//!
//! The slot of such an upload has the length that the upload has a right to, so that all sums count
//! that room. The bytes that have come are here.

use std::collections::HashMap;

use super::Index;
use super::log_tail::{Decided, LogTail, Refused};
use super::marks::Effect;
use super::slot::{Flags, Phase, Slot};
use crate::file::FileId;
use crate::journal::record::{Entry, File, Frame, Growth, LogTime, Subject};

/// All open uploads, and the bytes that have not come of them.
#[derive(Debug, Default)]
pub(super) struct OpenUploads {
    open: HashMap<FileId, (Growth, Subject)>,
    /// The number of open uploads of each subject except *nobody*.
    of_subjects: HashMap<Subject, u64>,
    expected_bytes: u64,
    /// The number of those that have become something else, and take no more bytes.
    made: u64,
}

impl OpenUploads {
    pub(super) fn get(&self, id: FileId) -> Option<&Growth> {
        self.open.get(&id).map(|(growth, _)| growth)
    }

    pub(super) fn set(&mut self, id: FileId, growth: Growth, subject: Subject) {
        self.remove(id);
        self.open.insert(id, (growth, subject));
        if growth.made.is_some() {
            self.made += 1;
            return;
        }
        self.expected_bytes = self.expected_bytes.saturating_add(growth.expected());
        if subject != Subject::default() {
            *self.of_subjects.entry(subject).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, id: FileId) {
        let Some((growth, subject)) = self.open.remove(&id) else {
            return;
        };
        if growth.made.is_some() {
            self.made -= 1;
            return;
        }
        debug_assert!(self.expected_bytes >= growth.expected());
        self.expected_bytes = self.expected_bytes.saturating_sub(growth.expected());
        if let Some(count) = self.of_subjects.get_mut(&subject) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_subjects.remove(&subject);
            }
        }
    }
}

impl Index {
    /// The bytes of an upload that may still grow.
    pub fn growth(&self, id: FileId) -> Option<Growth> {
        let slot = self.slot(id)?;
        let growth = self.uploads.get(id)?;
        (slot.phase == Phase::Growing).then_some(*growth)
    }

    /// The number of open uploads, including those that are queued: of all, and of a subject.
    pub fn open_uploads(&self, of: Subject) -> (u64, u64) {
        let all = u64::try_from(self.uploads.open.len()).unwrap_or(u64::MAX);
        let of_subject = self.uploads.of_subjects.get(&of);
        let open = all.saturating_sub(self.uploads.made);
        (open, of_subject.copied().unwrap_or_default())
    }

    /// The number of uploads that have become files of a form or a message, and are kept to tell it.
    pub fn made_uploads(&self) -> u64 {
        self.uploads.made
    }

    /// The bytes that open uploads have a right to and that have not come.
    pub fn expected_bytes(&self) -> u64 {
        self.uploads.expected_bytes
    }

    /// The bytes that have come of open uploads.
    pub fn arrived_bytes(&self) -> u64 {
        let growths = self.uploads.open.values();
        growths.map(|(growth, _)| growth.kept()).sum()
    }

    /// The open uploads that have stood still for too long.
    pub fn expired(&self, now: LogTime) -> Vec<FileId> {
        let open = self.uploads.open.keys().copied();
        open.filter(|&id| self.expired_one(id, now)).collect()
    }

    /// The uploads that may still grow and have a key.
    pub fn keyed_uploads(&self) -> Vec<FileId> {
        let open = self.uploads.open.iter();
        let open = open.filter(|(id, (growth, _))| {
            let is_keyed = |slot: &Slot| slot.flags.has(Flags::KEYED);
            growth.made.is_none() && self.slot(**id).is_some_and(is_keyed)
        });
        open.map(|(id, _)| *id).collect()
    }

    /// Whether an open upload has stood still for too long.
    pub fn expired_one(&self, id: FileId, now: LogTime) -> bool {
        self.growth(id).is_some_and(|growth| growth.lapses <= now)
    }

    /// Notes that an upload with `at` bytes has grown. `inline` is the number of its last bytes that the
    /// frame has, if it has them.
    ///
    /// # Errors
    /// [`Refused::Offset`] if the upload has another number of bytes, [`Refused::Moved`] if it cannot
    /// have these bytes or takes no more, and the other refusals.
    pub fn grow(
        &mut self,
        id: FileId,
        at: u64,
        growth: Growth,
        inline: Option<u32>,
        queue: &mut impl LogTail,
    ) -> Decided {
        let before = self.growing(id, at)?;
        if !growth.follows(&before) {
            return Err(Refused::Moved);
        }
        let frame = Frame::grown(id, growth, inline)?;
        self.queue(id, &frame, Effect::Grown(growth), queue)
    }

    /// Completes an upload that has had `at` bytes: it becomes a promised file.
    ///
    /// # Errors
    /// As [`Index::grow`].
    pub fn complete(
        &mut self,
        id: FileId,
        at: u64,
        file: &File,
        queue: &mut impl LogTail,
    ) -> Decided {
        self.growing(id, at)?;
        let length = file.meta.length;
        let frame = Frame::entry(id, &Entry::File(file.clone()))?;
        self.queue(id, &frame, Effect::Complete { length }, queue)
    }

    /// Deletes an upload that may still grow.
    ///
    /// # Errors
    /// [`Refused`], also when it is complete.
    pub fn end(&mut self, id: FileId, at: LogTime, queue: &mut impl LogTail) -> Decided {
        let slot = self.free(id)?;
        if slot.phase != Phase::Growing {
            return Err(Refused::Is(slot.phase));
        }
        self.delete(id, at, (None, None), queue)
    }

    fn growing(&self, id: FileId, at: u64) -> Result<Growth, Refused> {
        let phase = self.free(id)?.phase;
        let growth = self.growth(id).ok_or(Refused::Is(phase))?;
        if growth.made.is_some() {
            Err(Refused::Moved)
        } else if growth.length == at {
            Ok(growth)
        } else {
            Err(Refused::Offset(growth.length))
        }
    }

    /// Gives the slot of an upload its growth.
    pub(super) fn note_growth(&mut self, number: u32, growth: Growth) {
        let Some(&Slot { id, subject, .. }) = self.slots.get(number) else {
            return;
        };
        self.uploads.set(id, growth, subject);
        self.edit(number, |slot| {
            slot.due = growth.lapses;
            slot.sizes = slot.sizes.with_length(growth.room());
        });
    }
}
