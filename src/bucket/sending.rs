//! Sending the chunks of one file: batches side by side, within the budget of bytes.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::chunk_id::ChunkId;
use super::source::{Chunks, Source};
use super::{Bucket, error};
use crate::store::{Progress, StoreError};

/// Bytes of a body in one insert, at most.
const BATCH_BYTES: u32 = 4 * 1024 * 1024;

/// Inserts of one file on their way at the same time.
const INSERTS_AT_ONCE: usize = 2;

/// Chunks on their way, and the permit for their bytes.
struct Batch {
    chunks: Chunks,
    _permit: OwnedSemaphorePermit,
}

/// The end of an insert.
struct Inserted {
    /// Whether it brought in a chunk that was not there.
    is_new: bool,
    /// Those whose number or `_id` was there already.
    doubled: Vec<ChunkId>,
}

/// The inserts of one attempt.
struct Sending<'a> {
    inserts: FuturesUnordered<JoinHandle<Result<Inserted, StoreError>>>,
    /// The chunks that were there already.
    there: Vec<ChunkId>,
    progress: &'a Progress,
}

impl Bucket {
    /// Reads and hashes a body to its end and sends the chunks that are not there. Returns the others.
    /// When it ends, by an error too, no insert of its goes on.
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
            // A task: it goes on while the next batch is read.
            let insert = self.clone().insert_chunks(batch);
            sending.inserts.push(self.runtime.spawn(insert));
        }
        Ok(source)
    }

    /// Reads and hashes the next batch on the blocking pool, within the budget of bytes.
    async fn next_batch(&self, mut source: Source) -> Result<(Source, Batch), StoreError> {
        // A large file leaves room for others, and for its own next batch.
        let batch_bytes = BATCH_BYTES
            .min(self.bytes_in_flight / 4)
            .max(source.chunk_size_bytes());
        let wanted = u32::try_from(source.remaining())
            .unwrap_or(u32::MAX)
            .min(batch_bytes);
        // Chunks of an earlier attempt may be longer than any that are written now.
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
    /// Waits for the end of an insert; `None` when there is none any more.
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
