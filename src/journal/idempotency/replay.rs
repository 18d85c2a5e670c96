//! Learns keys from the log at a start, and forgets those whose answers are lost.

use std::collections::BTreeSet;

use super::slot::Slot;
use super::{Keys, Retained};
use crate::file::FileId;
use crate::journal::index::Place;
use crate::journal::record::{Answered, LogTime};

impl Keys {
    /// Learns a base of answers that was found at a place; `base_bytes` is its size. `now` is the log's
    /// time as far as it is known.
    pub fn replay(&mut self, answers: &[Answered], at: Retained, base_bytes: u32, now: LogTime) {
        let count = u32::try_from(answers.len()).unwrap_or(u32::MAX).max(1);
        for answered in answers {
            self.learn(answered.id, &answered.answer, now);
            self.retain(answered, at, base_bytes / count);
        }
    }

    /// To be called after the replay: forgets answers that have lost a file. `has_entry` tells whether an entry
    /// exists. `may_come` tells whether the missing files of an answer, whose first file this is, are still to come.
    pub fn forget_lost(
        &mut self,
        has_entry: impl Fn(FileId) -> bool,
        may_come: impl Fn(FileId) -> bool,
    ) {
        self.keep_if(|slot| {
            let may_miss = slot.files.first().is_some_and(&may_come);
            slot.files.parts().iter().all(|part| {
                let is_there = |id| part.place().is_some() || has_entry(id);
                part.id().map_or(may_miss, is_there)
            })
        });
    }

    /// Forgets all keys with an answer at one of these places, where it cannot be read. Returns how
    /// many keys that were.
    pub fn forget_at(&mut self, places: &BTreeSet<Place>) -> usize {
        let before = self.slots.len();
        self.keep_if(|slot| !slot.files.places().any(|place| places.contains(&place)));
        before - self.slots.len()
    }

    fn keep_if(&mut self, is_kept: impl Fn(&Slot) -> bool) {
        let mut number = 0;
        while let Some(slot) = self.slots.get(number) {
            if is_kept(slot) {
                number += 1;
            } else {
                // Another answer has this number then.
                self.remove(number);
            }
        }
    }
}
