//! A lease. One of several nodes holds it and does some work; if that node dies, another one goes
//! on.

use std::time::Duration;

use mongodb::bson::{DateTime, doc};
use mongodb::options::ReturnDocument;

use super::{Bucket, error};
use crate::store::StoreError;

/// The id of the lease of the indexes, a document in the collection of the nodes.
const ID: &str = "indexes";

impl Bucket {
    /// Takes the lease for a time, or renews it; a time of zero gives it back. Returns whether this
    /// instance holds it now. Times are those of MongoDB's clock.
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
