//! Messages that are being deleted, and files that are dying. If a process stops half-way, another
//! one finds them here.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadPreference};

use super::wanted_index::Wanted;
use super::{Bucket, belonging, document, error};
use crate::file::FileId;
use crate::message::Message;
use crate::store::{Dying, StoreError};

impl Bucket {
    /// Marks the package of a message as dying; a package with the mark stays as it is.
    pub(super) async fn mark_dying(&self, message: FileId) -> Result<Option<Message>, StoreError> {
        self.require_fit_server().await?;
        let id = Bson::ObjectId(document::object_id(message));
        let mut filter = document::is("_id", &id);
        // Another writer's file is not ours to mark, and a part is no message.
        filter.insert("metadata.gridspool", doc! { "$exists": true });
        filter.insert("metadata.message", id);
        let dying = doc! { "$ifNull": ["$metadata.dying", "$$NOW"] };
        let pipeline = vec![Bson::from(doc! { "$set": { "metadata.dying": dying } })];
        let fields = doc! { "metadata": 1 };
        let name = self.files().name().to_owned();
        let marked = self.find_and_modify(&name, filter, pipeline.into(), fields);
        let Some(file) = marked.await.map_err(|err| error::of_commit(&err))? else {
            return Ok(None);
        };
        let file = RawDocumentBuf::try_from(&file).ok();
        let read = file.and_then(|file| belonging::read_message(&file));
        read.map(Some)
            .ok_or_else(|| StoreError::Damaged(format!("{message} is no message that can be read")))
    }

    /// Finds some files that are dying, and some tombstones that are not cleared.
    ///
    /// 1. Files by their mark.
    /// 2. Tombstones, as far as there is room.
    ///
    /// Each question names its index, which holds only such files: without it MongoDB would read
    /// every files document.
    pub(super) async fn find_dying(&self, most: u32) -> Result<Vec<Dying>, StoreError> {
        // Files of other writers would block the list for ever.
        let is_dying = doc! {
            "metadata.dying": { "$exists": true },
            "metadata.gridspool": { "$exists": true },
        };
        let files = self.find_some(Wanted::Dying, is_dying, most).await?; // 1
        let mut dying: Vec<_> = files.iter().filter_map(read_dying).collect();
        let room = most.saturating_sub(u32::try_from(files.len()).unwrap_or(u32::MAX));
        if room > 0 {
            let is_open = doc! { "cleared": false };
            let open = self.find_some(Wanted::OpenTombstone, is_open, room).await?; // 2
            let ids = open
                .iter()
                .filter_map(|tombstone| tombstone.get_object_id("_id").ok());
            dying.extend(ids.map(|id| Dying::File(FileId::from_bytes(id.bytes()))));
        }
        Ok(dying)
    }

    async fn find_some(
        &self,
        by: Wanted,
        filter: Document,
        most: u32,
    ) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let collection = self.connection.part(by.part(), ReadPreference::Primary);
        let patience = self.server_time();
        let found = self.bounded(async move {
            let find = collection.find(filter).limit(most.into());
            let find = find.hint(Hint::Keys(by.keys()));
            find.max_time(patience).await?.try_collect().await
        });
        found.await.map_err(|err| error::of_read(&err))
    }
}

/// Returns whether a document is that of a dying file of ours: nobody finds such a file any more.
pub(super) fn goes(file: &RawDocument) -> bool {
    belonging::is_dying(file) && document::is_ours(file)
}

/// Returns `None` for a file of another writer, with any fields. It also returns `None` for a package
/// that cannot be read, because only the package names its parts.
fn read_dying(file: &RawDocumentBuf) -> Option<Dying> {
    let id = file.get_object_id("_id").ok()?;
    if !document::is_ours(file) {
        return None;
    }
    let id = FileId::from_bytes(id.bytes());
    match belonging::read_message(file) {
        Some(message) => Some(Dying::Package(id, message)),
        None if belonging::is_package(file) => {
            log::error!("{id}: the package of a deleted message cannot be read, and stays");
            None
        }
        None => Some(Dying::File(id)),
    }
}
