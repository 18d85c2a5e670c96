//! Goes through the keys that were answered here, so that other nodes can be told of them.

use std::collections::HashSet;

use super::idempotency::{AnswerPlace, Known};
use super::record::{KeyedRequest, Subject};
use super::vote::VOTE;
use super::{Journal, JournalError};
use crate::store::Sha256;

/// Some of the keys that were answered here.
#[derive(Debug, Default)]
pub struct AnsweredKeys {
    /// Each with its sender.
    pub keys: Vec<(Sha256, Subject)>,
    /// The place to go on from; `None` if these are the last.
    pub place: Option<AnswerPlace>,
}

impl Journal {
    /// The keys of the next answers behind a place, this many at most; votes for other nodes are none. An answer that
    /// comes meanwhile may be missed. Blocks.
    ///
    /// # Errors
    /// When the disk does not return an answer.
    pub fn answered_keys(
        &self,
        behind: Option<AnswerPlace>,
        most: usize,
    ) -> Result<AnsweredKeys, JournalError> {
        let mut found = AnsweredKeys {
            place: behind,
            ..AnsweredKeys::default()
        };
        let mut before = None;
        while found.keys.len() < most {
            let next = self.state().keys.next(found.place);
            let Some((place, known)) = next else {
                found.place = None;
                break;
            };
            let request = match known.first() {
                Some(first) => self.request_of(first)?,
                None => None,
            };
            // It may just have been moved.
            if request.is_none() && before.as_ref() != Some(&known) {
                before = Some(known);
                continue;
            }
            found.place = Some(place);
            let request = request.filter(|request| request.content != VOTE);
            found.keys.extend(request.map(|one| (one.key, one.sender)));
        }
        Ok(found)
    }

    /// The keys of requests that are being carried out.
    pub fn claimed_keys(&self) -> HashSet<Sha256> {
        self.claims.all()
    }

    /// The request that a file answers; `None` if the answer is not at its known place.
    fn request_of(&self, known: &Known) -> Result<Option<KeyedRequest>, JournalError> {
        match self.read(known.id) {
            Ok(found) => {
                let answer = found.reading.entry().answer();
                return Ok(answer.map(|answer| answer.request));
            }
            Err(err @ JournalError::Disk { .. }) => return Err(err),
            Err(JournalError::Absent(_) | JournalError::Unreadable { .. }) => {}
        }
        let found = self.retained(known)?;
        Ok(found.map(|answered| answered.answer.request))
    }
}
