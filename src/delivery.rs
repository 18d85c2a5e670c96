//! Where a file is now: in the journal, in the store, or nowhere.
//!
//! The journal is asked first: what it keeps needs no store, and what was deleted here stays
//! deleted whatever a commit in flight still writes. This room must never know HTTP.

use std::sync::Arc;

use crate::file::{FileId, FileKey};
use crate::journal::{Deletion, Journal, JournalError, Kept, Look};
use crate::store::{Store, StoreError, StoredFile};

/// Finds and deletes files, wherever they are. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    journal: Arc<Journal>,
    store: Arc<dyn Store>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// Where a file is.
#[derive(Debug)]
pub enum Found {
    /// Its body is on this node's disk.
    Kept(Kept),
    /// It is in the store.
    Stored(StoredFile),
    /// There is no such file.
    Absent,
}

/// What a delete came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It is gone for every caller, and the committer has to clear away the rest.
    ToClear(FileId),
    /// There was no such file.
    Absent,
}

/// Why a file could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The journal has it and cannot read it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store was to be asked and failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Delivery {
    /// Delivers from these two.
    pub fn new(journal: Arc<Journal>, store: Arc<dyn Store>) -> Self {
        Self { journal, store }
    }

    /// Finds a file.
    ///
    /// # Errors
    /// When the place that has to be asked does not answer.
    pub async fn find(&self, key: &FileKey) -> Result<Found, DeliveryError> {
        if let FileKey::Id(id) = *key {
            match self.on_disk(move |journal| journal.look(id)).await? {
                Look::Kept(kept) => return Ok(Found::Kept(kept)),
                Look::Deleted => return Ok(Found::Absent),
                Look::Absent => {}
            }
        }
        let stored = self.store.find(key).await?;
        Ok(stored.map_or(Found::Absent, Found::Stored))
    }

    /// Deletes a file: a pending one without asking the store, any other from the store.
    ///
    /// # Errors
    /// As [`Delivery::find`]; the file may be gone or not, and the delete can be repeated.
    pub async fn delete(&self, key: &FileKey) -> Result<Deleted, DeliveryError> {
        if let FileKey::Id(id) = *key {
            match self.on_disk(move |journal| journal.delete(id)).await? {
                Deletion::Done => return Ok(Deleted::ToClear(id)),
                Deletion::Already => return Ok(Deleted::Absent),
                Deletion::NotHere | Deletion::Settled => {}
            }
        }
        let was_there = self.store.remove(key).await?;
        Ok(if was_there {
            Deleted::Gone
        } else {
            Deleted::Absent
        })
    }

    /// Runs one operation of the journal on the blocking pool.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || operation(&journal)).await {
            Ok(done) => Ok(done?),
            Err(lost) => std::panic::resume_unwind(lost.into_panic()),
        }
    }
}
