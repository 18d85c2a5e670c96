//! Deletes of files whose owners do not answer, as [`crate::linking`] tells them: the statement of each
//! node about its settled files, and the count of such deletes, in the documents of nodes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, RawDocumentBuf, doc};

use super::{Bucket, belonging, document, error};
use crate::file::{FileId, UnixMillis};
use crate::store::{OwnerlessDelete, StoreError};

/// An attempt to commit that takes longer looks for tombstones behind itself, as each repeated attempt
/// does: others may have deleted the file since it was written. A file is not deleted without its owner
/// before it is much older.
const LONG_ATTEMPT: Duration = Duration::from_secs(30);

/// Whether an attempt that began then has taken long.
pub(super) fn is_long(begun: Instant) -> bool {
    begun.elapsed() > LONG_ATTEMPT
}

impl Bucket {
    /// Marks a file as dying, if its owner has settled all files of its age.
    pub(super) async fn mark_settled_as_dying(
        &self,
        owner: u16,
        file: FileId,
    ) -> Result<OwnerlessDelete, StoreError> {
        self.require_fit_server().await?;
        let (nodes, patience) = (self.connection.nodes(), self.server_time());
        let stated = self.bounded(async move {
            let node = nodes.find_one(doc! { "_id": i32::from(owner) });
            node.max_time(patience).await
        });
        let stated = stated.await.map_err(|err| error::of_read(&err))?;
        let before = stated.and_then(|stated| stated.get_datetime("settled_before").ok().copied());
        let Some(before) = before else {
            return Ok(OwnerlessDelete::Unsettled);
        };
        let id = Bson::ObjectId(document::object_id(file));
        let is_young = DateTime::from_system_time(file.made_at()) >= before;
        let mut filter = document::is("_id", &id);
        filter.insert("metadata.gridspool", doc! { "$exists": true });
        filter.insert("uploadDate", doc! { "$lt": before });
        filter.insert("metadata.links.0", doc! { "$exists": false });
        filter.insert("metadata.message", doc! { "$ne": id.clone() });
        if !is_young && self.mark_if(filter).await? {
            return Ok(OwnerlessDelete::Begun);
        }
        let Some(found) = self.find_by_id("files", &id).await? else {
            let is_gone = self.tombstones(&[file]).await?.contains(&file);
            return Ok(if is_gone {
                OwnerlessDelete::Before
            } else {
                OwnerlessDelete::Unsettled
            });
        };
        let uploaded = found.get_datetime("uploadDate");
        let is_settled = !is_young && uploaded.is_ok_and(|uploaded| uploaded < before);
        let has_links = belonging::count_links(&found) > 0 || belonging::is_package(&found);
        Ok(if is_settled && has_links && document::is_ours(&found) {
            OwnerlessDelete::Linked
        } else {
            OwnerlessDelete::Unsettled
        })
    }

    /// Adds one to the count of deletes of a node's files without it.
    pub(super) async fn count_delete_of(&self, owner: u16) -> Result<(), StoreError> {
        let name = self.connection.nodes().name().to_owned();
        let filter = doc! { "_id": i32::from(owner) };
        let change = doc! { "$inc": { "deletes": 1_i64 } };
        self.upsert(&name, filter, change.into()).await.map(drop)
    }

    /// Writes a node's statement, and returns the count of deletes of its files.
    pub(super) async fn state_settled_before(
        &self,
        node: u16,
        before: UnixMillis,
    ) -> Result<u64, StoreError> {
        let name = self.connection.nodes().name().to_owned();
        let before = i64::try_from(before.0).unwrap_or_default();
        let change = doc! { "$set": { "settled_before": DateTime::from_millis(before) } };
        let filter = doc! { "_id": i32::from(node) };
        let stated = self.find_and_modify(&name, filter, change.into(), doc! { "deletes": 1 });
        let stated = stated.await.map_err(|err| error::of_commit(&err))?;
        let count = stated.and_then(|stated| stated.get_i64("deletes").ok());
        Ok(count
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or_default())
    }

    /// Returns those of these files that have a tombstone or are dying.
    pub(super) async fn dying_or_entombed(
        &self,
        ids: Vec<FileId>,
    ) -> Result<HashSet<FileId>, StoreError> {
        let mut gone = self.tombstones(&ids).await?;
        let ids: Vec<_> = ids.into_iter().map(document::object_id).collect();
        let (files, patience) = (self.files(), self.server_time());
        let found = self.bounded(async move {
            let find = files.find(doc! {
                "_id": { "$in": ids },
                "metadata.dying": { "$exists": true },
            });
            let find = find.max_time(patience);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        // A package that is dying is the note of a delete that its owner takes part in.
        let dying = found
            .iter()
            .filter(|file| document::is_ours(file) && !belonging::is_package(file));
        let dying = dying.filter_map(|file| file.get_object_id("_id").ok());
        gone.extend(dying.map(|id| FileId::from_bytes(id.bytes())));
        Ok(gone)
    }
}
