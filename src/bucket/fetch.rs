//! Finding files and reading ranges of them, whoever wrote them.
//!
//! Where it is so set, chunks of files that have ids are read from the nearest member: under such an
//! id they never change. A member that lags behind may lack some, and one that is ill may not answer: the
//! primary is asked for what is left then. Descriptions are read from the primary alone: a member
//! that lags would know of files that were deleted long ago.

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
use super::{Bucket, document, error, key};
use crate::file::{FileId, FileKey};
use crate::store::{StoreError, StoredFile};

/// The size of a chunk, in bytes, up to which it is read before it is asked for.
const SMALL_CHUNK_BYTES: i32 = 64 * 1024;

/// The part of the time for one operation that a member that may be a secondary gets: then another
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
                // No file has such an id. One of ours may be asked for: whatever is said then is no answer.
                Err(err) if is_a_guess && error::is_of_the_question(&err) => {
                    log::debug!("{key:?}: {err}");
                    None
                }
                found => found.map_err(|err| error::of_read(&err))?,
            };
            if let Some(found) = found {
                let found = self.told_apart(found).await?;
                // The key of the very id that it has: several may have led here.
                let own_key = key::of_document(&found).unwrap_or_else(|| key.clone());
                let mut file = document::read_file(&own_key, &found)?;
                let length = file.meta.length;
                let is_all = |data: &Bytes| u64::try_from(data.len()) == Ok(length);
                // The bytes of a file that may be replaced may be those of another content.
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
            if let Some(found) = found.remove(&document::object_id(id)) {
                // Those of others are few, and most of them have digests.
                let found = self.told_apart(found).await?;
                files.extend(document::read_file(&FileKey::Id(id), &found));
            }
        }
        Ok(files)
    }

    /// The only chunk of a small file: asked for along with the description, it comes a whole
    /// question earlier. `None` if the first chunk is larger, not there, or could not be read: the
    /// read that is made then finds out why.
    async fn small_content(&self, key: &FileKey, id: &Bson) -> Option<Bytes> {
        let mut filter = document::is("files_id", id);
        filter.insert("n", 0);
        let is_small = doc! { "$lte": [{ "$binarySize": "$data" }, SMALL_CHUNK_BYTES] };
        filter.insert("$expr", is_small);
        let (chunks, patience) = if self.may_read_nearest(key) {
            (self.near_chunks(), self.timeout / NEAR_SHARE)
        } else {
            (self.chunks(), self.timeout)
        };
        // Whole: to leave out the few other bytes would cost MongoDB more than to send them.
        let find = self.bounded(async move { chunks.find_one(filter).await });
        let chunk = tokio::time::timeout(patience, find).await.ok()?;
        let chunk = chunk.ok().flatten()?;
        let data = chunk.get_binary("data").ok()?;
        Some(Bytes::copy_from_slice(data.bytes))
    }

    /// Streams a range. Nothing is read that is not asked for, but for the batches that the range
    /// begins and ends in.
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

    /// Whether any member's chunks of this file will do. A key of another driver's may have been used
    /// for another file before.
    pub(super) fn may_read_nearest(&self, key: &FileKey) -> bool {
        self.reads_nearest && matches!(key, FileKey::Id(_))
    }

    /// Bounds one step of a read in time. An answer that comes too late is of no use to anybody,
    /// so the step is given up: the driver closes its connection.
    pub(super) async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, StoreError> {
        within(self.timeout, step).await
    }
}

/// Bounds one step of a read, as [`Bucket::in_time`] does.
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
