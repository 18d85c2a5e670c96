//! Sends the chunks of one file: batches side by side, within the budget of bytes.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::chunk_id::ChunkId;
use super::source::{Chunks, Source};
use super::{Bucket, error};
use crate::store::{Progress, StoreError};

/// The most bytes of a body in one insert.
const BATCH_BYTES: u32 = 4 * 1024 * 1024;

/// The most inserts of one file at the same time.
const INSERTS_AT_ONCE: usize = 2;

/// The chunks of one insert, and the permit for their bytes.
struct Batch {
    chunks: Chunks,
    _permit: OwnedSemaphorePermit,
}

/// The outcome of an insert.
struct Inserted {
    /// Whether it inserted a new chunk.
    is_new: bool,
    /// The chunks that existed already, by their number or their `_id`.
    doubled: Vec<ChunkId>,
}

/// The inserts of one attempt.
struct Sending<'a> {
    inserts: FuturesUnordered<JoinHandle<Result<Inserted, StoreError>>>,
    /// The chunks that existed already.
    there: Vec<ChunkId>,
    progress: &'a Progress,
}

impl Bucket {
    /// Reads and hashes a body to its end and sends the missing chunks. Returns the chunks that
    /// existed. When it ends, even by an error, none of its inserts runs any more.
    pub(super) async fn send(
        &self,
        source: Source,
        progress: &Progress,
    ) -> Result<(Source, Vec<ChunkId>), StoreError> {
        let mut sending = Sending {
            inserts: FuturesUnordered::new(),
            there: Vec::new(),
            progress,
        };
        let mut sent = self.send_all(source, &mut sending).await;
        while let Some(ended) = sending.wait_for_one().await {
            sent = sent.and_then(|source| ended.map(|()| source));
        }
        Ok((sent?, sending.there))
    }

    async fn send_all(
        &self,
        mut source: Source,
        sending: &mut Sending<'_>,
    ) -> Result<Source, StoreError> {
        while !source.is_over() {
            let batch;
            (source, batch) = self.next_batch(source).await?;
            sending.there.append(&mut source.take_skipped());
            if batch.chunks.documents.is_empty() {
                continue;
            }
            if sending.inserts.len() == INSERTS_AT_ONCE {
                sending.wait_for_one().await.transpose()?;
            }
            // This is a task: it runs while the next batch is read.
            let insert = self.clone().insert_chunks(batch);
            sending.inserts.push(self.runtime.spawn(insert));
        }
        Ok(source)
    }

    /// Reads and hashes the next batch on the blocking pool, within the budget of bytes.
    async fn next_batch(&self, mut source: Source) -> Result<(Source, Batch), StoreError> {
        // A large file leaves room for other files, and for its own next batch.
        let batch_bytes = BATCH_BYTES
            .min(self.bytes_in_flight / 4)
            .max(source.chunk_size_bytes());
        let wanted = u32::try_from(source.remaining())
            .unwrap_or(u32::MAX)
            .min(batch_bytes);
        // Chunks of an earlier attempt may be longer than the chunks of today's setting.
        let permit = self.reserve(wanted.min(self.bytes_in_flight / 2)).await?;
        let read = self.runtime.spawn_blocking(move || {
            let chunks = source.read(wanted)?;
            Ok((source, chunks))
        });
        let (source, chunks) = read
            .await
            .map_err(|lost| StoreError::Failed(format!("reading the body: {lost}")))?
            .map_err(|err| StoreError::Body(Arc::new(err)))?;
        let batch = Batch {
            chunks,
            _permit: permit,
        };
        Ok((source, batch))
    }

    /// Waits until this many bytes fit into the budget. Waiters get their bytes in the order of
    /// their arrival. A commit that has its turn always gets its bytes: the group that is read
    /// ahead of its turn takes at most three eighths of the budget, and a batch takes at most half.
    pub(super) async fn reserve(&self, bytes: u32) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes = bytes.min(self.bytes_in_flight);
        // The semaphore is never closed.
        Arc::clone(&self.budget)
            .acquire_many_owned(bytes)
            .await
            .map_err(|err| StoreError::Unavailable(err.to_string()))
    }

    /// Inserts chunks.
    async fn insert_chunks(self, batch: Batch) -> Result<Inserted, StoreError> {
        let Chunks { ids, documents } = batch.chunks;
        let there = match self.insert(self.chunks().name(), documents).await {
            Ok(()) => Vec::new(),
            Err(err) => error::duplicates(&err).ok_or_else(|| error::of_commit(&err))?,
        };
        Ok(Inserted {
            is_new: there.len() < ids.len(),
            doubled: there
                .into_iter()
                .filter_map(|place| ids.get(place).copied())
                .collect(),
        })
    }
}

impl Sending<'_> {
    /// Waits for the end of an insert; `None` if none runs.
    async fn wait_for_one(&mut self) -> Option<Result<(), StoreError>> {
        let ended = self.inserts.next().await?;
        let ended = ended.unwrap_or_else(|lost| Err(StoreError::Unavailable(lost.to_string())));
        Some(ended.map(|inserted| {
            if inserted.is_new {
                self.progress.note();
            }
            self.there.extend(inserted.doubled);
        }))
    }
}
