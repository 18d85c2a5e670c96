//! Lets a damaged segment go: what lives in its damaged parts is told and given up, so that it does not
//! hold the log.
//!
//! 1. All sound frames of the segment were copied forward.
//! 2. The segment counts as damaged from now on: before it leaves the log, it gets one more name in
//!    `corrupt`, and that directory is fsynced.
//! 3. Each entry that memory still has there is copied, if it can be read: another part of its frame is
//!    damaged. If not, it is set aside.
//! 4. The keys whose answers memory still has there, where they cannot be read, are forgotten, as by a
//!    start.
//!
//! A cut after each step leaves what a damaged disk would leave: a start finds the same damage.

use std::collections::BTreeSet;
use std::io;
use std::sync::{MutexGuard, PoisonError};

use super::error::NO_ENTRY;
use super::index::{Phase, Place};
use super::wal::ReadError;
use super::{Journal, JournalError, at};
use crate::file::FileId;

impl Journal {
    /// Steps 2 to 4.
    ///
    /// # Errors
    /// The disk's error; the next sweep goes on.
    pub(super) fn leave_damaged(&self, segment: u64) -> Result<(), JournalError> {
        self.damaged().insert(segment); // 2
        let mut left = Vec::new();
        self.each_known(&mut |id, known| {
            if self.wal.generation_of(known.base.group()) == Some(segment) {
                left.push(id);
            }
        });
        self.copy_all(left, segment)?; // 3
        let damaged = self.damaged_answers(segment);
        let damaged = damaged.map_err(at(NO_ENTRY, "read an answer"))?;
        let forgotten = self.state().keys.forget_at(&damaged);
        if forgotten > 0 {
            log::error!("segment {segment} is damaged; {forgotten} answered keys are forgotten");
        } // 4
        Ok(())
    }

    /// Gives each damaged segment before this one a further name in `corrupt`, if it is among these.
    pub(super) fn keep_damaged(&self, generations: &[u64], before: u64) -> io::Result<()> {
        let mut damaged: Vec<_> = self.damaged().range(..before).copied().collect();
        damaged.retain(|generation| generations.contains(generation));
        if damaged.is_empty() {
            return Ok(());
        }
        for generation in damaged {
            self.keep_segment(generation)?;
        }
        self.wal.volume().sync_directory(&self.layout.corrupt())
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The places in a segment where an answer that memory needs cannot be read.
    fn damaged_answers(&self, segment: u64) -> io::Result<BTreeSet<Place>> {
        let places = self.state().keys.places().into_iter();
        let here = places.filter(|place| self.wal.generation_of(place.group()) == Some(segment));
        let mut damaged = BTreeSet::new();
        for place in here {
            match self.wal.read_at(place.group(), place.offset()) {
                Ok(_) => {}
                Err(ReadError::Gone | ReadError::Damaged) => {
                    damaged.insert(place);
                }
                Err(ReadError::Disk(err)) => return Err(err),
            }
        }
        Ok(damaged)
    }

    /// Gives up an entry that cannot be read, so that it does not hold the log. A tombstone does hold
    /// it: it alone tells which id the store must be cleared of. So does an intent, with its links.
    pub(super) fn give_up(&self, id: FileId, reason: &str) -> Result<(), JournalError> {
        if self
            .known(id)
            .is_some_and(|known| matches!(known.phase, Phase::Deleted | Phase::Intended))
        {
            log::error!("{id}: {reason}; the log cannot become smaller");
            return Ok(());
        }
        self.set_aside(id, reason)
    }
}
