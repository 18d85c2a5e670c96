//! Learns keys from the log at a start.

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

    /// To be called after the replay: forgets incomplete answers. `has_entry` tells whether an entry
    /// exists.
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
                // Another answer has this number then.
                self.remove(number);
            }
        }
    }
}
