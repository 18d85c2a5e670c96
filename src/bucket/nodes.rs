//! Registers the process that uses a node number: one document for each number, beside the bucket's
//! collections.

use mongodb::bson::doc;
use mongodb::options::ReturnDocument;

use super::{Bucket, error};
use crate::store::StoreError;

impl Bucket {
    /// Registers a process under a node number, and returns the process that was registered before.
    ///
    /// # Errors
    /// As [`crate::store::Store::announce`].
    pub(super) async fn announce_node(
        &self,
        node: u16,
        instance: String,
    ) -> Result<Option<String>, StoreError> {
        let nodes = self.connection.nodes();
        let before = self
            .bounded(async move {
                let update = doc! {
                    "$set": { "instance": instance },
                    "$currentDate": { "seen": true },
                };
                nodes
                    .find_one_and_update(doc! { "_id": i32::from(node) }, update)
                    .upsert(true)
                    .return_document(ReturnDocument::Before)
                    .await
            })
            .await
            .map_err(|err| error::of_read(&err))?;
        let instance = before.and_then(|before| before.get_str("instance").map(str::to_owned).ok());
        Ok(instance)
    }
}
