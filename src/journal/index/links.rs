//! Steps of links: of a file that waits for its commit, and of an intent.

use super::Index;
use super::log_tail::{Decided, LogTail, Refused};
use super::marks::Effect;
use super::reading::Reading;
use super::slot::{Flags, Phase};
use crate::file::FileId;
use crate::journal::record::{Entry, Frame};

impl Index {
    /// Gives a file that waits for its commit a new base: the state that was read, with other links. A commit
    /// that is under way does not settle it any more.
    ///
    /// # Errors
    /// [`Refused::Moved`] when it has changed since it was read, and the others.
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

    /// Gives up an intent: no promise comes any more, and its links are to be undone. Whether there was one,
    /// without a promise under way.
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

    /// Whether an entry is as it was read.
    ///
    /// # Errors
    /// [`Refused::Moved`] when it is not, and the others.
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
