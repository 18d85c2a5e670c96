//! Links files to messages and unlinks them, wherever a file is: it waits for its commit, here or
//! on the node that made its id, or the store has it.
//!
//! The journal that may still have the file is always asked first: only that journal knows the
//! links of a file that waits for its commit, and the commit writes them. Once it has settled the
//! file, only the store knows them. A file of a node that does not answer is deleted as `ownerless`
//! tells. This room must never know HTTP.

mod deletes;
mod expiry;
mod ownerless;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::blocking::on_thread;
use crate::file::FileId;
use crate::journal::{Journal, JournalError};
use crate::message::links::{Linked, Reason, Unlinked};
use crate::peers::{Peers, Unreachable};
use crate::store::{Cause, Messages, StoreError};

/// Links and unlinks files. Shared by reference.
pub struct Links {
    journal: Arc<Journal>,
    messages: Arc<dyn Messages>,
    peers: Arc<Peers>,
}

/// The reason why a link was not made or not taken away. It may exist or not.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// This journal has the file and cannot write.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store had to be asked, and failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node that may have the file had to be asked, and does not answer.
    #[error(transparent)]
    Owner(#[from] Unreachable),
}

impl std::fmt::Debug for Links {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Links").finish_non_exhaustive()
    }
}

impl Links {
    /// Makes the links that use this journal, this store and these peers.
    pub fn new(journal: Arc<Journal>, messages: Arc<dyn Messages>, peers: Arc<Peers>) -> Self {
        Self {
            journal,
            messages,
            peers,
        }
    }

    /// Links a file to a message.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn link(&self, file: FileId, message: FileId) -> Result<Linked, LinkError> {
        let linked = match self.peers.find_owner(file).await? {
            Some(owner) => self.peers.link(owner, file, message).await?,
            None => self.link_here(file, message).await?,
        };
        if linked != Linked::Absent {
            return Ok(linked);
        }
        Ok(self.messages.link(file, message).await?)
    }

    /// Unlinks a file from a message. A file without links is removed, as far as the reason allows it.
    ///
    /// # Errors
    /// [`LinkError`]; the caller should repeat this, which does no harm.
    pub async fn unlink(
        &self,
        file: FileId,
        message: FileId,
        reason: Reason,
    ) -> Result<Unlinked, LinkError> {
        let unlinked = match self.peers.find_owner(file).await? {
            Some(owner) => self.peers.unlink(owner, file, message, reason).await?,
            None => self.unlink_here(file, message, reason).await?,
        };
        if unlinked != Unlinked::Absent {
            return Ok(unlinked);
        }
        let unlinked = self.messages.unlink(file, message, reason).await?;
        if unlinked == Unlinked::Last {
            self.messages.remove_dying(file, Cause::Unlinked).await?;
        }
        Ok(unlinked)
    }

    /// Removes the store's copy of a file that this journal deleted before it settled it.
    ///
    /// # Errors
    /// The store's error.
    pub async fn discard(&self, file: FileId) -> Result<(), StoreError> {
        self.messages.discard(file).await
    }

    /// Links a file that waits here for its commit; `Absent` if there is none.
    ///
    /// # Errors
    /// The journal's error.
    pub async fn link_here(&self, file: FileId, message: FileId) -> Result<Linked, JournalError> {
        self.on_disk(move |journal| journal.link(file, message))
            .await
    }

    /// Unlinks a file that waits here for its commit; `Absent` if there is none.
    ///
    /// # Errors
    /// The journal's error.
    pub async fn unlink_here(
        &self,
        file: FileId,
        message: FileId,
        reason: Reason,
    ) -> Result<Unlinked, JournalError> {
        self.on_disk(move |journal| journal.unlink(file, message, reason))
            .await
    }

    /// Runs one operation of the journal on the blocking pool.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> T + Send + 'static,
    ) -> T {
        let journal = Arc::clone(&self.journal);
        on_thread(move || operation(&journal)).await
    }
}
