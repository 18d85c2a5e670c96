//! Looks at what the request with an idempotency key has brought, without a claim.

use super::idempotency::Known;
use super::keys::Remembered;
use super::{Journal, JournalError};
use crate::file::FileId;
use crate::store::Sha256;

/// The upload or the file under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderKey {
    /// There is none, or there are several.
    Nothing,
    /// This one.
    One(FileId),
    /// None is here, and this witness has voted for an attempt of another node.
    Voted(FileId),
    /// A request under the key is being carried out, or its answer is being taken from a dead node.
    Running,
}

impl Journal {
    /// Returns what the request with this key has brought, whatever it said. It takes no claim. Blocks.
    ///
    /// # Errors
    /// When the disk does not return a vote.
    pub fn under_key(&self, key: Sha256) -> Result<UnderKey, JournalError> {
        if self.claims.has(&key) {
            return Ok(UnderKey::Running);
        }
        let known = match self.remembered(key) {
            Remembered::Nothing => return Ok(UnderKey::Nothing),
            Remembered::Coming => return Ok(UnderKey::Running),
            Remembered::Answered(known) => known,
        };
        let [one] = &*known else {
            return Ok(UnderKey::Nothing);
        };
        Ok(match self.voted_at(one)? {
            Some(_) => UnderKey::Voted(one.id),
            None => UnderKey::One(one.id),
        })
    }

    /// The bytes that an open upload under this key has a right to; `None` if there is no such upload.
    pub fn room_under_key(&self, key: Sha256) -> Option<u64> {
        let now = self.now();
        let mut state = self.state();
        let growth = match state.keys.find(key, now).as_deref() {
            Some([Known { id, .. }]) => state.index.growth(*id),
            _ => None,
        };
        growth.map(|growth| growth.room())
    }
}
