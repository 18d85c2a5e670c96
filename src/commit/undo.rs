//! The work on an intent: this undoes the links of a message that was never promised.

use super::Committer;
use super::attempt::Outcome;
use crate::file::FileId;
use crate::linking::LinkError;
use crate::message::links::Reason;
use crate::store::StoreError;

impl Committer {
    /// Unlinks these files from a message that was never promised.
    ///
    /// If the answer to a link was lost, MongoDB or another node may still make the link after
    /// this. So the intent stays for a while, and its links are undone a second time at the end.
    pub(super) async fn undo(&self, id: FileId, files: Vec<FileId>) -> Outcome {
        if let Err(err) = self
            .links
            .untie_files(id, files, Reason::NeverPromised)
            .await
        {
            return self.untied_later(id, err).await;
        }
        let watch = self.config.delete_watch;
        let left = watch.saturating_sub(self.journal.cleared_for(id));
        if !left.is_zero() {
            return Outcome::Again(self.commits.backlog.after(left));
        }
        match self.on_disk(move |journal| journal.undone(id)).await {
            Ok(()) => Outcome::Done,
            Err(err) => Outcome::Again(self.put_off(id, &err)),
        }
    }

    /// Plans another try after a link could not be taken away. The time of that try depends on who
    /// failed.
    pub(super) async fn untied_later(&self, id: FileId, err: LinkError) -> Outcome {
        match err {
            LinkError::Store(err) => match self.judged(Err::<(), _>(err)).await {
                Err(err @ (StoreError::Unavailable(_) | StoreError::Unfit(_))) => {
                    Outcome::Outage(err)
                }
                Err(err) => Outcome::Again(self.put_off(id, &err)),
                Ok(()) => Outcome::Again(self.later(1)),
            },
            err @ (LinkError::Owner(_) | LinkError::Journal(_)) => {
                log::warn!("{id}: its links are not undone yet: {err}");
                Outcome::Again(self.later(FAILURES))
            }
        }
    }
}

/// Another node may be away for long. The pause before it is asked again is that of an entry with
/// this many failures.
const FAILURES: u32 = 4;
