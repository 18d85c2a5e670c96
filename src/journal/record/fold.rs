//! The fold: an entry and its next change give the entry's new state.

use super::bases::{Entry, State};
use super::change::Change;
use super::error::RecordError;

const MISFIT: RecordError = RecordError::Damaged("a change that cannot be one of this entry");

impl Entry {
    /// The entry after a change; `None` if nothing is left of it.
    ///
    /// # Errors
    /// When the entry cannot have such a change: this program never writes one.
    pub fn fold(self, change: &Change) -> Result<Option<Self>, RecordError> {
        match (self, change) {
            (_, Change::Gone) => Ok(None),
            (Self::File(mut file), change) => {
                file.state = file.state.fold(change)?;
                Ok(Some(Self::File(file)))
            }
            (Self::Upload(mut upload), Change::Grown(growth)) if growth.follows(&upload.growth) => {
                upload.growth = *growth;
                Ok(Some(Self::Upload(upload)))
            }
            (Self::Upload(_) | Self::Tombstone(_) | Self::Intent(_), _) => Err(MISFIT),
        }
    }
}

impl State {
    fn fold(self, change: &Change) -> Result<Self, RecordError> {
        match (self, change) {
            // The store has it, so there are no further attempts.
            (Self::Settled(_), _) | (_, Change::Grown(_) | Change::Gone) => Err(MISFIT),
            (_, Change::Deferred { due, why }) => Ok(Self::Deferred {
                due: *due,
                why: why.clone(),
            }),
            (_, Change::Held(why)) => Ok(Self::Held(why.clone())),
            (_, Change::Waiting) => Ok(Self::Waiting),
            (_, Change::Settled(settled)) => Ok(Self::Settled(*settled)),
        }
    }
}
