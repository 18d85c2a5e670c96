//! The nodes whose files other nodes answer for: the field `rescued_by` in the documents of nodes.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};

use super::{Bucket, error};
use crate::store::StoreError;

impl Bucket {
    /// Writes who answers for these nodes.
    pub(super) async fn note_rescuer(&self, numbers: Vec<u16>, by: u16) -> Result<(), StoreError> {
        let name = self.connection.nodes().name().to_owned();
        for number in numbers {
            let filter = doc! { "_id": i32::from(number) };
            let change = doc! { "$set": { "rescued_by": i32::from(by) } };
            self.upsert(&name, filter, change.into()).await?;
        }
        Ok(())
    }

    /// Returns all nodes that another one answers for.
    pub(super) async fn find_rescued(&self) -> Result<BTreeMap<u16, u16>, StoreError> {
        let (nodes, patience) = (self.connection.nodes(), self.server_time());
        let found = self.bounded(async move {
            let find = nodes.find(doc! { "rescued_by": { "$exists": true } });
            find.max_time(patience)
                .await?
                .try_collect::<Vec<Document>>()
                .await
        });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        let number = |node: &Document, name: &str| u16::try_from(node.get_i32(name).ok()?).ok();
        let pairs = found.iter();
        Ok(pairs
            .filter_map(|node| Some((number(node, "_id")?, number(node, "rescued_by")?)))
            .collect())
    }
}
