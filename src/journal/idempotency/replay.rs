//! Keys as a start learns them from the log.

use super::{Keys, Retained};
use crate::file::FileId;
use crate::journal::record::{Answered, LogTime};

impl Keys {
    /// A base of answers, of so many bytes, was found in a segment, at a place. `now` is the log's time,
    /// as far as it is known.
    pub fn replay(&mut self, answers: &[Answered], at: Retained, base_bytes: u32, now: LogTime) {
        let count = u32::try_from(answers.len()).unwrap_or(u32::MAX).max(1);
        for answered in answers {
            self.learn(answered.id, &answered.answer, now);
            self.retain(answered, at, base_bytes / count);
        }
    }

    /// When all is replayed: forgets the answers that are not whole. `has_entry` tells whether an entry
    /// is there.
    pub fn forget_lost(&mut self, has_entry: impl Fn(FileId) -> bool) {
        let mut number = 0;
        while let Some(slot) = self.slots.get(number) {
            let is_whole = slot.files.parts().iter().all(|part| {
                let is_there = |id| part.place().is_some() || has_entry(id);
                part.id().is_some_and(is_there)
            });
            if is_whole {
                number += 1;
            } else {
                // Another has its number then.
                self.remove(number);
            }
        }
    }
}
