//! Writes, as plain commands: the driver's own writes have no bound on MongoDB's time.
//!
//! A write that ran longer than its caller waits would go on beside the next attempt, and beside
//! all later ones. So each write carries `maxTimeMS`, and a shorter bound on the wait for a
//! majority: if there is none, MongoDB itself says so.
//!
//! Each of these writes may happen twice, unless it has [`Care::Once`], and the second one finds the
//! effect of the first. So a write that met a broken connection, or a member that is no primary any
//! more, is tried once more, as the driver does with its own writes.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, RawDocumentBuf, deserialize_from_document, doc};
use mongodb::error::{Error as DriverError, ErrorKind, InsertManyError};

use super::{Bucket, document, error};

/// The way in which a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// With a majority. It may be tried twice.
    Majority,
    /// With a majority. It is tried once.
    Once,
    /// On the primary alone, which may lose it. It may be tried twice.
    Primary,
}

/// The outcome of a delete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deleted {
    pub(super) is_any: bool,
    /// The answer to the first try was lost; that try may have deleted everything.
    pub(super) is_second_try: bool,
}

impl Bucket {
    /// Inserts documents, unordered: a refused document does not hinder the others. The accepted
    /// ones have a majority at the end.
    ///
    /// # Errors
    /// The errors of the driver's `insert_many`.
    pub(super) async fn insert(
        &self,
        collection: &str,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<(), DriverError> {
        let (bucket, collection) = (self.clone(), collection.to_owned());
        self.bounded(async move {
            let command = |patience| {
                let mut head = doc! { "insert": &collection, "ordered": false };
                head.extend(bounds(patience, Care::Majority));
                let head = RawDocumentBuf::try_from(&head)?;
                Ok(document::with_documents(&head, &documents)?)
            };
            bucket.write(command, Care::Majority).await.map(|_| ())
        })
        .await
    }

    /// Deletes one document, or all that match, with a majority.
    ///
    /// # Errors
    /// The errors of the driver's `delete_many`.
    pub(super) async fn delete(
        &self,
        collection: &str,
        filter: Document,
        is_one: bool,
    ) -> Result<Deleted, DriverError> {
        let delete = doc! { "q": filter, "limit": i32::from(is_one) };
        self.delete_by(collection, delete).await
    }

    /// Carries out one statement of the command `delete`, with a majority.
    ///
    /// # Errors
    /// The errors of the driver's `delete_many`.
    pub(super) async fn delete_by(
        &self,
        collection: &str,
        delete: Document,
    ) -> Result<Deleted, DriverError> {
        let (bucket, collection) = (self.clone(), collection.to_owned());
        self.bounded(async move {
            let command = |patience| {
                let mut command = doc! { "delete": &collection, "deletes": [delete.clone()] };
                command.extend(bounds(patience, Care::Majority));
                Ok(RawDocumentBuf::try_from(&command)?)
            };
            let (reply, is_second_try) = bucket.write(command, Care::Majority).await?;
            Ok(Deleted {
                is_any: reply.get_i32("n").is_ok_and(|count| count > 0),
                is_second_try,
            })
        })
        .await
    }

    /// Changes one document, with a majority. Returns whether it existed or was made.
    ///
    /// # Errors
    /// The errors of the driver's `update_one`.
    pub(super) async fn change(
        &self,
        collection: &str,
        filter: Document,
        change: Bson,
        is_upsert: bool,
    ) -> Result<bool, DriverError> {
        let update = doc! { "q": filter, "u": change, "upsert": is_upsert };
        let changed = self.update_by(collection, update, Care::Majority);
        Ok(changed.await? > 0)
    }

    /// Changes all documents that match, which MongoDB finds by the index with these fields. Returns
    /// their number.
    ///
    /// # Errors
    /// The errors of the driver's `update_many`.
    pub(super) async fn change_all(
        &self,
        collection: &str,
        filter: Document,
        by: Document,
        change: Bson,
        care: Care,
    ) -> Result<u64, DriverError> {
        let update = doc! { "q": filter, "u": change, "multi": true, "hint": by };
        self.update_by(collection, update, care).await
    }

    async fn update_by(
        &self,
        collection: &str,
        update: Document,
        care: Care,
    ) -> Result<u64, DriverError> {
        let (bucket, collection) = (self.clone(), collection.to_owned());
        self.bounded(async move {
            let command = |patience| {
                let mut command = doc! { "update": &collection, "updates": [update.clone()] };
                command.extend(bounds(patience, care));
                Ok(RawDocumentBuf::try_from(&command)?)
            };
            let (reply, _) = bucket.write(command, care).await?;
            let count = reply.get_i32("n").map(u64::try_from);
            Ok(count.ok().and_then(Result::ok).unwrap_or_default())
        })
        .await
    }

    /// Changes one document with a majority, and returns some of its fields; `None` if there was
    /// none.
    ///
    /// # Errors
    /// The errors of the driver's `find_one_and_update`.
    pub(super) async fn find_and_modify(
        &self,
        collection: &str,
        filter: Document,
        change: Bson,
        fields: Document,
    ) -> Result<Option<Document>, DriverError> {
        let (bucket, collection) = (self.clone(), collection.to_owned());
        self.bounded(async move {
            let command = |patience| {
                let mut command = doc! {
                    "findAndModify": &collection, "query": filter.clone(), "update": change.clone(),
                    "fields": fields.clone(), "new": true,
                };
                command.extend(bounds(patience, Care::Majority));
                Ok(RawDocumentBuf::try_from(&command)?)
            };
            let (reply, _) = bucket.write(command, Care::Majority).await?;
            Ok(reply.get_document("value").ok().cloned())
        })
        .await
    }

    /// Runs a write, and tries once more if another connection may do better. Both tries together
    /// take no longer than one may.
    async fn write(
        &self,
        command: impl Fn(Duration) -> Result<RawDocumentBuf, DriverError>,
        care: Care,
    ) -> Result<(Document, bool), DriverError> {
        let begun = Instant::now();
        let once = async |patience| {
            let database = self.connection.database();
            judged(database.run_raw_command(command(patience)?).await?)
        };
        match once(self.server_time()).await {
            Err(err) if error::is_passing(&err) && care != Care::Once => {
                let left = self.server_time().saturating_sub(begun.elapsed());
                if left.as_millis() == 0 {
                    return Err(err);
                }
                Ok((once(left).await?, true))
            }
            done => Ok((done?, false)),
        }
    }
}

/// Returns the time that MongoDB may take, and the part of it for a majority.
fn bounds(patience: Duration, care: Care) -> Document {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let concern = match care {
        Care::Majority | Care::Once => {
            doc! { "w": "majority", "j": true, "wtimeout": millis(patience * 3 / 4).max(1) }
        }
        Care::Primary => doc! { "w": 1 },
    };
    doc! { "maxTimeMS": millis(patience), "writeConcern": concern }
}

/// Returns the reply, unless it reports an error.
fn judged(reply: Document) -> Result<Document, DriverError> {
    if !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError") {
        return Ok(reply);
    }
    let failed: InsertManyError = deserialize_from_document(reply)?;
    Err(ErrorKind::InsertMany(failed).into())
}
