//! Files of other writers that may be replaced under their ids while somebody reads them.

use mongodb::bson::{Bson, RawDocument, RawDocumentBuf, cstr, doc};

use super::foreign::revision;
use super::{Bucket, document, error};
use crate::store::{StoreError, StoredFile};

impl Bucket {
    /// Sees that chunks which were read just now are those of the file as it was described: whoever
    /// replaces a file takes its document away before its chunks. One of ours is never replaced.
    ///
    /// # Errors
    /// `Unavailable`: it has been replaced, or nobody can tell.
    pub(super) async fn require_same(&self, file: &StoredFile) -> Result<(), StoreError> {
        let Some(known) = file.meta.revision else {
            return Ok(());
        };
        let (files, id) = (self.files(), document::id_of(file)?);
        let found = self.bounded(async move { files.find_one(document::is("_id", &id)).await });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        let found = match found {
            Some(found) => Some(self.told_apart(found).await?),
            None => None,
        };
        if found.is_some_and(|found| revision(&found) == known) {
            Ok(())
        } else {
            let key = &file.key;
            Err(StoreError::Unavailable(format!(
                "{key:?} was replaced while it was read"
            )))
        }
    }

    /// A document with what tells its content apart from others that stood under its id. Without a digest,
    /// and with a date that stays, two may have the same document: then it is the `_id` of the first chunk,
    /// which is a new one whenever a driver writes the file.
    ///
    /// # Errors
    /// As [`crate::store::Store::find`].
    pub(super) async fn told_apart(
        &self,
        mut file: RawDocumentBuf,
    ) -> Result<RawDocumentBuf, StoreError> {
        let id = file.get("_id").ok().flatten();
        let id = id.and_then(|id| Bson::try_from(id).ok());
        let Some(id) = id.filter(|_| !document::is_ours(&file) && !has_digest(&file)) else {
            return Ok(file);
        };
        let mut filter = document::is("files_id", &id);
        filter.insert("n", 0);
        let chunks = self.chunks();
        let find = self.bounded(async move {
            let find = chunks.find_one(filter);
            find.projection(doc! { "_id": 1 }).await
        });
        let first = find.await.map_err(|err| error::of_read(&err))?;
        if let Some(id) = first.as_ref().and_then(|first| first.get("_id").ok()?) {
            file.append(cstr!("first chunk"), id);
        }
        Ok(file)
    }
}

/// Whether a document says of its content what no other content has.
fn has_digest(document: &RawDocument) -> bool {
    let sha256 = || document::digest(document.get_document("metadata").ok()?);
    document.get_str("md5").is_ok() || sha256().is_some()
}
