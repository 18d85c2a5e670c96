//! The copy that a majority of MongoDB's members holds, read back after a write.
//!
//! | read | says |
//! |---|---|
//! | the file's document | its length, digest and chunk size, as sent |
//! | the index on chunks | how many chunks there are, each number once |
//! | the chunks themselves | the sum of their sizes |
//!
//! The last one makes MongoDB read every byte. It is left out when each chunk is known already: as a
//! majority acknowledged it in this very attempt, or as it was there before and was compared byte by
//! byte. The index is unique, so that a write of an earlier attempt that comes late can replace none
//! of them; what it adds has another number, and is counted. When nothing was sent, as all was there,
//! the sizes are summed up.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;

use super::{Bucket, document, error};
use crate::file::FileId;
use crate::store::{Committed, Evidence, Sent, StoreError};

/// Where the sizes of chunks are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    /// Each chunk was acknowledged or compared in this very attempt.
    Known,
    /// MongoDB reads all of them.
    Summed,
}

impl Bucket {
    /// The copy of a file that a majority holds; `None` without a document.
    pub(super) async fn evidence(
        &self,
        id: FileId,
        sizes: Sizes,
    ) -> Result<Option<Evidence>, StoreError> {
        let files_id = document::object_id(id);
        let (files, counts) = self.look(vec![files_id], sizes).await?;
        let Some(file) = files.get(&files_id) else {
            return Ok(None);
        };
        judge(file, counts.get(&files_id))
            .map(Some)
            .ok_or_else(|| StoreError::Refused(format!("{id} is there with a strange document")))
    }

    /// Proves one file.
    ///
    /// # Errors
    /// What to think of a file that is not what was sent.
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
                // Our own file, with chunks missing: sending them again mends it.
                StoreError::Failed(difference)
            } else {
                StoreError::Refused(difference)
            }
        })
    }

    /// Proves many files, whose chunks are all known, with the same two questions; those that cannot be
    /// are left out.
    pub(super) async fn prove_all(
        &self,
        sent: &[(FileId, Sent)],
    ) -> Result<Vec<Committed>, StoreError> {
        let ids = sent.iter().map(|(id, _)| document::object_id(*id));
        let look = self.look(ids.collect(), Sizes::Known);
        let fit = self.require_fit_server();
        let ((files, counts), ()) = futures::future::try_join(look, fit).await?;
        let proofs = sent.iter().filter_map(|&(id, sent)| {
            let files_id = document::object_id(id);
            let evidence = judge(files.get(&files_id)?, counts.get(&files_id))?;
            Committed::prove(id, sent, evidence).ok()
        });
        Ok(proofs.collect())
    }

    /// The documents, and the counts of chunks, that a majority has of these files.
    pub(super) async fn look(
        &self,
        ids: Vec<ObjectId>,
        sizes: Sizes,
    ) -> Result<(HashMap<ObjectId, RawDocumentBuf>, HashMap<ObjectId, Count>), StoreError> {
        let found = self.documents(ids.clone(), ReadConcern::majority());
        let counted = async {
            match (sizes, ids.len()) {
                (Sizes::Known, 2..) => self.list_chunks(ids).await,
                _ => self.count_chunks(ids, sizes).await,
            }
        };
        futures::future::try_join(found, counted)
            .await
            .map_err(|err| error::of_commit(&err))
    }

    /// The documents that there are of these files.
    pub(super) async fn documents(
        &self,
        ids: Vec<ObjectId>,
        concern: ReadConcern,
    ) -> Result<HashMap<ObjectId, RawDocumentBuf>, DriverError> {
        let files = self.files();
        let batch = in_one_batch(ids.len());
        let found = self.bounded(async move {
            let find = files.find(doc! { "_id": { "$in": ids } });
            let find = find.read_concern(concern).batch_size(batch);
            find.await?.try_collect().await
        });
        let found: Vec<RawDocumentBuf> = found.await?;
        let found = found.into_iter();
        Ok(found
            .filter_map(|file| Some((file.get_object_id("_id").ok()?, file)))
            .collect())
    }

    /// Has MongoDB count the chunks of each file, and sum up their sizes if those are wanted.
    async fn count_chunks(
        &self,
        ids: Vec<ObjectId>,
        sizes: Sizes,
    ) -> Result<HashMap<ObjectId, Count>, DriverError> {
        let chunks = self.chunks();
        let batch = in_one_batch(ids.len());
        let mut group = doc! { "_id": "$files_id", "chunks": { "$sum": 1 } };
        if sizes == Sizes::Summed {
            group.insert("bytes", doc! { "$sum": { "$binarySize": "$data" } });
        }
        let pipeline = [
            doc! { "$match": { "files_id": { "$in": ids } } },
            doc! { "$group": group },
        ];
        let counted = self.bounded(async move {
            let majority = chunks
                .aggregate(pipeline)
                .read_concern(ReadConcern::majority());
            let cursor = majority.batch_size(batch).with_type().await?;
            cursor.try_collect().await
        });
        let counted: Vec<RawDocumentBuf> = counted.await?;
        let counts = counted.iter().filter_map(|group| {
            let bytes = match sizes {
                Sizes::Known => None,
                Sizes::Summed => Some(document::whole_number(group, "bytes")?),
            };
            let chunks = document::whole_number(group, "chunks")?;
            let count = Count { chunks, bytes };
            Some((group.get_object_id("_id").ok()?, count))
        });
        Ok(counts.collect())
    }

    /// Counts the chunks of small files here: to list what an index has costs MongoDB half as much as
    /// to count it.
    async fn list_chunks(
        &self,
        ids: Vec<ObjectId>,
    ) -> Result<HashMap<ObjectId, Count>, DriverError> {
        let chunks = self.chunks();
        let batch = in_one_batch(ids.len());
        let filter = doc! { "files_id": { "$in": ids } };
        let listed = self.bounded(async move {
            let majority = chunks.find(filter).read_concern(ReadConcern::majority());
            // Nothing but what the index holds, so that no chunk is read for it.
            let listed = majority.projection(doc! { "_id": 0, "files_id": 1 });
            listed.batch_size(batch).await?.try_collect().await
        });
        let listed: Vec<RawDocumentBuf> = listed.await?;
        let mut counts = HashMap::new();
        for chunk in listed {
            let Ok(id) = chunk.get_object_id("files_id") else {
                continue;
            };
            let count = counts.entry(id).or_insert(Count {
                chunks: 0,
                bytes: None,
            });
            count.chunks += 1;
        }
        Ok(counts)
    }
}

/// A batch that the answer for so many files fits in, and that MongoDB sees to be the last one.
fn in_one_batch(files: usize) -> u32 {
    u32::try_from(files + 1).unwrap_or(u32::MAX)
}

/// The chunks of a file: how many, and how large together if that was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    chunks: u64,
    bytes: Option<u64>,
}

/// The statements of a file's document and its chunks together; no count means that there are none.
fn judge(file: &RawDocumentBuf, count: Option<&Count>) -> Option<Evidence> {
    const NONE: Count = Count {
        chunks: 0,
        bytes: Some(0),
    };
    let count = count.unwrap_or(&NONE);
    document::evidence(file, count.chunks, count.bytes)
}
