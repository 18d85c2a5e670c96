//! Folds the whole log at a start.

use std::collections::BTreeSet;

use super::Index;
use super::marks::Effect;
use super::slot::{Flags, Phase, Place, Slot};
use crate::file::FileId;
use crate::journal::record::{
    Answer, Answered, Base, Change, Entry, File, Frame, LogTime, Record, RecordError, State,
    Subject,
};

/// The result of replaying a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// A base or a change of entries, with the keyed requests that they answer.
    Entry(Vec<(FileId, Answer)>),
    /// Answers, for the table of keys.
    Answers(Vec<Answered>),
    /// An unknown kind, which may be skipped.
    Skipped,
}

impl Index {
    /// Applies a frame that was found in this segment. To be called in the order of the log, with all
    /// frames that are not below `oldest`, before any decision.
    ///
    /// # Errors
    /// When its kind is unknown and may not be skipped, or when it is damaged: a damaged change leaves
    /// the entry as it was.
    pub fn replay(
        &mut self,
        frame: &Frame,
        segment: u64,
        place: Place,
    ) -> Result<Replayed, RecordError> {
        self.segments.learn(segment, place);
        self.segments.reached(segment);
        let mut keyed = Vec::new();
        match frame.read()? {
            None => return Ok(Replayed::Skipped),
            Some(Record::Base(Base::Answers(answers))) => return Ok(Replayed::Answers(answers)),
            Some(Record::Base(Base::Entry(entry))) => {
                keyed.extend(entry.answer().map(|&answer| (frame.id, answer)));
                self.replay_base(frame.id, entry, place, frame.bytes_of_each(1));
            }
            Some(Record::Base(Base::Form(form))) => {
                let record_bytes = frame.bytes_of_each(form.parts.len());
                for (id, file) in form.files() {
                    keyed.extend(file.answer.map(|answer| (id, answer)));
                    self.replay_base(id, Entry::File(file), place, record_bytes);
                }
            }
            Some(Record::Change(change)) => self.replay_change(frame.id, &change, place)?,
        }
        Ok(Replayed::Entry(keyed))
    }

    /// Entries that have changes and no base after the whole replay: their bases are damaged.
    pub fn lost(&self) -> &BTreeSet<FileId> {
        &self.lost
    }

    fn replay_base(&mut self, id: FileId, entry: Entry, place: Place, record_bytes: u64) {
        let mut growth = None;
        let mut slot = match entry {
            Entry::File(file) => replayed_file(id, &file),
            Entry::Upload(upload) => {
                let room = upload.growth.room();
                let mut slot = Slot::new(id, Phase::Growing, room, upload.subject);
                slot.flags.set(Flags::KEYED, upload.answer.is_some());
                slot.due = upload.growth.lapses;
                growth = Some(upload.growth);
                slot
            }
            Entry::Tombstone(tombstone) => {
                let meta = tombstone.answered.as_ref().map(|(_, meta)| meta);
                let length = meta.map_or(0, |meta| meta.length);
                let mut slot = Slot::new(id, Phase::Deleted, length, Subject::default());
                slot.flags.set(Flags::KEYED, tombstone.answered.is_some());
                slot.flags.set(Flags::BEGUN, tombstone.may_be_stored);
                slot
            }
            Entry::Intent(_) => Slot::new(id, Phase::Intended, 0, Subject::default()),
        };
        slot.base = place;
        slot.sizes = slot.sizes.with_record_bytes(record_bytes);
        self.lost.remove(&id);
        match growth {
            Some(growth) => self.uploads.set(id, growth, slot.subject),
            None => self.uploads.remove(id),
        }
        match self.number(id) {
            Some(number) => {
                self.edit(number, |old| old.replace_by(slot));
            }
            None => self.insert(slot),
        }
    }

    fn replay_change(
        &mut self,
        id: FileId,
        change: &Change,
        place: Place,
    ) -> Result<(), RecordError> {
        let Some(number) = self.number(id) else {
            if *change == Change::Gone {
                self.lost.remove(&id);
            } else {
                // Its base may follow: a copy stands behind the frames that it copies.
                self.lost.insert(id);
            }
            return Ok(());
        };
        let misfit = RecordError::Damaged("a change that cannot be one of this entry");
        let phase = self.slots.get(number).map(|slot| slot.phase);
        let is_promised = matches!(phase, Some(Phase::Waiting | Phase::Deferred | Phase::Held));
        let effect = match *change {
            Change::Gone => Effect::Gone,
            Change::Grown(growth)
                if self
                    .growth(id)
                    .is_some_and(|before| growth.follows(&before)) =>
            {
                Effect::Grown(growth)
            }
            Change::Deferred { .. } | Change::Held(_) | Change::Waiting | Change::Settled(_)
                if is_promised =>
            {
                Effect::of(change)
            }
            Change::Grown(_)
            | Change::Deferred { .. }
            | Change::Held(_)
            | Change::Waiting
            | Change::Settled(_) => return Err(misfit),
        };
        // A change is no base, so it adds no bytes.
        self.apply(number, effect, place, 0);
        Ok(())
    }
}

/// It is unknown whether a commit had begun, so the store may hold something.
fn replayed_file(id: FileId, file: &File) -> Slot {
    let (phase, due, attempts) = match &file.state {
        State::Waiting => (Phase::Waiting, LogTime(0), 0),
        State::Deferred { due, why } => (Phase::Deferred, *due, why.attempts),
        State::Held(why) => (Phase::Held, LogTime(0), why.attempts),
        State::Settled(settled) => (Phase::Settled, settled.at, 0),
    };
    let mut slot = Slot::new(id, phase, file.meta.length, file.subject);
    slot.due = due;
    slot.attempts = attempts;
    slot.flags.set(Flags::BEGUN, true);
    slot.flags.set(Flags::KEYED, file.answer.is_some());
    slot.flags
        .set(Flags::PACKAGE, file.belonging.package.is_some());
    slot
}
