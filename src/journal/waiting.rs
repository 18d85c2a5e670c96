//! The entries that wait for their commit, and the reasons, for admins, who can give them a new start.

use std::ops::ControlFlow;

use super::index::{Listing, Phase, Refused};
use super::record::{Entry, State};
use super::step::StepError;
use super::{Journal, JournalError, Room, room_of};
use crate::file::{FileId, UnixMillis};

/// The most characters of a reason that are shown.
const REASON_CHARACTERS: usize = 500;

/// A pending entry, as an admin sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: FileId,
    /// `incoming`, `deferred` or `hold`.
    pub room: Room,
    /// Its bytes.
    pub length: u64,
    /// Attempts that failed by its own fault, since it was accepted or an admin retried it.
    pub attempts: u32,
    /// The reason of the last failure; `None` without a failure.
    pub reason: Option<String>,
    /// When the next attempt is due; `None` if it is due now, or only after an admin's retry.
    pub next_attempt: Option<UnixMillis>,
}

/// The outcome of an admin's retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is due now.
    Begun,
    /// It is in this room, where it waits for no admin.
    NotPutOff(Room),
    /// The journal has no such entry.
    Absent,
}

impl Journal {
    /// The deferred and held entries behind `after`, the oldest first, up to a number. An entry that
    /// moves at this moment may be missing.
    ///
    /// # Errors
    /// The disk's error.
    pub fn waiting(
        &self,
        after: Option<FileId>,
        most: usize,
    ) -> Result<Vec<Waiting>, JournalError> {
        let put_off = &[Phase::Deferred, Phase::Held];
        let ids = self.list(Listing::new(put_off, after, most));
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.waiting_for(id)?);
        }
        Ok(found)
    }

    /// The state of this pending entry; `None` if it is not pending, or cannot be read.
    ///
    /// # Errors
    /// The disk's error.
    pub fn waiting_for(&self, id: FileId) -> Result<Option<Waiting>, JournalError> {
        let found = match self.read(id) {
            // The committer finds unreadable entries, and sets them aside.
            Err(JournalError::Absent(_) | JournalError::Unreadable { .. }) => return Ok(None),
            found => found?,
        };
        let (known, entry) = (found.known, found.reading.entry());
        let (Entry::File(file), Some(room)) = (entry, room_of(known.phase)) else {
            return Ok(None);
        };
        let reason = match &file.state {
            State::Deferred { why, .. } | State::Held(why) => Some(&why.reason),
            State::Waiting => None,
            State::Settled(_) => return Ok(None),
        };
        Ok(Some(Waiting {
            id,
            room,
            length: known.length,
            attempts: known.attempts.into(),
            reason: reason.map(|reason| reason.chars().take(REASON_CHARACTERS).collect()),
            next_attempt: (room == Room::Deferred).then(|| self.to_wall_time(known.due)),
        }))
    }

    /// Searches for entries in slices, so that nobody waits long for the index.
    pub(super) fn list(&self, mut listing: Listing) -> Vec<FileId> {
        loop {
            let looked = self.state().index.list(&mut listing);
            if let ControlFlow::Break(ids) = looked {
                return ids;
            }
        }
    }

    /// Gives a deferred or held entry a new start.
    ///
    /// # Errors
    /// The disk's error; then the entry stays as it was.
    pub fn retry(&self, id: FileId) -> Result<Retried, JournalError> {
        match self.step(|index, tail| index.retry(id, tail)) {
            Ok(()) => Ok(Retried::Begun),
            Err(StepError::Refused(Refused::Absent)) => Ok(Retried::Absent),
            Err(StepError::Refused(Refused::Is(phase))) => {
                Ok(room_of(phase).map_or(Retried::Absent, Retried::NotPutOff))
            }
            Err(err) => Err(err.of(id, "note a retry")),
        }
    }
}
