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
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use mongodb::Collection;
use mongodb::bson::{Bson, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Bucket, document, error, key};
use crate::file::{FileId, FileKey};
use crate::store::{StoreError, StoredFile};

/// Bytes of chunks up to which a range is read by one answer of MongoDB. A slice of nginx's, and the
/// chunks that it begins and ends in, are less.
const ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes of chunks that all reads together have in memory, at most.
pub(super) const READ_BYTES: u32 = 32 * 1024 * 1024;

/// The size of a chunk, in bytes, up to which it is read before it is asked for.
const SMALL_CHUNK_BYTES: i32 = 64 * 1024;

/// The part of the time for one operation that a member that may be a secondary gets: then another
/// is asked.
const NEAR_SHARE: u32 = 4;

/// A read in progress: what comes next, and where it ends.
struct Reader {
    name: String,
    id: Bson,
    chunk_size: u64,
    length: u64,
    range: Range<u64>,
    next_n: u64,
    last_n: u64,
    /// Chunks in one answer.
    at_once: u64,
    permit: Arc<OwnedSemaphorePermit>,
    file: StoredFile,
    /// The bytes of all chunks before `next_n` that were not passed on.
    held: Vec<Bytes>,
}

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
                // No file has such an id.
                Err(err) if error::is_of_the_question(&err) => {
                    log::debug!("{key:?}: {err}");
                    None
                }
                found => found.map_err(|err| error::of_read(&err))?,
            };
            if let Some(found) = found {
                // The key of the very id that it has: several may have led here.
                let own_key = key::of_document(&found).unwrap_or_else(|| key.clone());
                let mut file = document::read_file(&own_key, &found)?;
                let length = file.meta.length;
                let is_all = |data: &Bytes| u64::try_from(data.len()) == Ok(length);
                // Of a file that may be replaced, these may be the bytes of another content.
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
        let found = found.await.map_err(|err| error::of_read(&err))?;
        let mut files = Vec::new();
        for id in ids {
            if let Some(found) = found.get(&document::object_id(id)) {
                files.extend(document::read_file(&FileKey::Id(id), found));
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

    /// Streams a range. The read runs in a task of its own, two answers ahead of the caller at
    /// most; dropping the stream ends it.
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
        let (sender, receiver) = mpsc::channel(1);
        let (bucket, file) = (self.clone(), file.clone());
        self.runtime.spawn(async move {
            if let Err(err) = bucket.pump(&file, range, &sender).await {
                // A caller that has gone needs no error.
                sender.send(Err(err)).await.unwrap_or_default();
            }
        });
        stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|item| (item, receiver))
        })
        .boxed()
    }

    /// Whether any member's chunks of this file will do. A key of another driver's may have been used
    /// for another file before.
    fn may_read_nearest(&self, key: &FileKey) -> bool {
        self.reads_nearest && matches!(key, FileKey::Id(_))
    }

    async fn pump(
        &self,
        file: &StoredFile,
        range: Range<u64>,
        sender: &mpsc::Sender<Result<Bytes, StoreError>>,
    ) -> Result<(), StoreError> {
        let chunk_size = u64::from(file.chunk_size_bytes.max(1));
        let (first, last) = (range.start / chunk_size, (range.end - 1) / chunk_size);
        let chunks = last - first + 1;
        let at_once = chunks.min(ANSWER_BYTES / chunk_size).max(1);
        // An answer that is passed on and the next one.
        let permit = self
            .reserve_read(chunks.min(2 * at_once) * chunk_size)
            .await?;
        let mut reader = Reader {
            name: format!("{:?}", file.key),
            id: document::id_of(file)?,
            chunk_size,
            length: file.meta.length,
            range,
            next_n: first,
            last_n: last,
            at_once,
            permit,
            file: file.clone(),
            held: Vec::new(),
        };
        if self.may_read_nearest(&file.key) {
            let patience = self.timeout / NEAR_SHARE;
            let near = self.near_chunks();
            match self.pump_from(&near, patience, &mut reader, sender).await {
                Err(err) => log::debug!("asking the primary: {err}"),
                done => return done,
            }
        }
        self.pump_from(&self.chunks(), self.timeout, &mut reader, sender)
            .await
    }

    /// Passes on what is left of a range, from one member; after an error another may go on.
    async fn pump_from(
        &self,
        collection: &Collection<RawDocumentBuf>,
        patience: Duration,
        reader: &mut Reader,
        sender: &mpsc::Sender<Result<Bytes, StoreError>>,
    ) -> Result<(), StoreError> {
        let number = |n: u64| {
            i64::try_from(n).map_err(|err| StoreError::Damaged(format!("{}: {err}", reader.name)))
        };
        let (next, last) = (number(reader.next_n)?, number(reader.last_n)?);
        let mut filter = document::is("files_id", &reader.id);
        filter.insert("n", doc! { "$gte": next, "$lte": last });
        let find = collection
            .find(filter)
            .sort(doc! { "n": 1 })
            // With the limit, MongoDB knows the last answer to be the last: no more is asked.
            .limit(last - next + 1)
            .batch_size(u32::try_from(reader.at_once).unwrap_or(u32::MAX));
        let mut batches = within(patience, async { find.batch().await }).await?;
        // An answer is passed on when the next one, or the end, has been seen to be right: what is
        // read by one answer gets an error and not the first part of its bytes. nginx's slice
        // module lets a client wait for the rest of a slice that breaks off.
        loop {
            let batch = within(patience, async { batches.next().await.transpose() }).await?;
            let Some(batch) = batch else {
                break;
            };
            let answer = Answer(batch, Arc::clone(&reader.permit));
            let taken = reader.take(&Bytes::from_owner(answer))?;
            if !reader.held.is_empty() {
                self.require_same(&reader.file).await?;
            }
            if !pass_on(std::mem::replace(&mut reader.held, taken), sender).await {
                return Ok(());
            }
        }
        reader.finish()?;
        self.require_same(&reader.file).await?;
        pass_on(std::mem::take(&mut reader.held), sender).await;
        Ok(())
    }

    /// Waits until these bytes may be in memory. What is given back with the last of them.
    async fn reserve_read(&self, bytes: u64) -> Result<Arc<OwnedSemaphorePermit>, StoreError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(READ_BYTES);
        let reads = Arc::clone(&self.reads);
        match tokio::time::timeout(self.timeout, reads.acquire_many_owned(bytes)).await {
            Ok(Ok(permit)) => Ok(Arc::new(permit)),
            Ok(Err(err)) => Err(StoreError::Unavailable(err.to_string())),
            Err(_) => Err(StoreError::Unavailable("too many reads".to_owned())),
        }
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
async fn within<T>(
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

/// Hands bytes to the caller; `false` if it has gone.
async fn pass_on(pieces: Vec<Bytes>, sender: &mpsc::Sender<Result<Bytes, StoreError>>) -> bool {
    for bytes in pieces {
        if sender.send(Ok(bytes)).await.is_err() {
            return false;
        }
    }
    true
}

impl Reader {
    /// The bytes that an answer adds to the range: slices of the answer itself, not copies. Each
    /// chunk must be the next one and have exactly its size. An answer that is wrong adds nothing.
    fn take(&mut self, answer: &Bytes) -> Result<Vec<Bytes>, StoreError> {
        let unreadable = |err: mongodb::bson::error::Error| error::of_document(&err);
        let cursor = RawDocument::from_bytes(answer)
            .and_then(|reply| reply.get_document("cursor"))
            .map_err(unreadable)?;
        let chunks = cursor
            .get_array("firstBatch")
            .or_else(|_| cursor.get_array("nextBatch"))
            .map_err(|err| error::of_document(&err))?;
        let mut taken = Vec::new();
        let mut next_n = self.next_n;
        for chunk in chunks {
            let chunk = chunk
                .map_err(unreadable)?
                .as_document()
                .ok_or_else(|| self.damaged(next_n, "is no document"))?;
            if document::whole_number(chunk, "n") != Some(next_n) {
                return Err(self.damaged(next_n, "is missing"));
            }
            let data = chunk
                .get_binary("data")
                .map_err(|_| self.damaged(next_n, "has no data"))?
                .bytes;
            let start = next_n * self.chunk_size;
            let expected = self.chunk_size.min(self.length.saturating_sub(start));
            if u64::try_from(data.len()) != Ok(expected) {
                return Err(self.damaged(next_n, "has the wrong size"));
            }
            taken.push(self.cut(&answer.slice_ref(data), start));
            next_n += 1;
        }
        self.next_n = next_n;
        Ok(taken)
    }

    /// The part of a chunk that begins at `start` of the file and lies in the range.
    fn cut(&self, data: &Bytes, start: u64) -> Bytes {
        let within = |at: u64| {
            let offset = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            offset.min(data.len())
        };
        data.slice(within(self.range.start)..within(self.range.end))
    }

    fn finish(&self) -> Result<(), StoreError> {
        if self.next_n == self.last_n + 1 {
            Ok(())
        } else {
            Err(self.damaged(self.next_n, "is missing"))
        }
    }

    fn damaged(&self, n: u64, what: &str) -> StoreError {
        StoreError::Damaged(format!("chunk {n} of {} {what}", self.name))
    }
}

/// Owns an answer for the slices that are cut out of it, and the room in memory that it takes.
struct Answer(
    RawBatch,
    #[expect(dead_code, reason = "held until the last slice is dropped")] Arc<OwnedSemaphorePermit>,
);

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        self.0.as_raw_document().as_bytes()
    }
}
