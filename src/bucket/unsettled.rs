//! The links of files that a journal has not settled yet, which only that journal knows; and files
//! that a message refers to.

use mongodb::bson::{Bson, doc};

use super::{Bucket, belonging, document, dying, error};
use crate::file::{FileId, FileKey};
use crate::message::Belonging;
use crate::store::{Cause, Messages as _, StoreError, StoredPart};

impl Bucket {
    /// Writes the links that the journal knows to a file that the store has already. Nobody else
    /// adds or takes links until the journal has settled the file. A dying file gets none.
    pub(super) async fn renew_links(
        &self,
        id: FileId,
        belonging: &Belonging,
    ) -> Result<(), StoreError> {
        let links = belonging.links.iter().copied().map(document::object_id);
        let links: Vec<_> = links.map(Bson::ObjectId).collect();
        let bson = Bson::ObjectId(document::object_id(id));
        if links.is_empty() {
            let file = self.find_by_id("files", &bson).await?;
            if file.is_none_or(|file| belonging::count_links(&file) == 0) {
                return Ok(());
            }
        }
        let mut filter = document::is("_id", &bson);
        filter.insert("metadata.gridspool", doc! { "$exists": true });
        filter.insert("metadata.dying", doc! { "$exists": false });
        let change = match (links.is_empty(), belonging.was_linked) {
            (true, _) => doc! { "$unset": { "metadata.links": "" } },
            (false, false) => doc! { "$set": { "metadata.links": links } },
            (false, true) => doc! {
                "$set": { "metadata.links": links, "metadata.was_linked": true },
            },
        };
        let name = self.files().name().to_owned();
        self.update(&name, filter, change.into()).await.map(drop)
    }

    /// Takes all links of a file away, and then removes the file.
    pub(super) async fn discard_file(&self, id: FileId) -> Result<(), StoreError> {
        let mut filter = document::is("_id", &Bson::ObjectId(document::object_id(id)));
        filter.insert("metadata.gridspool", doc! { "$exists": true });
        filter.insert("metadata.links.0", doc! { "$exists": true });
        let pipeline = [doc! { "$set": { "metadata.links": [] } }, dying::mark()];
        let pipeline = pipeline.map(Bson::from).to_vec();
        let name = self.files().name().to_owned();
        let changed = self.change(&name, filter, pipeline.into(), false).await;
        if changed.map_err(|err| error::of_commit(&err))? {
            self.remove_dying(id, Cause::Unlinked).await?;
        }
        Ok(())
    }

    pub(super) async fn find_part(&self, id: FileId) -> Result<Option<StoredPart>, StoreError> {
        let bson = Bson::ObjectId(document::object_id(id));
        let found = self.find_by_id("files", &bson).await?;
        let found = found.filter(|file| document::is_ours(file) && !belonging::is_dying(file));
        let found = found.filter(|file| belonging::read_message(file).is_none());
        let part = found.map(|file| {
            Ok(StoredPart {
                file: document::read_file(&FileKey::Id(id), &file)?,
                sub: belonging::read_sub(&file),
            })
        });
        part.transpose()
    }
}
