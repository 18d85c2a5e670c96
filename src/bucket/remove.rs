//! Removing files: the document first, so that no reader finds a file without its chunks.

use std::time::Duration;

use mongodb::bson::Bson;

use super::{Bucket, document, error};
use crate::commit::backoff;
use crate::file::{FileId, FileKey};
use crate::store::StoreError;

/// How often chunks that could not be removed are tried again: over a change of the primary, and more.
const TRIES: u32 = 6;

/// The pause before the first of these tries, at most; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The pause before the last one, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

impl Bucket {
    /// Removes a file that has a document.
    ///
    /// # Errors
    /// As [`crate::store::Store::remove`].
    pub(super) async fn remove_file(&self, key: &FileKey) -> Result<bool, StoreError> {
        self.require_fit_server().await?;
        let Some(file) = self.find_file(key, false).await? else {
            return Ok(false);
        };
        let id = document::id_of(&file)?;
        let (bucket, files, name) = (self.clone(), self.files(), format!("{key:?}"));
        let removed = self.bounded(async move {
            let removed = files.delete_one(document::is("_id", &id)).await?;
            // From here on the file does not exist. Chunks that stay are invisible, and a clean-up's
            // business: an error would make the caller ask for a file that is gone. They are removed
            // by a task: a document that goes when nobody waits any more takes its chunks along.
            let chunks = tokio::spawn(async move {
                if let Err(err) = bucket.delete_chunks(&id).await {
                    // Nobody waits for this: the file is gone for all.
                    tokio::spawn(bucket.delete_chunks_later(id, name, err));
                }
            });
            Ok((removed.deleted_count > 0, chunks))
        });
        let (was_there, chunks) = removed.await.map_err(|err| error::of_read(&err))?;
        if let Err(lost) = chunks.await {
            log::error!("{key:?}: the removal of its chunks was lost: {lost}");
        }
        Ok(was_there)
    }

    /// Removes whatever there is of an id, document or not.
    ///
    /// # Errors
    /// As [`crate::store::Store::clear`].
    pub(super) async fn clear_id(&self, id: FileId) -> Result<(), StoreError> {
        self.require_fit_server().await?;
        let id = Bson::ObjectId(document::object_id(id));
        self.delete_document(&id).await?;
        self.delete_chunks(&id).await
    }

    /// Tries again to remove the chunks of a file that is gone; a stop of the sidecar ends that, and
    /// leaves them to a clean-up, too.
    async fn delete_chunks_later(self, id: Bson, name: String, mut err: StoreError) {
        for failures in 1..=TRIES {
            log::debug!("{name}: chunks of the deleted file are still there: {err}");
            tokio::time::sleep(backoff::pause(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
            match self.delete_chunks(&id).await {
                Ok(()) => return,
                Err(again) => err = again,
            }
        }
        log::warn!("{name}: chunks of the deleted file may remain: {err}");
    }

    async fn delete_document(&self, id: &Bson) -> Result<bool, StoreError> {
        let (files, filter) = (self.files(), document::is("_id", id));
        self.bounded(async move { files.delete_one(filter).await })
            .await
            .map(|result| result.deleted_count > 0)
            .map_err(|err| error::of_read(&err))
    }

    async fn delete_chunks(&self, id: &Bson) -> Result<(), StoreError> {
        let (chunks, filter) = (self.chunks(), document::is("files_id", id));
        self.bounded(async move { chunks.delete_many(filter).await })
            .await
            .map(|_| ())
            .map_err(|err| error::of_read(&err))
    }
}
