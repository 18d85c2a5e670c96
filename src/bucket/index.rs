//! The two indexes that the GridFS specification asks for, made before the first chunk.

use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;

use super::{Bucket, error, words};
use crate::store::StoreError;

impl Bucket {
    /// Makes sure that both indexes exist, unless they were seen in this very collection.
    ///
    /// # Errors
    /// `Unavailable`; the next call tries again.
    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        if self.indexes.lock().await.is_some() {
            return Ok(());
        }
        self.look_at_indexes().await
    }

    /// Makes sure that both indexes exist, when the connection, the database or the collection may
    /// be new. It asks MongoDB which collection of chunks it has. The UUID tells a collection from
    /// another one of the same name.
    ///
    /// 1. The UUID is read before the indexes are made: if another collection takes the place of this
    ///    one meanwhile, the next call sees that.
    /// 2. If the indexes of this UUID were not seen yet, both are made. This changes nothing where they
    ///    exist.
    ///
    /// # Errors
    /// As [`Bucket::ensure_indexes`].
    pub(super) async fn look_at_indexes(&self) -> Result<(), StoreError> {
        let mut seen = self.indexes.lock().await;
        let collection = self.chunks_uuid().await?; // 1
        if seen.as_ref() != Some(&collection) {
            *seen = None;
            *self.has_inbox_index.lock().await = false;
            self.make_indexes().await?; // 2
            *seen = Some(collection);
            self.more_indexes.doubt();
        }
        Ok(())
    }

    /// Lets the next commit check the indexes before it writes.
    pub(super) async fn forget_indexes(&self) {
        *self.indexes.lock().await = None;
        *self.has_inbox_index.lock().await = false;
        self.more_indexes.doubt();
    }

    /// The UUID of the collection of chunks; null if there is none.
    async fn chunks_uuid(&self) -> Result<Bson, StoreError> {
        let database = self.connection.database();
        let list = doc! { "listCollections": 1, "filter": { "name": self.chunks().name() } };
        let listed = self.bounded(async move { database.run_command(list).await });
        let listed = listed.await.map_err(|err| error::of_read(&err))?;
        let uuid = || {
            let found = listed.get_document("cursor").ok()?.get_array("firstBatch");
            let collection = found.ok()?.first()?.as_document()?;
            collection.get_document("info").ok()?.get("uuid").cloned()
        };
        Ok(uuid().unwrap_or(Bson::Null))
    }

    /// Makes both indexes.
    ///
    /// `{files_id, n}` is unique, so writing a chunk twice is an error and never makes a second chunk.
    /// If another driver made the index without `unique`, it is converted.
    async fn make_indexes(&self) -> Result<(), StoreError> {
        let files = self.files();
        let by_name = model(doc! { "filename": 1, "uploadDate": 1 }, false);
        // This index only serves other drivers' searches by name.
        match self
            .bounded(async move { files.create_index(by_name).await })
            .await
        {
            Err(err) if !error::is_index_conflict(&err) => {
                return Err(error::of_read(&err));
            }
            _ => {}
        }
        let chunks = self.chunks();
        let by_chunk = model(chunk_key(), true);
        match self
            .bounded(async move { chunks.create_index(by_chunk).await })
            .await
        {
            Err(err) if error::is_index_conflict(&err) => self.make_unique().await,
            made => made.map(|_| ()).map_err(|err| error::of_read(&err)),
        }
    }

    /// Converts a plain `{files_id, n}` index into a unique one (collMod, MongoDB 6.0 and later).
    async fn make_unique(&self) -> Result<(), StoreError> {
        log::warn!(
            "{}: the index on files_id and n is not unique; converting it",
            self.chunks().name()
        );
        for option in ["prepareUnique", "unique"] {
            let command = doc! {
                "collMod": self.chunks().name(),
                "index": { "keyPattern": chunk_key(), option: true },
            };
            let database = self.connection.database();
            self.bounded(async move { database.run_command(command).await })
                .await
                .map_err(|err| {
                    StoreError::Unavailable(format!(
                        "the index on files_id and n of {} is not unique and cannot be converted \
                         ({}); replace it by a unique one",
                        self.chunks().name(),
                        words::of(&err)
                    ))
                })?;
        }
        Ok(())
    }
}

/// The key of the unique index.
pub(super) fn chunk_key() -> Document {
    doc! { "files_id": 1, "n": 1 }
}

fn model(keys: Document, is_unique: bool) -> IndexModel {
    let options = IndexOptions::builder().unique(is_unique.then_some(true));
    IndexModel::builder()
        .keys(keys)
        .options(options.build())
        .build()
}
