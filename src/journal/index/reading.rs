//! An entry as it was read from its frames, with their places.

use super::slot::{Place, Slot};
use super::{Index, Known};
use crate::file::FileId;
use crate::journal::record::{Base, Entry, Frame, Record, RecordError};

/// An entry as it was read, outside any lock. It is valid only while no other frame of the entry has
/// come: the index compares the places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub(super) id: FileId,
    pub(super) base: Place,
    pub(super) change: Option<Place>,
    pub(super) entry: Entry,
}

impl Reading {
    /// Folds the frames at the known places of an entry.
    ///
    /// # Errors
    /// When these frames are not of such an entry.
    pub fn new(
        id: FileId,
        known: &Known,
        base: &Frame,
        change: Option<&Frame>,
    ) -> Result<Self, RecordError> {
        let entry = match base.read()? {
            Some(Record::Base(Base::Entry(entry))) if base.id == id => Some(entry),
            Some(Record::Base(Base::Form(form))) => {
                let part = form.files().find(|(part, _)| *part == id);
                part.map(|(_, file)| Entry::File(file))
            }
            _ => None,
        };
        let mut entry = entry.ok_or(RecordError::Damaged("no base of this entry"))?;
        if known.change.is_some() != change.is_some() {
            return Err(RecordError::Damaged("the change was not read"));
        }
        if let Some(change) = change {
            let change = match change.read()? {
                Some(Record::Change(read)) if change.id == id => read,
                Some(Record::Base(_) | Record::Change(_)) | None => {
                    return Err(RecordError::Damaged("no change of this entry"));
                }
            };
            let folded = entry.fold(&change)?;
            entry = folded.ok_or(RecordError::Damaged("the entry is gone"))?;
        }
        Ok(Self {
            id,
            base: known.base,
            change: known.change,
            entry,
        })
    }

    /// Whether no other frame of the entry has come since.
    pub(super) fn is_of(&self, slot: &Slot) -> bool {
        (slot.base, slot.change.if_any()) == (self.base, self.change)
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Index {
    /// Returns the entry with its base at this place; `None` if its base is elsewhere, or the entry
    /// is gone.
    pub fn based_at(&self, id: FileId, place: Place) -> Option<Known> {
        self.get(id).filter(|known| known.base == place)
    }
}
