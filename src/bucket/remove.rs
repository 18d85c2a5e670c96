//! Removes files. The document goes first, so that no reader finds a file without its chunks.

use std::time::Duration;

use mongodb::bson::{Bson, doc};
use mongodb::options::Hint;

use super::index::chunk_key;
use super::{Bucket, document, error};
use crate::commit::backoff;
use crate::file::{FileId, FileKey};
use crate::store::{Deleted, StoreError};

/// The number of further tries of a removal: they last longer than a change of the primary.
const TRIES: u32 = 6;

/// The longest pause before the first of these tries; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause before the last one.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

impl Bucket {
    /// Removes a file that has a document, unless it belongs to a message.
    ///
    /// 1. The document is looked for.
    /// 2. It is deleted with a majority, unless it has a link at that moment or is a package. From
    ///    here on the file does not exist, and nobody links to it.
    /// 3. Its chunks are deleted.
    ///
    /// MongoDB may carry out a step although it answers with an error, and nobody would find the
    /// chunks again after the document is gone. So steps 2 and 3 are tried for a while longer,
    /// whatever the caller is told. A stop of the sidecar ends that, and leaves chunks to a
    /// clean-up.
    ///
    /// An error in step 3 is no error for the caller: a second request would ask for a file that is
    /// gone.
    ///
    /// # Errors
    /// As [`crate::store::Store::remove`].
    pub(super) async fn remove_file(&self, key: &FileKey) -> Result<Deleted, StoreError> {
        self.require_fit_server().await?;
        // 1
        let Some(file) = self.find_file(key, false).await? else {
            return Ok(Deleted::Absent);
        };
        let id = document::id_of(&file)?;
        let (bucket, name) = (self.clone(), format!("{key:?}"));
        // Both steps run in one task: if a document is deleted after the caller has left, its
        // chunks are deleted, too.
        let removed = self.runtime.spawn(async move {
            match bucket.delete_document(&id, Spared::Messages).await {
                Ok(Deleted::Linked) => Ok((Deleted::Linked, None)),
                Ok(deleted) => {
                    let chunks = tokio::spawn(async move {
                        if let Err(err) = bucket.delete_all_chunks(&id).await {
                            tokio::spawn(bucket.clear_later(id, name, err));
                        }
                    });
                    Ok((deleted, Some(chunks)))
                }
                Err(err) => {
                    tokio::spawn(bucket.clear_later(id, name, err.clone()));
                    Err(err)
                }
            }
        });
        let removed = removed.await;
        let lost = |lost| StoreError::Unavailable(format!("the removal was lost: {lost}"));
        let (deleted, chunks) = removed.map_err(lost)??; // 2
        // 3: the chunks of a large file may take longer than a caller waits.
        if let Some(chunks) = chunks
            && let Ok(Err(lost)) = tokio::time::timeout(self.timeout, chunks).await
        {
            log::error!("{key:?}: the removal of its chunks was lost: {lost}");
        }
        Ok(deleted)
    }

    /// Removes the document and all chunks of an id, even if one of the two does not exist.
    ///
    /// # Errors
    /// As [`crate::store::Store::clear`].
    pub(super) async fn clear_id(&self, id: FileId) -> Result<(), StoreError> {
        self.require_fit_server().await?;
        let id = Bson::ObjectId(document::object_id(id));
        // The document goes first: no reader may find a file without its chunks.
        match self.delete_document(&id, Spared::Parts).await? {
            Deleted::Linked => Ok(()),
            Deleted::Gone | Deleted::Absent => self.delete_chunks(&id).await,
        }
    }

    /// Tries again to remove a file after an earlier removal failed.
    async fn clear_later(self, id: Bson, name: String, mut err: StoreError) {
        for failures in 1..=TRIES {
            log::debug!("{name}: is to be removed still: {err}");
            tokio::time::sleep(backoff::pause(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
            let cleared = async {
                match self.delete_document(&id, Spared::Messages).await? {
                    Deleted::Linked => Ok(()),
                    Deleted::Gone | Deleted::Absent => self.delete_all_chunks(&id).await,
                }
            };
            match cleared.await {
                Ok(()) => return,
                Err(again) => err = again,
            }
        }
        log::warn!("{name}: was to be removed, and it or chunks of it may remain: {err}");
    }

    /// Deletes a document unless it must be kept at that moment.
    ///
    /// MongoDB orders this and a new link: the second of the two finds the effect of the first.
    async fn delete_document(&self, id: &Bson, spared: Spared) -> Result<Deleted, StoreError> {
        let mut filter = document::is("_id", id);
        // Fields of these names mean nothing in a document of another writer.
        let theirs = doc! { "metadata.gridspool": { "$exists": false } };
        let mut untied = doc! { "metadata.links.0": { "$exists": false } };
        if spared == Spared::Messages {
            untied.insert("metadata.message", doc! { "$ne": id });
        }
        filter.insert("$or", vec![theirs, untied]);
        let deleted = self.delete(self.files().name(), filter, true).await;
        let deleted = deleted.map_err(|err| match spared {
            // The client should ask again after any fault.
            Spared::Messages => error::of_read(&err),
            Spared::Parts => error::of_commit(&err),
        })?;
        if deleted.is_any {
            Ok(Deleted::Gone)
        } else if self.find_by_id("files", id).await?.is_some() {
            Ok(Deleted::Linked)
        } else if deleted.is_second_try {
            Ok(Deleted::Gone)
        } else {
            Ok(Deleted::Absent)
        }
    }

    /// Deletes as many chunks of an id as there is time for.
    async fn delete_chunks(&self, id: &Bson) -> Result<(), StoreError> {
        let filter = document::is("files_id", id);
        self.delete(self.chunks().name(), filter, false)
            .await
            .map(|_| ())
            .map_err(|err| error::of_commit(&err))
    }

    /// Deletes all chunks of an id, in as many rounds as it takes while they become fewer.
    pub(super) async fn delete_all_chunks(&self, id: &Bson) -> Result<(), StoreError> {
        let mut first = None;
        loop {
            let deleted = self.delete_chunks(id).await;
            if !matches!(deleted, Err(StoreError::TimedOut(_))) {
                return deleted;
            }
            let left = self.first_number(id).await?;
            if left.is_some() && left == first {
                return deleted;
            }
            first = left;
        }
    }

    /// Returns the least number of a chunk of an id, from the index alone: a delete goes in that
    /// order.
    async fn first_number(&self, id: &Bson) -> Result<Option<Bson>, StoreError> {
        let (chunks, patience) = (self.chunks(), self.server_time());
        let filter = document::is("files_id", id);
        let first = self.bounded(async move {
            let find = chunks.find_one(filter).sort(doc! { "n": 1 });
            let find = find.projection(doc! { "_id": 0, "n": 1 });
            find.hint(Hint::Keys(chunk_key())).max_time(patience).await
        });
        let first = first.await.map_err(|err| error::of_read(&err))?;
        let n = first.as_ref().and_then(|first| first.get("n").ok()?);
        Ok(n.and_then(|n| Bson::try_from(n).ok()))
    }
}

/// The files that a delete must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spared {
    /// Files that have links.
    Parts,
    /// Files that have links, and packages.
    Messages,
}
