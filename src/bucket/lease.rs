//! A lease: of several nodes one does some work, and another one goes on if it dies.

use std::time::Duration;

use mongodb::bson::{DateTime, doc};
use mongodb::options::ReturnDocument;

use super::{Bucket, error};
use crate::store::StoreError;

/// The lease of the indexes, a document beside the words of the nodes.
const ID: &str = "indexes";

impl Bucket {
    /// Takes the lease for a while, or renews it; with no time it is given back. Returns whether it is this
    /// instance's: another one may have it. Times are those of MongoDB's clock.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn take_lease(
        &self,
        instance: &str,
        time: Duration,
    ) -> Result<bool, StoreError> {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let epoch = DateTime::from_millis(0);
        let until = doc! { "$ifNull": ["$until", epoch] };
        let is_free = doc! { "$or": [
            { "$eq": ["$by", { "$literal": instance }] },
            { "$lt": [until, "$$NOW"] },
        ] };
        let change = doc! { "$set": {
            "by": { "$cond": [is_free.clone(), { "$literal": instance }, "$by"] },
            "until": { "$cond": [is_free, { "$add": ["$$NOW", millis] }, "$until"] },
        } };
        let nodes = self.connection.nodes();
        let taken = self.bounded(async move {
            let taken = nodes.find_one_and_update(doc! { "_id": ID }, vec![change]);
            let taken = taken.upsert(true);
            taken.return_document(ReturnDocument::After).await
        });
        let taken = taken.await.map_err(|err| error::of_read(&err))?;
        Ok(taken.is_some_and(|lease| lease.get_str("by").is_ok_and(|by| by == instance)))
    }
}
