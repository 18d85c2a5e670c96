//! Reads back, after a write, the copy that a majority of MongoDB's members holds.
//!
//! | read | says |
//! |---|---|
//! | the file's document | its length, digest and chunk size, as they were sent |
//! | the index on chunks | how many chunks there are, each number once |
//! | the chunks themselves | the sum of their sizes |
//!
//! For the sum MongoDB reads every byte, so it is asked for some chunks at a time. It is left out if
//! each chunk is known already: a majority acknowledged it in this attempt, or it existed and its `_id`
//! identified its content, or it was compared byte by byte. As the index is unique, a write of an
//! earlier attempt that comes late can replace none of these chunks; if it adds a chunk, that has
//! another number and is counted. So sizes are summed up only for a file that already has its document,
//! and chunks of an unknown attempt.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{Hint, ReadConcern};

use super::index::chunk_key;
use super::{Bucket, document, error};
use crate::file::FileId;
use crate::store::{Committed, Evidence, Sent, StoreError};

/// Chunks in one question for sizes: 16 MiB of the usual size.
const SLICE: i64 = 64;

/// The reason why the sizes of chunks are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    /// Each chunk was acknowledged in this attempt, identified by its `_id`, or compared.
    Known,
    /// MongoDB reads all of them, slice by slice.
    Summed,
}

impl Bucket {
    /// The statements of a majority about a file; `None` if it has no document.
    async fn evidence(&self, id: FileId, sizes: Sizes) -> Result<Option<Evidence>, StoreError> {
        let files_id = document::object_id(id);
        let (files, counts) = self.documents_and_counts(vec![files_id]).await?;
        let Some(file) = files.get(&files_id) else {
            return Ok(None);
        };
        let chunks = counts.get(&files_id).copied().unwrap_or_default();
        let bytes = match sizes {
            Sizes::Known => None,
            Sizes::Summed => Some(self.sum_chunks(files_id, chunks).await?),
        };
        document::evidence(file, chunks, bytes)
            .map(Some)
            .ok_or_else(|| StoreError::Refused(format!("{id} is there with a strange document")))
    }

    /// Proves one file.
    ///
    /// # Errors
    /// The judgement of a file that differs from what was sent.
    pub(super) async fn prove(
        &self,
        id: FileId,
        sent: Sent,
        sizes: Sizes,
    ) -> Result<Committed, StoreError> {
        let fit = self.require_fit_server();
        let (evidence, ()) = futures::future::try_join(self.evidence(id, sizes), fit).await?;
        let evidence = evidence.ok_or_else(|| {
            StoreError::Unavailable(format!("the document of {id} has no majority yet"))
        })?;
        Committed::prove(id, sent, evidence).map_err(|difference| {
            if evidence.length == sent.length && evidence.sha256 == Some(sent.sha256) {
                // It is our own file with chunks missing: sending them again mends it.
                StoreError::Failed(difference)
            } else {
                StoreError::Refused(difference)
            }
        })
    }

    /// Proves many files with the same two questions. All their chunks must be known. Files without a
    /// proof are missing in the result.
    pub(super) async fn prove_all(
        &self,
        sent: &[(FileId, Sent)],
    ) -> Result<Vec<Committed>, StoreError> {
        let ids = sent.iter().map(|(id, _)| document::object_id(*id));
        let both = self.documents_and_counts(ids.collect());
        let fit = self.require_fit_server();
        let ((files, counts), ()) = futures::future::try_join(both, fit).await?;
        let proofs = sent.iter().filter_map(|&(id, sent)| {
            let files_id = document::object_id(id);
            let chunks = counts.get(&files_id).copied().unwrap_or_default();
            let evidence = document::evidence(files.get(&files_id)?, chunks, None)?;
            Committed::prove(id, sent, evidence).ok()
        });
        Ok(proofs.collect())
    }

    /// The documents and the counts of chunks of these files that a majority holds.
    ///
    /// Chunks are counted in the unique index, which the question names. If a new collection has no
    /// such index, it is made and the question is repeated. So nothing counts as proven without the
    /// index.
    pub(super) async fn documents_and_counts(
        &self,
        ids: Vec<ObjectId>,
    ) -> Result<(HashMap<ObjectId, RawDocumentBuf>, HashMap<ObjectId, u64>), StoreError> {
        let looked = match self.look_once(ids.clone()).await {
            Err(err) if error::is_index_missing(&err) => {
                self.forget_indexes().await;
                self.ensure_indexes().await?;
                self.look_once(ids).await
            }
            looked => looked,
        };
        looked.map_err(|err| error::of_commit(&err))
    }

    /// The number of a file's chunks that a majority holds; `None` if MongoDB does not answer.
    pub(super) async fn count(&self, id: FileId) -> Option<u64> {
        let files_id = document::object_id(id);
        let counts = self.count_chunks(vec![files_id]).await.ok()?;
        Some(counts.get(&files_id).copied().unwrap_or_default())
    }

    async fn look_once(
        &self,
        ids: Vec<ObjectId>,
    ) -> Result<(HashMap<ObjectId, RawDocumentBuf>, HashMap<ObjectId, u64>), DriverError> {
        let found = self.documents(ids.clone(), ReadConcern::majority());
        let counted = async {
            match ids.len() {
                2.. => self.list_chunks(ids).await,
                _ => self.count_chunks(ids).await,
            }
        };
        futures::future::try_join(found, counted).await
    }

    /// The existing documents of these files.
    pub(super) async fn documents(
        &self,
        ids: Vec<ObjectId>,
        concern: ReadConcern,
    ) -> Result<HashMap<ObjectId, RawDocumentBuf>, DriverError> {
        let (files, patience) = (self.files(), self.server_time());
        let batch = in_one_batch(ids.len());
        let found = self.bounded(async move {
            let find = files.find(doc! { "_id": { "$in": ids } });
            let find = find.read_concern(concern).max_time(patience);
            find.batch_size(batch).await?.try_collect().await
        });
        let found: Vec<RawDocumentBuf> = found.await?;
        let found = found.into_iter();
        Ok(found
            .filter_map(|file| Some((file.get_object_id("_id").ok()?, file)))
            .collect())
    }

    /// Lets MongoDB count the chunks of each file.
    async fn count_chunks(
        &self,
        ids: Vec<ObjectId>,
    ) -> Result<HashMap<ObjectId, u64>, DriverError> {
        let matching = doc! { "files_id": { "$in": ids } };
        let group = doc! { "_id": "$files_id", "chunks": { "$sum": 1 } };
        let counted = self.group_chunks(matching, group).await?;
        let counts = counted.iter().filter_map(|group| {
            let chunks = document::whole_number(group, "chunks")?;
            Some((group.get_object_id("_id").ok()?, chunks))
        });
        Ok(counts.collect())
    }

    /// Lets MongoDB sum up the sizes of a file's chunks, which it has to read. It does so slice by
    /// slice, so that no single question takes longer for a larger file.
    async fn sum_chunks(&self, files_id: ObjectId, chunks: u64) -> Result<u64, StoreError> {
        let count = i64::try_from(chunks).unwrap_or(i64::MAX);
        let (mut first, mut bytes) = (0_i64, 0_u64);
        while first < count {
            let end = first.saturating_add(SLICE);
            let matching = doc! { "files_id": files_id, "n": { "$gte": first, "$lt": end } };
            let group = doc! { "_id": null, "bytes": { "$sum": { "$binarySize": "$data" } } };
            let summed = self
                .group_chunks(matching, group)
                .await
                .map_err(|err| error::of_commit(&err))?;
            let sum = summed
                .first()
                .and_then(|sum| document::whole_number(sum, "bytes"));
            bytes = bytes.saturating_add(sum.unwrap_or_default());
            first = end;
        }
        Ok(bytes)
    }

    async fn group_chunks(
        &self,
        matching: Document,
        group: Document,
    ) -> Result<Vec<RawDocumentBuf>, DriverError> {
        let (chunks, patience) = (self.chunks(), self.server_time());
        let pipeline = [doc! { "$match": matching }, doc! { "$group": group }];
        let grouped = self.bounded(async move {
            let majority = chunks
                .aggregate(pipeline)
                .read_concern(ReadConcern::majority())
                .max_time(patience)
                .hint(Hint::Keys(chunk_key()));
            let cursor = majority.batch_size(in_one_batch(1)).with_type().await?;
            cursor.try_collect().await
        });
        grouped.await
    }

    /// Counts the chunks of small files in this process: MongoDB lists entries of an index in half the
    /// time that it takes to count them.
    async fn list_chunks(&self, ids: Vec<ObjectId>) -> Result<HashMap<ObjectId, u64>, DriverError> {
        let (chunks, patience) = (self.chunks(), self.server_time());
        let batch = in_one_batch(ids.len());
        let filter = doc! { "files_id": { "$in": ids } };
        let listed = self.bounded(async move {
            let majority = chunks.find(filter).read_concern(ReadConcern::majority());
            // The index holds all that is asked for, so no chunk is read.
            let listed = majority.projection(doc! { "_id": 0, "files_id": 1 });
            let listed = listed.max_time(patience).hint(Hint::Keys(chunk_key()));
            listed.batch_size(batch).await?.try_collect().await
        });
        let listed: Vec<RawDocumentBuf> = listed.await?;
        let mut counts = HashMap::new();
        for chunk in listed {
            let Ok(id) = chunk.get_object_id("files_id") else {
                continue;
            };
            *counts.entry(id).or_insert(0) += 1;
        }
        Ok(counts)
    }
}

/// A batch size that fits the answer for this many files, so that MongoDB knows it to be the last.
fn in_one_batch(files: usize) -> u32 {
    u32::try_from(files + 1).unwrap_or(u32::MAX)
}
