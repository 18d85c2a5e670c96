//! Removing files: the document first, so that no reader finds a file without its chunks.

use std::time::Duration;

use mongodb::bson::Bson;

use super::{Bucket, document, error};
use crate::commit::backoff;
use crate::file::{FileId, FileKey};
use crate::store::StoreError;

/// How often what could not be removed is tried again: over a change of the primary, and more.
const TRIES: u32 = 6;

/// The pause before the first of these tries, at most; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The pause before the last one, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

impl Bucket {
    /// Removes a file that has a document.
    ///
    /// 1. The document is looked for.
    /// 2. It is deleted, and has a majority for that. From here on the file does not exist.
    /// 3. Its chunks are deleted.
    ///
    /// A step that MongoDB answers with an error may be carried out all the same, and nobody would find
    /// the chunks again once the document is gone: 2 and 3 are tried for a while more, whatever the
    /// caller is told. A stop of the sidecar ends that, and leaves chunks to a clean-up.
    ///
    /// An error of 3 is none to the caller: it would ask for a file that is gone.
    ///
    /// # Errors
    /// As [`crate::store::Store::remove`].
    pub(super) async fn remove_file(&self, key: &FileKey) -> Result<bool, StoreError> {
        self.require_fit_server().await?;
        // 1
        let Some(file) = self.find_file(key, false).await? else {
            return Ok(false);
        };
        let id = document::id_of(&file)?;
        let (bucket, files, name) = (self.clone(), self.files(), format!("{key:?}"));
        // Both steps are tasks: a document that goes when nobody waits any more takes its chunks along.
        let removed = self.bounded(async move {
            match files.delete_one(document::is("_id", &id)).await {
                Ok(removed) => {
                    let chunks = tokio::spawn(async move {
                        if let Err(err) = bucket.delete_chunks(&id).await {
                            tokio::spawn(bucket.clear_later(id, name, err));
                        }
                    });
                    Ok((removed.deleted_count > 0, chunks))
                }
                Err(err) => {
                    tokio::spawn(bucket.clear_later(id, name, error::of_read(&err)));
                    Err(err)
                }
            }
        });
        let (was_there, chunks) = removed.await.map_err(|err| error::of_read(&err))?; // 2
        // 3
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
        self.clear(&Bson::ObjectId(document::object_id(id))).await
    }

    /// The document first, as no reader may find a file without its chunks.
    async fn clear(&self, id: &Bson) -> Result<(), StoreError> {
        self.delete_document(id).await?;
        self.delete_chunks(id).await
    }

    /// Tries again to remove a file whose removal was begun.
    async fn clear_later(self, id: Bson, name: String, mut err: StoreError) {
        for failures in 1..=TRIES {
            log::debug!("{name}: is to be removed still: {err}");
            tokio::time::sleep(backoff::pause(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
            match self.clear(&id).await {
                Ok(()) => return,
                Err(again) => err = again,
            }
        }
        log::warn!("{name}: was to be removed, and it or chunks of it may remain: {err}");
    }

    async fn delete_document(&self, id: &Bson) -> Result<(), StoreError> {
        let (files, filter) = (self.files(), document::is("_id", id));
        self.bounded(async move { files.delete_one(filter).await })
            .await
            .map(|_| ())
            .map_err(|err| error::of_commit(&err))
    }

    async fn delete_chunks(&self, id: &Bson) -> Result<(), StoreError> {
        let (chunks, filter) = (self.chunks(), document::is("files_id", id));
        self.bounded(async move { chunks.delete_many(filter).await })
            .await
            .map(|_| ())
            .map_err(|err| error::of_commit(&err))
    }
}
