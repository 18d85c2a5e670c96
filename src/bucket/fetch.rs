//! Finds files and reads ranges of them, by any driver.
//!
//! If the setting allows it, chunks of our files are read from the nearest member: their content never
//! changes. A member that lags behind may lack some chunks, and one that is ill may not answer: the
//! primary is then asked for the remaining ones. Descriptions are read from the primary alone: a member
//! that lags would still know files that were deleted long ago.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Bson, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;

use super::division::Division;
use super::dying::goes;
use super::{Bucket, document, error, key};
use crate::file::{FileId, FileKey};
use crate::store::{StoreError, StoredFile};

/// A chunk of up to this many bytes is read together with the description, before anybody asks for it.
const SMALL_CHUNK_BYTES: i32 = 64 * 1024;

/// A member that may be a secondary gets this fraction of the time for one operation; then the primary
/// is asked.
pub(super) const NEAR_SHARE: u32 = 4;

impl Bucket {
    /// Finds a file by any of the `_id` values that its key can mean.
    ///
    /// # Errors
    /// As [`crate::store::Store::find`].
    pub(super) async fn find_file(
        &self,
        key: &FileKey,
        with_content: bool,
    ) -> Result<Option<StoredFile>, StoreError> {
        let is_a_guess = matches!(key, FileKey::Foreign(_));
        for id in key::candidates(key) {
            let files = self.files();
            let filter = document::is("_id", &id);
            let described = self.bounded(async move { files.find_one(filter).await });
            let (found, content) = if with_content {
                futures::join!(described, self.small_content(key, &id))
            } else {
                (described.await, None)
            };
            let found = match found {
                // No file can have such an id. For one of our ids an error is no answer.
                Err(err) if is_a_guess && error::is_of_the_question(&err) => {
                    log::debug!("{key:?}: {err}");
                    None
                }
                found => found.map_err(|err| error::of_read(&err))?,
            };
            if let Some(found) = found.filter(|found| !goes(found)) {
                let found = self.told_apart(found).await?;
                // The key of the `_id` in the document: several keys may have led here.
                let own_key = key::of_document(&found).unwrap_or_else(|| key.clone());
                let mut file = document::read_file(&own_key, &found)?;
                let length = file.meta.length;
                let is_all = |data: &Bytes| u64::try_from(data.len()) == Ok(length);
                // If the file may be replaced, the bytes may belong to another content.
                let is_lasting = file.meta.revision.is_none();
                file.content = content.filter(is_all).filter(|_| is_lasting);
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Finds files by ids of ours.
    ///
    /// # Errors
    /// As [`crate::store::Store::find_all`].
    pub(super) async fn find_files(&self, ids: Vec<FileId>) -> Result<Vec<StoredFile>, StoreError> {
        let object_ids = ids.iter().copied().map(document::object_id);
        let found = self.documents(object_ids.collect(), ReadConcern::local());
        let mut found = found.await.map_err(|err| error::of_read(&err))?;
        let mut files = Vec::new();
        for id in ids {
            let found = found.remove(&document::object_id(id));
            if let Some(found) = found.filter(|found| !goes(found)) {
                // Files of other drivers are few, and most of them have digests.
                let found = self.told_apart(found).await?;
                files.extend(document::read_file(&FileKey::Id(id), &found));
            }
        }
        Ok(files)
    }

    /// The only chunk of a small file. It is asked for together with the description, which saves one
    /// question. `None` if the first chunk is larger, missing or unreadable: the later read then finds
    /// the cause.
    pub(super) async fn small_content(&self, key: &FileKey, id: &Bson) -> Option<Bytes> {
        let mut filter = document::is("files_id", id);
        filter.insert("n", 0);
        let is_small = doc! { "$lte": [{ "$binarySize": "$data" }, SMALL_CHUNK_BYTES] };
        filter.insert("$expr", is_small);
        let (chunks, patience) = if self.may_read_nearest(key) {
            (self.near_chunks(), self.timeout / NEAR_SHARE)
        } else {
            (self.chunks(), self.timeout)
        };
        // The whole document: leaving the few other bytes out would cost MongoDB more than sending
        // them.
        let find = self.bounded(async move { chunks.find_one(filter).await });
        let chunk = tokio::time::timeout(patience, find).await.ok()?;
        let chunk = chunk.ok().flatten()?;
        let data = chunk.get_binary("data").ok()?;
        Some(Bytes::copy_from_slice(data.bytes))
    }

    /// Streams a range. Only the batches at the beginning and end of the range are read beyond it.
    pub(super) fn stream(
        &self,
        file: &StoredFile,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, StoreError>> {
        if range.is_empty() {
            return stream::empty().boxed();
        }
        if let Some(content) = &file.content {
            return stream::iter(in_memory(content, range).map(Ok)).boxed();
        }
        let division = Division::of(file);
        let left = (self.clone(), Arc::new(file.clone()), range);
        stream::try_unfold(left, move |(bucket, file, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let window = division.first_window(&range);
            let pieces = bucket.pieces(&file, &window).await?;
            let left = (bucket, file, window.end..range.end);
            Ok(Some((stream::iter(pieces.map(Ok)), left)))
        })
        .try_flatten()
        .boxed()
    }

    /// Whether chunks of this file may be read from any member. A key of another driver may have named
    /// another file before.
    pub(super) fn may_read_nearest(&self, key: &FileKey) -> bool {
        self.reads_nearest && matches!(key, FileKey::Id(_))
    }

    /// Bounds one step of a read in time. A later answer would help nobody, so the step is given up:
    /// the driver closes its connection.
    pub(super) async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, StoreError> {
        within(self.timeout, step).await
    }
}

/// Bounds one step of a read in this time, like [`Bucket::in_time`].
pub(super) async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, step).await {
        Ok(answer) => answer.map_err(|err| error::of_read(&err)),
        Err(_) => Err(StoreError::Unavailable(format!(
            "no chunks within {} ms",
            patience.as_millis()
        ))),
    }
}

/// A range of a content that is in memory.
fn in_memory(content: &Bytes, range: Range<u64>) -> Option<Bytes> {
    let [start, end] = [range.start, range.end].map(usize::try_from);
    let range = start.ok()?..end.ok()?;
    content.get(range.clone())?;
    Some(content.slice(range))
}
