//! The messages that are dying, for readers of lists.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::options::Hint;

use super::Bucket;
use super::wanted_index::Wanted;
use crate::file::FileId;

/// The most dying messages that a reader knows. If there are more, it reads packages.
const MOST_DYING: usize = 1000;

/// Messages that are being deleted.
pub(super) type DyingMessages = Arc<HashSet<FileId>>;

impl Bucket {
    /// Finds the dying messages of the whole bucket; `None` if the question failed, or if there are many.
    pub(super) async fn dying_messages(&self) -> Option<DyingMessages> {
        let (files, patience) = (self.files(), self.server_time());
        let found = self.bounded(async move {
            let find = files
                .find(doc! { "metadata.dying": { "$exists": true } })
                .hint(Hint::Keys(Wanted::Dying.keys()))
                .projection(doc! { "_id": 1 })
                .limit(i64::try_from(MOST_DYING).unwrap_or(i64::MAX))
                .max_time(patience);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        });
        let found = found.await;
        let found = found.inspect_err(|err| log::debug!("which messages are dying: {err}"));
        let found = found.ok().filter(|found| found.len() < MOST_DYING)?;
        let ids = found
            .iter()
            .filter_map(|file| file.get_object_id("_id").ok());
        let ids = ids.map(|id| FileId::from_bytes(id.bytes()));
        Some(Arc::new(ids.collect()))
    }
}
