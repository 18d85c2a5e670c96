//! Reads the chunks of one batch, and checks each against the file's description.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use mongodb::Collection;
use mongodb::bson::{Bson, RawDocument, RawDocumentBuf, doc};
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::OwnedSemaphorePermit;

use super::batch_bytes::Batch;
use super::division::Division;
use super::fetch::{NEAR_SHARE, within};
use super::{Bucket, document, error};
use crate::store::{StoreError, StoredFile};

/// A read in progress: the chunks that have come, the next number, and the end.
struct Reader {
    name: String,
    id: Bson,
    division: Division,
    next_n: u64,
    end_n: u64,
    room: Arc<Option<OwnedSemaphorePermit>>,
    taken: Vec<Bytes>,
}

impl Bucket {
    /// Reads a batch. Its bytes in memory count against `room` until the last of them is dropped.
    ///
    /// # Errors
    /// As [`crate::store::Store::read`].
    pub(super) async fn read_batch(
        &self,
        file: &StoredFile,
        division: Division,
        number: u64,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Batch, StoreError> {
        let chunks = division.chunks(number);
        let mut reader = Reader {
            name: format!("{:?}", file.key),
            id: document::id_of(file)?,
            division,
            next_n: chunks.start,
            end_n: chunks.end,
            room: Arc::new(room),
            taken: Vec::new(),
        };
        if self.may_read_nearest(&file.key) {
            let patience = self.timeout / NEAR_SHARE;
            let near = self.near_chunks();
            if let Err(err) = reader.read_from(&near, patience).await {
                log::debug!("asking the primary: {err}");
            }
        }
        if reader.next_n < reader.end_n {
            reader.read_from(&self.chunks(), self.timeout).await?;
        }
        self.require_same(file).await?;
        Ok(Batch {
            start: chunks.start * division.chunk_size,
            chunks: reader.taken,
        })
    }
}

impl Reader {
    /// Reads the remaining chunks from one member; after an error another member may go on.
    async fn read_from(
        &mut self,
        collection: &Collection<RawDocumentBuf>,
        patience: Duration,
    ) -> Result<(), StoreError> {
        let number = |n: u64| {
            i64::try_from(n).map_err(|err| StoreError::Damaged(format!("{}: {err}", self.name)))
        };
        let (next, end) = (number(self.next_n)?, number(self.end_n)?);
        let mut filter = document::is("files_id", &self.id);
        filter.insert("n", doc! { "$gte": next, "$lt": end });
        let find = collection
            .find(filter)
            .sort(doc! { "n": 1 })
            // With the limit MongoDB knows which answer is the last, so no further question is needed.
            .limit(end - next)
            .batch_size(u32::try_from(end - next).unwrap_or(u32::MAX));
        let mut answers = within(patience, async { find.batch().await }).await?;
        loop {
            let answer = within(patience, async { answers.next().await.transpose() }).await?;
            let Some(answer) = answer else {
                break;
            };
            let answer = Answer(answer, Arc::clone(&self.room));
            self.take(&Bytes::from_owner(answer))?;
        }
        if self.next_n == self.end_n {
            Ok(())
        } else {
            Err(self.damaged(self.next_n, "is missing"))
        }
    }

    /// Takes the chunks of an answer, as slices of the answer and not as copies. Each must be the next
    /// chunk and have exactly its size. A wrong answer adds nothing.
    fn take(&mut self, answer: &Bytes) -> Result<(), StoreError> {
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
            let Division {
                chunk_size, length, ..
            } = self.division;
            let expected = chunk_size.min(length.saturating_sub(next_n * chunk_size));
            if u64::try_from(data.len()) != Ok(expected) {
                return Err(self.damaged(next_n, "has the wrong size"));
            }
            taken.push(answer.slice_ref(data));
            next_n += 1;
        }
        self.next_n = next_n;
        self.taken.append(&mut taken);
        Ok(())
    }

    fn damaged(&self, n: u64, what: &str) -> StoreError {
        StoreError::Damaged(format!("chunk {n} of {} {what}", self.name))
    }
}

/// Owns an answer for the slices that are cut from it, and the memory that it takes.
struct Answer(
    RawBatch,
    #[expect(dead_code, reason = "held until the last slice is dropped")]
    Arc<Option<OwnedSemaphorePermit>>,
);

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        self.0.as_raw_document().as_bytes()
    }
}
