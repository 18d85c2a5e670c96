//! Writing a promised file, so that doing it twice does no harm.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::options::ReadConcern;
use tokio::sync::OwnedSemaphorePermit;

use super::evidence::Sizes;
use super::source::Source;
use super::{Bucket, document, error};
use crate::file::FileId;
use crate::store::{Committed, Promised, StoreError};

/// Bytes of a body in one insert, at most.
const BATCH_BYTES: u32 = 4 * 1024 * 1024;

/// Inserts of one file on their way at the same time.
const INSERTS_AT_ONCE: usize = 2;

impl Bucket {
    /// Commits a file.
    ///
    /// 1. MongoDB is no standalone, and the unique index on chunks exists.
    /// 2. After an earlier attempt, the file's document and all chunks may be there already. Then
    ///    the body is only hashed, and the proof tried.
    /// 3. The chunks are inserted, unordered, in batches, some batches side by side; the body is
    ///    hashed on the way.
    /// 4. Each chunk that was there already is compared, byte by byte.
    /// 5. The file's document is inserted, once every chunk has a majority. One that is there
    ///    already is judged by step 6.
    /// 6. Document and chunks are read back with read concern majority, and held against what
    ///    was sent: the proof. MongoDB is no standalone still.
    ///
    /// Cut anywhere, it leaves chunks that no reader sees, or the whole file. Nothing is deleted.
    ///
    /// # Errors
    /// As [`crate::store::Store::commit`].
    pub(super) async fn put(&self, promised: Promised) -> Result<Committed, StoreError> {
        self.require_fit_server().await?; // 1
        self.ensure_indexes().await?;
        let Promised {
            id,
            meta,
            body,
            is_retry,
        } = promised;
        let found = if is_retry {
            self.evidence(id, Sizes::Summed).await? // 2
        } else {
            None
        };
        if found.is_some_and(|found| found.length != meta.length) {
            return Err(StoreError::Refused(format!(
                "{id} is there as another file"
            )));
        }
        let has_all_chunks = found.is_some_and(|found| found.chunk_bytes == Some(found.length));
        let source = Source::new(body, id, meta.length, self.chunk_size_bytes);
        let (source, there) = self.send(source, has_all_chunks).await?; // 3
        let sent = source.sent();
        self.compare_chunks(source, id, there).await?; // 4
        if found.is_none() {
            let file = document::file(id, &meta, sent, self.chunk_size_bytes)?;
            self.insert_file(file).await?; // 5
        }
        let sizes = if has_all_chunks {
            Sizes::Summed
        } else {
            Sizes::Known
        };
        self.prove(id, sent, sizes).await // 6
    }

    /// Reads and hashes a body to its end and sends its chunks, unless that `is_rehearsal`.
    /// Returns the numbers of the chunks that were there already.
    async fn send(
        &self,
        mut source: Source,
        is_rehearsal: bool,
    ) -> Result<(Source, Vec<i32>), StoreError> {
        let mut inserts = FuturesUnordered::new();
        let mut there = Vec::new();
        while !source.is_over() {
            let first_n = source.next_n();
            let batch;
            (source, batch) = self.next_batch(source).await?;
            if is_rehearsal || batch.documents.is_empty() {
                continue;
            }
            if inserts.len() == INSERTS_AT_ONCE {
                there.extend(inserts.try_next().await?.unwrap_or_default());
            }
            // A task: it goes on while the next batch is read.
            let insert = self.clone().insert_chunks(first_n, batch);
            let insert = self.runtime.spawn(insert);
            inserts.push(async move {
                insert
                    .await
                    .unwrap_or_else(|lost| Err(StoreError::Unavailable(lost.to_string())))
            });
        }
        while let Some(more) = inserts.try_next().await? {
            there.extend(more);
        }
        Ok((source, there))
    }

    /// Reads and hashes the next batch on the blocking pool, within the budget of bytes.
    async fn next_batch(&self, mut source: Source) -> Result<(Source, Batch), StoreError> {
        // A large file leaves room for others, and for its own next batch.
        let batch_bytes = BATCH_BYTES
            .min(self.bytes_in_flight / 4)
            .max(self.chunk_size_bytes);
        let wanted = u32::try_from(source.remaining())
            .unwrap_or(u32::MAX)
            .min(batch_bytes);
        let permit = self.reserve(wanted).await?;
        let read = self.runtime.spawn_blocking(move || {
            let documents = source.read(wanted)?;
            Ok((source, documents))
        });
        let (source, documents) = read
            .await
            .map_err(|lost| StoreError::Failed(format!("reading the body: {lost}")))?
            .map_err(|err| StoreError::Body(Arc::new(err)))?;
        let batch = Batch {
            documents,
            _permit: permit,
        };
        Ok((source, batch))
    }

    /// Waits until so many bytes fit into the budget. First come, first served: no commit that
    /// waits is overtaken. A commit that has its turn always comes to its bytes: the one group that is read
    /// ahead of its turn has three eighths of them at most, and a batch is half of them at most.
    pub(super) async fn reserve(&self, bytes: u32) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes = bytes.min(self.bytes_in_flight);
        // The semaphore is never closed.
        Arc::clone(&self.budget)
            .acquire_many_owned(bytes)
            .await
            .map_err(|err| StoreError::Unavailable(err.to_string()))
    }

    /// Inserts chunks of consecutive numbers; returns those that were there already.
    async fn insert_chunks(self, first_n: i32, batch: Batch) -> Result<Vec<i32>, StoreError> {
        let chunks = self.chunks();
        let documents = batch.documents;
        let inserted = self
            .bounded(async move { chunks.insert_many(documents).ordered(false).await })
            .await;
        match inserted {
            Ok(_) => Ok(Vec::new()),
            Err(err) => match error::duplicates(&err) {
                Some(there) => Ok((first_n..)
                    .enumerate()
                    .take(there.iter().max().map_or(0, |last| last + 1))
                    .filter(|(index, _)| there.contains(index))
                    .map(|(_, n)| n)
                    .collect()),
                None => Err(error::of_commit(&err)),
            },
        }
    }

    /// Sees that chunks which were there already are what we would have written.
    async fn compare_chunks(
        &self,
        mut source: Source,
        id: FileId,
        there: Vec<i32>,
    ) -> Result<(), StoreError> {
        let files_id = document::object_id(id);
        for n in there {
            let ours;
            (source, ours) = self.read_again(source, n).await?;
            let (chunks, patience) = (self.chunks(), self.server_time());
            let stored = self
                .bounded(async move {
                    chunks
                        .find_one(doc! { "files_id": files_id, "n": n })
                        .max_time(patience)
                        .read_concern(ReadConcern::majority())
                        .await
                })
                .await
                .map_err(|err| error::of_commit(&err))?;
            match stored.as_ref().map(|stored| stored.get_binary("data")) {
                None => {
                    return Err(StoreError::Unavailable(format!(
                        "chunk {n} of {files_id} has no majority yet"
                    )));
                }
                Some(Ok(stored)) if stored.bytes == ours => {}
                Some(_) => {
                    return Err(StoreError::Refused(format!(
                        "chunk {n} of {files_id} is there with other bytes"
                    )));
                }
            }
        }
        Ok(())
    }

    async fn read_again(&self, source: Source, n: i32) -> Result<(Source, Vec<u8>), StoreError> {
        let read = self.runtime.spawn_blocking(move || {
            let bytes = source.read_again(n)?;
            Ok((source, bytes))
        });
        read.await
            .map_err(|lost| StoreError::Failed(format!("reading the body: {lost}")))?
            .map_err(|err| StoreError::Body(Arc::new(err)))
    }

    async fn insert_file(&self, file: RawDocumentBuf) -> Result<(), StoreError> {
        let files = self.files();
        match self
            .bounded(async move { files.insert_one(file).await })
            .await
        {
            Err(err) if !error::is_duplicate(&err) => Err(error::of_commit(&err)),
            _ => Ok(()),
        }
    }
}

/// Chunks on their way, and the permit for their bytes.
struct Batch {
    documents: Vec<RawDocumentBuf>,
    _permit: OwnedSemaphorePermit,
}
