//! New entries with their frame: both are made before the index is locked.

use super::slot::{Flags, Phase, Slot};
use crate::file::FileId;
use crate::journal::record::{
    Entry, File, Form, Frame, Growth, Intent, LogTime, RecordError, Subject, Upload,
};

/// New entries and the one frame that tells of them.
#[derive(Debug)]
pub struct Coming {
    /// Each with the state that it has when the frame is synced.
    pub(super) slots: Vec<(Slot, (Phase, LogTime))>,
    /// Of an upload that may still grow.
    pub(super) growth: Option<Growth>,
    pub(super) frame: Frame,
}

const WAITING: (Phase, LogTime) = (Phase::Waiting, LogTime(0));

impl Coming {
    /// A file.
    ///
    /// # Errors
    /// When a value is too long for its form.
    pub fn file(id: FileId, file: File) -> Result<Self, RecordError> {
        let mut slot = slot(id, file.meta.length, file.subject, file.answer.is_some());
        slot.flags
            .set(Flags::PACKAGE, file.belonging.package.is_some());
        Ok(Self {
            slots: vec![(slot, WAITING)],
            growth: None,
            frame: Frame::entry(id, &Entry::File(file))?,
        })
    }

    /// The files of a form.
    ///
    /// # Errors
    /// When a value is too long for its form.
    pub fn form(form: &Form) -> Result<Self, RecordError> {
        let is_keyed = form.request.is_some();
        let parts = form.parts.iter();
        let slots = parts.map(|part| slot(part.id, part.length, form.subject, is_keyed));
        let mut slots: Vec<_> = slots.map(|slot| (slot, WAITING)).collect();
        if let Some((package, _)) = slots.first_mut() {
            package.flags.set(Flags::PACKAGE, form.message.is_some());
        }
        Ok(Self {
            slots,
            growth: None,
            frame: Frame::form(form)?,
        })
    }

    /// Links that are about to be made for a message with this id.
    ///
    /// # Errors
    /// When a value is too long for its form.
    pub fn intent(id: FileId, intent: Intent) -> Result<Self, RecordError> {
        let mut slot = slot(id, 0, Subject::default(), false);
        slot.flags.set(Flags::LINKING, true);
        Ok(Self {
            slots: vec![(slot, (Phase::Intended, LogTime(0)))],
            growth: None,
            frame: Frame::entry(id, &Entry::Intent(intent))?,
        })
    }

    /// An upload that may still grow.
    ///
    /// # Errors
    /// When a value is too long for its form.
    pub fn upload(id: FileId, upload: Upload) -> Result<Self, RecordError> {
        let growth = upload.growth;
        let slot = slot(id, growth.room(), upload.subject, upload.answer.is_some());
        Ok(Self {
            slots: vec![(slot, (Phase::Growing, growth.lapses))],
            growth: Some(growth),
            frame: Frame::entry(id, &Entry::Upload(upload))?,
        })
    }

    /// An entry of another journal. Its commit may have begun there, so the store may hold something of
    /// it.
    ///
    /// # Errors
    /// When a value is too long for its form.
    pub fn taken_over(id: FileId, entry: Entry) -> Result<Self, RecordError> {
        let mut coming = match entry {
            Entry::File(file) => Self::file(id, file)?,
            Entry::Upload(upload) => Self::upload(id, upload)?,
            Entry::Intent(intent) => Self::intent(id, intent)?,
            Entry::Tombstone(tombstone) => {
                let answered = tombstone.answered.as_ref();
                let length = answered.map_or(0, |(_, meta)| meta.length);
                let slot = slot(id, length, Subject::default(), answered.is_some());
                Self {
                    slots: vec![(slot, (Phase::Deleted, LogTime(0)))],
                    growth: None,
                    frame: Frame::entry(id, &Entry::Tombstone(tombstone))?,
                }
            }
        };
        for (slot, _) in &mut coming.slots {
            slot.flags.set(Flags::BEGUN, true);
            // No caller makes the links of an intent any more.
            slot.flags.set(Flags::LINKING, false);
        }
        Ok(coming)
    }

    /// The frame, for those who lay its bytes out.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }
}

fn slot(id: FileId, length: u64, subject: Subject, is_keyed: bool) -> Slot {
    let mut slot = Slot::new(id, Phase::Coming, length, subject);
    slot.flags.set(Flags::KEYED, is_keyed);
    slot
}
