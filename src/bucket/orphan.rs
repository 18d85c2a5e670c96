//! Chunks that belong to no file. A cut or a lost answer may leave them behind; no reader ever sees
//! them.

use std::time::SystemTime;

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{Bson, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;

use super::{Bucket, document, error, key};
use crate::file::FileId;
use crate::store::StoreError;

/// The number of chunks that are removed together.
const AT_ONCE: i64 = 200;

/// All chunks of an id that no file has.
#[derive(Debug)]
pub struct Orphan {
    /// The id, as text.
    pub name: String,
    /// The id, if it may be one of ours.
    pub file_id: Option<FileId>,
    /// The number of its chunks.
    pub chunks: u64,
    /// The bytes of their documents.
    pub bytes: u64,
    /// When the last chunk was written, by its writer's clock, or when the attempt began that wrote
    /// the first; `None` if any chunk does not tell.
    pub written: Option<SystemTime>,
    id: Bson,
}

/// The outcome of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// All chunks are gone, with a majority.
    Removed,
    /// The id has a file by now, or is getting one: the remaining chunks stay.
    Taken,
}

impl Bucket {
    /// Describes the chunks of this id; `None` if there are none any more.
    pub(super) async fn look_at_orphan(&self, id: Bson) -> Result<Option<Orphan>, StoreError> {
        let pipeline = [
            doc! { "$match": document::is("files_id", &id) },
            doc! { "$group": {
                "_id": null,
                "chunks": { "$sum": 1 },
                "bytes": { "$sum": { "$bsonSize": "$$ROOT" } },
                // In the order of types, object ids are neither first nor last.
                "oldest": { "$min": "$_id" },
                "newest": { "$max": "$_id" },
            } },
        ];
        let chunks = self.chunks();
        let found: Vec<RawDocumentBuf> = self
            .bounded(async move {
                let majority = chunks
                    .aggregate(pipeline)
                    .read_concern(ReadConcern::majority());
                majority.with_type().await?.try_collect().await
            })
            .await
            .map_err(|err| error::of_read(&err))?;
        let Some(found) = found.first() else {
            return Ok(None);
        };
        let [oldest, newest] = ["oldest", "newest"].map(|name| found.get_object_id(name).ok());
        let file_id = id.as_object_id().map(|id| FileId::from_bytes(id.bytes()));
        Ok(Some(Orphan {
            name: key::text(&id),
            file_id,
            chunks: document::whole_number(found, "chunks").unwrap_or_default(),
            bytes: document::whole_number(found, "bytes").unwrap_or_default(),
            written: oldest
                .and(newest)
                .map(|newest| FileId::from_bytes(newest.bytes()).made_at()),
            id,
        }))
    }

    /// Removes the chunks of an id that has no file.
    ///
    /// A commit of another node may still be writing this id. So each piece is removed in a
    /// transaction that also inserts a document of that file, and deletes it again: such a
    /// transaction cannot run beside a commit's insert of that document, nor after it. A commit
    /// that inserts its document later counts the chunks after that, misses the removed ones, and
    /// writes them again.
    ///
    /// # Errors
    /// `Unavailable`, and always from a standalone mongod: it has no transactions. Some chunks may
    /// be gone.
    pub async fn remove_orphan(&self, orphan: &Orphan) -> Result<Removal, StoreError> {
        loop {
            let (chunks, filter) = (self.chunks(), document::is("files_id", &orphan.id));
            let found: Vec<RawDocumentBuf> = self
                .bounded(async move {
                    let find = chunks.find(filter).projection(doc! { "_id": 1 });
                    find.limit(AT_ONCE).await?.try_collect().await
                })
                .await
                .map_err(|err| error::of_read(&err))?;
            if found.is_empty() {
                return Ok(Removal::Removed);
            }
            let ids = found.iter().filter_map(|chunk| chunk.get("_id").ok()?);
            let ids: Vec<_> = ids.filter_map(|id| Bson::try_from(id).ok()).collect();
            let (bucket, id) = (self.clone(), orphan.id.clone());
            let removed = self.bounded(async move { bucket.remove_unless_taken(id, ids).await });
            match removed.await {
                Ok(()) => {}
                Err(err) if error::is_duplicate(&err) || error::is_conflict(&err) => {
                    return Ok(Removal::Taken);
                }
                Err(err) => return Err(error::of_read(&err)),
            }
        }
    }

    async fn remove_unless_taken(&self, id: Bson, chunks: Vec<Bson>) -> Result<(), DriverError> {
        let mut session = self.connection.database().client().start_session().await?;
        let majority = self.files().write_concern().cloned().unwrap_or_default();
        let transaction = session.start_transaction();
        transaction.write_concern(majority).await?;
        let removed = self.remove_within(&mut session, id, chunks).await;
        match removed {
            Ok(()) => session.commit_transaction().await,
            Err(err) => {
                // If this fails, the server ends the transaction by itself.
                session.abort_transaction().await.unwrap_or_default();
                Err(err)
            }
        }
    }

    async fn remove_within(
        &self,
        session: &mut ClientSession,
        id: Bson,
        chunks: Vec<Bson>,
    ) -> Result<(), DriverError> {
        let file = RawDocumentBuf::try_from(&doc! { "_id": id.clone() })?;
        self.files().insert_one(file).session(&mut *session).await?;
        // The filter has the shard key, so that a router asks one shard and not all.
        let mut filter = document::is("files_id", &id);
        filter.insert("_id", doc! { "$in": chunks });
        self.chunks()
            .delete_many(filter)
            .session(&mut *session)
            .await?;
        self.files()
            .delete_one(document::is("_id", &id))
            .session(session)
            .await?;
        Ok(())
    }
}
