//! Removing files: the document first, so that no reader finds a file without its chunks.

use mongodb::bson::Bson;
use mongodb::error::Error as DriverError;
use tokio::task::JoinError;

use super::{Bucket, document, error};
use crate::file::{FileId, FileKey};
use crate::store::StoreError;

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
        let (files, chunks) = (self.files(), self.chunks());
        let (of_file, of_chunks) = (document::is("_id", &id), document::is("files_id", &id));
        let removed = self.bounded(async move {
            let removed = files.delete_one(of_file).await?;
            // Begun here: a document that goes when nobody waits any more takes its chunks along.
            let chunks = tokio::spawn(async move { chunks.delete_many(of_chunks).await });
            Ok((removed.deleted_count > 0, chunks))
        });
        let (was_there, chunks) = removed.await.map_err(|err| error::of_read(&err))?;
        let lost = |lost: JoinError| Err(DriverError::custom(lost.to_string()));
        let chunks = self.bounded(async move { chunks.await.unwrap_or_else(lost) });
        // From here on the file does not exist. Chunks that stay are invisible, and a clean-up's
        // business: an error would make the caller ask for a file that is gone.
        if let Err(err) = chunks.await {
            log::warn!("{key:?}: chunks of the deleted file may remain: {err}");
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
