//! Walks through a whole bucket, a page at a time, in the order of its indexes. Memory holds one
//! page, and a walk that was cut goes on at its place.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};

use super::orphan::Orphan;
use super::{Bucket, document, error, key};
use crate::store::{StoreError, StoredFile};

/// The files of a page.
const FILES: i64 = 200;

/// The entries of the index on chunks in a page.
const CHUNKS: i64 = 5_000;

/// A place in the order of ids: the last `_id` so far, of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Cursor {
    /// Reads the bytes that [`Cursor::bytes`] returned; `None` if they name no place.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let place = Self(bytes);
        place.id().is_ok().then_some(place)
    }

    /// Returns the place as bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn of(id: &Bson) -> Result<Self, StoreError> {
        let holder = RawDocumentBuf::try_from(&doc! { "_id": id })
            .map_err(|err| error::of_document(&err))?;
        Ok(Self(holder.into_bytes()))
    }

    pub(super) fn id(&self) -> Result<Bson, StoreError> {
        let holder = RawDocument::from_bytes(&self.0)
            .and_then(Document::try_from)
            .map_err(|err| error::of_document(&err))?;
        let id = holder.get("_id").cloned();
        id.ok_or_else(|| StoreError::Damaged("a place without an id".to_owned()))
    }
}

/// A file, as its document has it.
#[derive(Debug)]
pub struct Listed {
    /// Its id, as text.
    pub name: String,
    /// The description in its document, or the fault of that document.
    pub file: Result<StoredFile, StoreError>,
}

/// Files in the order of their ids.
#[derive(Debug)]
pub struct FilePage {
    /// The files.
    pub files: Vec<Listed>,
    /// The place where the next page begins; `None` after the last file.
    pub next: Option<Cursor>,
}

/// A part of the index on chunks.
#[derive(Debug)]
pub struct ChunkPage {
    /// The number of entries of the index that were read.
    pub chunks: u64,
    /// Ids that no file has.
    pub orphans: Vec<Orphan>,
    /// The place where the next page begins; `None` after the last chunk.
    pub next: Option<Cursor>,
}

impl Bucket {
    /// Returns the approximate number of files.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn about_how_many_files(&self) -> Result<u64, StoreError> {
        let files = self.files();
        self.bounded(async move { files.estimated_document_count().await })
            .await
            .map_err(|err| error::of_read(&err))
    }

    /// Returns the next files behind a place, or the first ones.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_files(&self, after: Option<&Cursor>) -> Result<FilePage, StoreError> {
        let files = self.files();
        let mut find = files
            .find(doc! {})
            // One member returns them in this order anyway; a router does not merge shards by a
            // hint.
            .sort(doc! { "_id": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .limit(FILES)
            .read_concern(ReadConcern::majority());
        if let Some(place) = after {
            find = find.min(doc! { "_id": place.id()? });
        }
        let found: Vec<RawDocumentBuf> = self
            .in_time(async { find.await?.try_collect().await })
            .await?;
        let is_last = i64::try_from(found.len()) != Ok(FILES);
        let mut last = None;
        let mut files = Vec::new();
        for file in found {
            let id = id_in(&file, "_id")?;
            let place = Cursor::of(&id)?;
            // The filter includes the bound itself.
            if after != Some(&place) {
                let name = key::text(&id);
                let key = key::read(&name);
                let file = document::read_file(&key, &file);
                files.push(Listed { name, file });
            }
            last = Some(place);
        }
        let next = last.filter(|_| !is_last);
        Ok(FilePage { files, next })
    }

    /// Returns the next chunks without a file, behind a place or from the first on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_orphans(&self, after: Option<&Cursor>) -> Result<ChunkPage, StoreError> {
        let chunks = self.chunks();
        let mut find = chunks
            .find(doc! {})
            // The index has all these fields.
            .projection(doc! { "_id": 0, "files_id": 1, "n": 1 })
            .sort(doc! { "files_id": 1, "n": 1 })
            .hint(Hint::Keys(doc! { "files_id": 1, "n": 1 }))
            .limit(CHUNKS)
            .read_concern(ReadConcern::majority());
        if let Some(place) = after {
            find = find.min(doc! { "files_id": place.id()?, "n": Bson::MaxKey });
        }
        let found: Vec<RawDocumentBuf> = self
            .in_time(async { find.await?.try_collect().await })
            .await?;
        let is_last = i64::try_from(found.len()) != Ok(CHUNKS);
        let mut ids: Vec<Bson> = Vec::new();
        for chunk in &found {
            let id = id_in(chunk, "files_id")?;
            if ids.last() != Some(&id) {
                ids.push(id);
            }
        }
        let last = ids.last().map(Cursor::of).transpose()?;
        Ok(ChunkPage {
            chunks: u64::try_from(found.len()).unwrap_or(u64::MAX),
            orphans: self.without_files(ids).await?,
            next: last.filter(|_| !is_last),
        })
    }

    /// Leaves out the ids of files.
    async fn without_files(&self, ids: Vec<Bson>) -> Result<Vec<Orphan>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (files, filter) = (self.files(), doc! { "_id": { "$in": ids.as_slice() } });
        let found: Vec<RawDocumentBuf> = self
            .bounded(async move {
                let find = files.find(filter).projection(doc! { "_id": 1 });
                let majority = find.read_concern(ReadConcern::majority());
                majority.await?.try_collect().await
            })
            .await
            .map_err(|err| error::of_read(&err))?;
        let mut there = std::collections::HashSet::new();
        for file in &found {
            there.insert(Cursor::of(&id_in(file, "_id")?)?.0);
        }
        let mut orphans = Vec::new();
        for id in ids {
            // MongoDB finds a number by its value in any numeric type, so only MongoDB can tell.
            if !there.contains(&Cursor::of(&id)?.0)
                && !self.has_file(&id).await?
                && let Some(orphan) = self.look_at_orphan(id).await?
            {
                orphans.push(orphan);
            }
        }
        Ok(orphans)
    }

    /// Returns whether a majority has a document of a file with this id.
    pub(super) async fn has_file(&self, id: &Bson) -> Result<bool, StoreError> {
        let (files, filter) = (self.files(), document::is("_id", id));
        let found = self.bounded(async move {
            let find = files.find_one(filter).projection(doc! { "_id": 1 });
            find.read_concern(ReadConcern::majority()).await
        });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        Ok(found.is_some())
    }
}

/// Reads an id. A missing field counts as null, as in an index.
pub(super) fn id_in(document: &RawDocument, name: &str) -> Result<Bson, StoreError> {
    match document.get(name).map_err(|err| error::of_document(&err))? {
        Some(id) => Bson::try_from(id).map_err(|err| error::of_document(&err)),
        None => Ok(Bson::Null),
    }
}
