//! Detects that another writer replaces a file under its id while a reader reads it.

use mongodb::bson::{Bson, RawDocument, RawDocumentBuf, cstr, doc};

use super::foreign::revision;
use super::{Bucket, document, error};
use crate::store::{StoreError, StoredFile};

impl Bucket {
    /// Checks that chunks which were read just now belong to the file as it was described. A writer
    /// that replaces a file deletes its document before its chunks. A file of ours is never
    /// replaced.
    ///
    /// # Errors
    /// `Unavailable`: it has been replaced, or MongoDB does not answer.
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

    /// Returns a document with a value that distinguishes its content from other contents under its
    /// id. Without a digest, and with a date that stays, two contents may have the same document.
    /// Then this value is the `_id` of the first chunk: a driver makes a new one whenever it writes
    /// the file.
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

/// Returns whether a document has a digest of its content.
fn has_digest(document: &RawDocument) -> bool {
    let sha256 = || document::digest(document.get_document("metadata").ok()?);
    document.get_str("md5").is_ok() || sha256().is_some()
}
