//! Finds the chunks that earlier attempts to commit a file left, so that they are not sent again.
//!
//! 1. The unique index lists the numbers of the chunks that exist; no chunk is read.
//! 2. One of these chunks tells when the first attempt began, and how long its chunks are: this attempt
//!    gives the same chunks the same `_id`.
//! 3. The body is read and hashed from its beginning, as in every attempt. A chunk is not sent if its
//!    number exists.
//! 4. The index on `_id` tells which of the `_id`s of these chunks exist. Those chunks are known, as
//!    the `_id` identifies the content. All others come from an unknown attempt.
//!
//! Each question has a bound of its own, however large the file is, and is answered from data that a
//! majority holds.

use std::collections::HashSet;
use std::ops::Range;

use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{Hint, ReadConcern};

use super::chunk_id::{Began, ChunkId};
use super::index::chunk_key;
use super::{Bucket, document, error};
use crate::file::FileId;
use crate::store::{Evidence, StoreError};

/// The most numbers of chunks in one answer.
const NUMBERS: u32 = 10_000;

/// The number of `_id`s of chunks in one question.
const IDS: usize = 4096;

/// The state of a file in the bucket at the beginning of an attempt.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// The statements of its document, if there is one.
    pub(super) file: Option<Evidence>,
    /// The numbers of its chunks.
    pub(super) numbers: Numbers,
    /// The first of them.
    first: Option<FirstChunk>,
}

#[derive(Debug, Clone, Copy)]
struct FirstChunk {
    n: i32,
    began: Option<Began>,
    size: u32,
}

impl Earlier {
    /// The time at the beginning of the `_id`s of this file's chunks.
    pub(super) fn began(&self) -> Began {
        let began = self.first.and_then(|first| first.began);
        began.unwrap_or_else(Began::now)
    }

    /// The size of this file's chunks: `usual`, unless an earlier attempt wrote with another setting.
    pub(super) fn chunk_size(&self, length: u64, usual: u32) -> u32 {
        if let Some(file) = self.file.filter(|file| file.chunk_size_bytes > 0) {
            return file.chunk_size_bytes;
        }
        let Some(FirstChunk { n, size, .. }) = self.first.filter(|first| first.size > 0) else {
            return usual;
        };
        let n = u64::try_from(n).unwrap_or_default();
        let begin = n.saturating_mul(usual.into());
        let is_usual = length.saturating_sub(begin).min(usual.into()) == u64::from(size);
        let is_within = (n + 1).saturating_mul(size.into()) <= length;
        if is_within && !is_usual { size } else { usual }
    }
}

impl Bucket {
    /// The document and the chunks of a file that a majority holds.
    ///
    /// # Errors
    /// `Refused` if the document makes no sense; otherwise the errors of any question.
    pub(super) async fn earlier(&self, id: FileId) -> Result<Earlier, StoreError> {
        let files_id = document::object_id(id);
        let (files, counts) = self.documents_and_counts(vec![files_id]).await?;
        let count = counts.get(&files_id).copied().unwrap_or_default();
        let file = files.get(&files_id).map(|file| {
            document::evidence(file, count, None).ok_or_else(|| {
                StoreError::Refused(format!("{id} is there with a strange document"))
            })
        });
        let file = file.transpose()?;
        if count == 0 {
            return Ok(Earlier {
                file,
                ..Earlier::default()
            });
        }
        let in_words = |err: DriverError| error::of_commit(&err);
        let numbers = self.list_numbers(files_id).await.map_err(in_words)?;
        let first = match numbers.first() {
            Some(n) => self.first_chunk(files_id, n).await.map_err(in_words)?,
            None => None,
        };
        Ok(Earlier {
            file,
            numbers,
            first,
        })
    }

    /// Lists the numbers of a file's chunks from the unique index alone.
    async fn list_numbers(&self, files_id: ObjectId) -> Result<Numbers, DriverError> {
        let mut numbers = Numbers::default();
        let mut range = doc! { "$gte": 0 };
        loop {
            let (chunks, patience) = (self.chunks(), self.server_time());
            let filter = doc! { "files_id": files_id, "n": range };
            let listed = self.bounded(async move {
                let find = chunks.find(filter).sort(doc! { "n": 1 });
                let find = find.projection(doc! { "_id": 0, "n": 1 });
                let find = find.hint(Hint::Keys(chunk_key())).max_time(patience);
                let find = find.limit(NUMBERS.into()).batch_size(NUMBERS);
                let find = find.read_concern(ReadConcern::majority());
                find.await?.try_collect().await
            });
            let listed: Vec<RawDocumentBuf> = listed.await?;
            for chunk in &listed {
                let n = document::whole_number(chunk, "n");
                if let Some(n) = n.and_then(|n| i32::try_from(n).ok()) {
                    numbers.push(n);
                }
            }
            let last = listed.last().and_then(|last| last.get("n").ok()?);
            match last.map(Bson::try_from) {
                Some(Ok(last)) if u32::try_from(listed.len()) == Ok(NUMBERS) => {
                    range = doc! { "$gt": last };
                }
                _ => return Ok(numbers),
            }
        }
    }

    async fn first_chunk(
        &self,
        files_id: ObjectId,
        n: i32,
    ) -> Result<Option<FirstChunk>, DriverError> {
        let found = self.chunk(files_id, n).await?;
        Ok(found.map(|found| {
            let data = found.get_binary("data").map(|data| data.bytes.len());
            FirstChunk {
                n,
                began: found.get_object_id("_id").ok().map(Began::of),
                size: data.map_or(0, |size| u32::try_from(size).unwrap_or(0)),
            }
        }))
    }

    /// One chunk, if a majority holds it.
    pub(super) async fn chunk(
        &self,
        files_id: ObjectId,
        n: i32,
    ) -> Result<Option<RawDocumentBuf>, DriverError> {
        let (chunks, patience) = (self.chunks(), self.server_time());
        self.bounded(async move {
            chunks
                .find_one(doc! { "files_id": files_id, "n": n })
                .max_time(patience)
                .read_concern(ReadConcern::majority())
                .await
        })
        .await
    }

    /// The numbers of those of these chunks that do not exist under their `_id`s.
    pub(super) async fn without_known(&self, there: &[ChunkId]) -> Result<Vec<i32>, StoreError> {
        let mut unknown = Vec::new();
        for some in there.chunks(IDS) {
            let ids = some.iter().map(|chunk| Bson::from(chunk.id));
            let known = self
                .known_ids(doc! { "_id": { "$in": ids.collect::<Vec<_>>() } })
                .await
                .map_err(|err| error::of_commit(&err))?;
            let others = some.iter().filter(|chunk| !known.contains(&chunk.id));
            unknown.extend(others.map(|chunk| chunk.n));
        }
        Ok(unknown)
    }

    /// The existing `_id`s of chunks, from the index on `_id` alone.
    async fn known_ids(&self, filter: Document) -> Result<HashSet<ObjectId>, DriverError> {
        let (chunks, patience) = (self.chunks(), self.server_time());
        let found = self.bounded(async move {
            let find = chunks.find(filter).projection(doc! { "_id": 1 });
            let find = find.hint(Hint::Keys(doc! { "_id": 1 })).max_time(patience);
            let find = find.batch_size(u32::try_from(IDS + 1).unwrap_or(u32::MAX));
            let find = find.read_concern(ReadConcern::majority());
            find.await?.try_collect().await
        });
        let found: Vec<RawDocumentBuf> = found.await?;
        let ids = found.iter();
        Ok(ids.filter_map(|id| id.get_object_id("_id").ok()).collect())
    }
}

/// Numbers of chunks, as ranges: an attempt leaves few of them.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Range<i32>>);

impl Numbers {
    /// Adds a number that is greater than all before.
    fn push(&mut self, n: i32) {
        match self.0.last_mut() {
            Some(last) if last.end == n => last.end = n.saturating_add(1),
            _ => self.0.push(n..n.saturating_add(1)),
        }
    }

    fn first(&self) -> Option<i32> {
        self.0.first().map(|range| range.start)
    }

    /// The number of them.
    pub(super) fn count(&self) -> u64 {
        let lengths = self.0.iter().map(|range| range.end.abs_diff(range.start));
        lengths.map(u64::from).sum()
    }

    /// Whether a number is among them.
    pub(super) fn has(&self, n: i32) -> bool {
        let place = self.0.partition_point(|range| range.end <= n);
        self.0.get(place).is_some_and(|range| range.contains(&n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_ranges() {
        let mut numbers = Numbers::default();
        assert!(!numbers.has(0) && numbers.first().is_none());
        for n in [0, 1, 2, 5, 7, 8] {
            numbers.push(n);
        }
        let there = (-1..10).filter(|n| numbers.has(*n));
        assert_eq!(there.collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert_eq!(numbers.0, [0..3, 5..6, 7..9]);
        assert_eq!(numbers.count(), 6);
        assert_eq!(numbers.first(), Some(0));
    }

    fn left(n: i32, size: u32) -> Earlier {
        Earlier {
            first: Some(FirstChunk {
                n,
                began: None,
                size,
            }),
            ..Earlier::default()
        }
    }

    #[test]
    fn the_size_of_chunks_stays_that_of_the_first_attempt() {
        for (length, n, size, expected) in [
            (1000, 0, 255, 255),
            // The last chunk, which is shorter than the others.
            (1000, 3, 235, 255),
            (100, 0, 100, 255),
            // The setting was another at the earlier attempt.
            (1000, 0, 400, 400),
            (1000, 1, 400, 400),
            (1000, 0, 1000, 1000),
            (1000, 2, 100, 100),
            // It is not a chunk of this file: the comparison will tell.
            (1000, 2, 400, 255),
            (1000, 0, 0, 255),
        ] {
            let earlier = left(n, size);
            assert_eq!(earlier.chunk_size(length, 255), expected, "{n} {size}");
        }
        assert_eq!(Earlier::default().chunk_size(1000, 255), 255);
    }
}
