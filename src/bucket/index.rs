//! The two indexes that the GridFS specification asks for, made before the first chunk.

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::{Bucket, error, words};
use crate::store::StoreError;

impl Bucket {
    /// Makes both indexes, once in the life of this process.
    ///
    /// `{files_id, n}` is unique: writing a chunk twice is then an error that tells us so, and
    /// never a second chunk. Another driver may have made it without `unique`; it is converted.
    ///
    /// # Errors
    /// `Unavailable`; the next call tries again.
    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        self.indexes
            .get_or_try_init(|| async {
                let files = self.files();
                let by_name = model(doc! { "filename": 1, "uploadDate": 1 }, false);
                // This one only serves other drivers' searches by name.
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
            })
            .await
            .copied()
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

fn chunk_key() -> Document {
    doc! { "files_id": 1, "n": 1 }
}

fn model(keys: Document, is_unique: bool) -> IndexModel {
    let options = IndexOptions::builder().unique(is_unique.then_some(true));
    IndexModel::builder()
        .keys(keys)
        .options(options.build())
        .build()
}
