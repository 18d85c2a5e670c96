//! Packages of messages that are committed: the lists of their receivers.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;

use super::{Bucket, document, error};
use crate::file::FileId;
use crate::message::Message;
use crate::store::{Promised, StoreError};

/// The package of a message that is committed.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) id: FileId,
    message: Arc<Message>,
    /// Its bytes, parts included.
    bytes: u64,
}

impl Package {
    /// `None` if it is another file.
    pub(super) fn of(promised: &Promised) -> Option<Self> {
        let message = promised.belonging.package.clone()?;
        let parts = message.parts.iter().map(|part| part.length);
        let bytes = parts.fold(promised.meta.length, u64::saturating_add);
        Some(Self {
            id: promised.id,
            message,
            bytes,
        })
    }
}

impl Bucket {
    /// Puts messages into the lists of their receivers, when their documents have a majority.
    ///
    /// 1. They are entered.
    /// 2. Those whose documents are gone or dying by now leave the lists again. Whoever deletes a message marks
    ///    its document first and clears the lists then: one of the two finds what the other has done.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: do it again, or a reader may miss them.
    pub(super) async fn enter_packages(&self, packages: &[Package]) -> Result<(), StoreError> {
        if packages.is_empty() {
            return Ok(());
        }
        let (mut entries, mut ids) = (Vec::new(), Vec::new());
        for package in packages {
            ids.push(document::object_id(package.id));
            for receiver in package.message.to.iter() {
                entries.push((package.id, package.bytes, receiver));
            }
        }
        self.enter_all(&entries).await?; // 1
        let alive = self.alive(ids).await?;
        self.leave_lists(packages, |id| !alive.contains(&id)).await // 2
    }

    /// Takes those messages out of the lists that leave.
    pub(super) async fn leave_lists(
        &self,
        packages: &[Package],
        leaves: impl Fn(FileId) -> bool,
    ) -> Result<(), StoreError> {
        for package in packages {
            if leaves(package.id) {
                self.leave_all(package.id, &package.message.to).await?;
            }
        }
        Ok(())
    }

    /// Those of these files that are there, and not dying.
    async fn alive(&self, ids: Vec<ObjectId>) -> Result<HashSet<FileId>, StoreError> {
        let files = self.files();
        let patience = self.server_time();
        let found = self.bounded(async move {
            let filter = doc! { "_id": { "$in": ids }, "metadata.dying": { "$exists": false } };
            let find = files.find(filter).projection(doc! { "_id": 1 });
            let found = find.max_time(patience).await?;
            found.try_collect::<Vec<_>>().await
        });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        let ids = found
            .iter()
            .filter_map(|file| file.get_object_id("_id").ok());
        Ok(ids.map(|id| FileId::from_bytes(id.bytes())).collect())
    }
}
