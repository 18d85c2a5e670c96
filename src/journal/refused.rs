//! Promises of appends, and appends that the log refused: a start may still find their frames.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use super::index::{Index, Phase, Refused, Ticket};
use super::step::{LaidOut, StepError, Tail};
use super::upload::UploadError;
use super::{AdoptError, Journal};
use crate::file::FileId;

impl Journal {
    /// Checks that no fsync has failed: after that a start may find promises that nobody knows of here.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn check_poison(&self) -> Result<(), AdoptError> {
        Ok(self.wal.volume().check()?)
    }

    /// The uploads with such an append.
    fn refused_appends(&self) -> MutexGuard<'_, HashSet<FileId>> {
        let refused = self.refused_appends.lock();
        refused.unwrap_or_else(PoisonError::into_inner)
    }

    /// Step 4 of an append. If the log refuses the frame, a start may still find it: then no byte that it speaks of
    /// may change before its place in the log is overwritten.
    pub(super) fn promise(
        &self,
        id: FileId,
        laid_out: Option<LaidOut>,
        decide: impl FnMut(&mut Index, &mut Tail<'_>) -> Result<Ticket, Refused>,
    ) -> Result<(), UploadError> {
        self.refused_appends().insert(id);
        let landing = self.decide(laid_out, None, decide);
        let promised = landing.and_then(|landing| Ok(landing.land()?));
        if !matches!(promised, Err(StepError::Append(_))) {
            self.refused_appends().remove(&id);
        }
        promised.map_err(|err| match err {
            StepError::Refused(Refused::Is(Phase::Deleted) | Refused::Absent) => {
                // The name may have come after the end.
                if let Err(err) = self.unlink_body(id) {
                    log::warn!("{id}: the body of an ended upload stays for now: {err}");
                }
                UploadError::Ended
            }
            StepError::Refused(Refused::Offset(offset)) => UploadError::Offset(offset),
            err @ (StepError::Refused(_) | StepError::Append(_)) => AdoptError::from(err).into(),
        })
    }

    /// Overwrites the frame of a refused append in the log, before other bytes take its place.
    pub(super) fn overtake_refused(&self, id: FileId) -> Result<(), UploadError> {
        if self.refused_appends().contains(&id) {
            let overtaken = self.wal.trim(0).map_err(StepError::from);
            overtaken.map_err(AdoptError::from)?;
            self.refused_appends().remove(&id);
        }
        Ok(())
    }
}
