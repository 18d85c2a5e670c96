//! Learns keys from the log at a start, and forgets those whose answers are lost.

use super::segments::Segments;
use super::slot::Slot;
use super::{Keys, Retained};
use crate::file::FileId;
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
        self.keep_if(|_, slot| {
            let may_miss = slot.files.first().is_some_and(&may_come);
            slot.files.parts().iter().all(|part| {
                let is_there = |id| part.place().is_some() || has_entry(id);
                part.id().map_or(may_miss, is_there)
            })
        });
    }

    /// Forgets all keys with an answer in this segment: it cannot be read there. Returns how many
    /// answers that were.
    pub fn forget_in(&mut self, segment: u64) -> u64 {
        let before = self.retained_in(segment);
        self.keep_if(|segments, slot| {
            let mut places = slot.files.places();
            !places.any(|place| segments.segment_of(place) == Some(segment))
        });
        before
    }

    fn keep_if(&mut self, is_kept: impl Fn(&Segments, &Slot) -> bool) {
        let mut number = 0;
        while let Some(slot) = self.slots.get(number) {
            if is_kept(&self.segments, slot) {
                number += 1;
            } else {
                // Another answer has this number then.
                self.remove(number);
            }
        }
    }
}
