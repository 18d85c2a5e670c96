//! Steps that change the links of a file before its commit, and the step that gives up an intent.

use super::Index;
use super::log_tail::{Decided, LogTail, Refused};
use super::marks::Effect;
use super::reading::Reading;
use super::slot::{Flags, Phase};
use crate::file::FileId;
use crate::journal::record::{Entry, Frame};

impl Index {
    /// Gives a file that waits for its commit a new base: the state that was read, with other
    /// links. A commit that runs meanwhile no longer settles the file.
    ///
    /// # Errors
    /// [`Refused::Moved`] if the file has changed since it was read, and the other refusals.
    pub fn relink(
        &mut self,
        reading: &Reading,
        entry: &Entry,
        queue: &mut impl LogTail,
    ) -> Decided {
        self.free_as_read(reading)?;
        let frame = Frame::entry(reading.id, entry)?;
        self.queue(reading.id, &frame, Effect::Relink, queue)
    }

    /// Gives up an intent: no promise comes any more, and its links must be undone. Returns whether
    /// there was an intent without a promise under way.
    pub fn abandon(&mut self, id: FileId) -> bool {
        let Some(number) = self.number(id) else {
            return false;
        };
        let slot = self.free(id);
        let is_intent = slot.is_ok_and(|slot| slot.phase == Phase::Intended);
        if is_intent {
            self.edit(number, |slot| slot.flags.set(Flags::LINKING, false));
        }
        is_intent
    }

    /// Checks that an entry has not changed since it was read.
    ///
    /// # Errors
    /// [`Refused::Moved`] if it has changed, and the other refusals.
    pub fn check_read(&self, reading: &Reading) -> Result<(), Refused> {
        if reading.is_of(self.free(reading.id)?) {
            Ok(())
        } else {
            Err(Refused::Moved)
        }
    }

    fn free_as_read(&self, reading: &Reading) -> Result<(), Refused> {
        let phase = self.free(reading.id)?.phase;
        if !Phase::PROMISED.contains(&phase) {
            return Err(Refused::Is(phase));
        }
        self.check_read(reading)
    }
}
