//! Finds files by the subject of the token that they were uploaded with.

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::options::Hint;

use super::wanted_index::Wanted;
use super::{Bucket, document, error};
use crate::file::{FileId, FileKey};
use crate::store::{StoreError, SubjectPage, Subjects};

/// No id is greater than this one.
const LAST: ObjectId = ObjectId::from_bytes([0xff; FileId::BYTES]);

impl Subjects for Bucket {
    fn files_of<'a>(
        &'a self,
        sub: &'a str,
        before: Option<FileId>,
        most: u32,
    ) -> BoxFuture<'a, Result<SubjectPage, StoreError>> {
        self.page_of(sub, before, most).boxed()
    }
}

impl Bucket {
    /// The question names its index: without the index MongoDB would read every files document. A
    /// page ends at the last document that was found, even if that document is left out.
    async fn page_of(
        &self,
        sub: &str,
        before: Option<FileId>,
        most: u32,
    ) -> Result<SubjectPage, StoreError> {
        let below = before.map(|before| doc! { "$lt": document::object_id(before) });
        let range = below.unwrap_or_else(|| doc! { "$lte": LAST });
        let filter = doc! {
            "metadata.sub": sub,
            "_id": range,
            "metadata.dying": { "$exists": false },
        };
        // These fields may be long, and the list does not show them.
        let fields = ["fields", "links", "parts", "to"];
        let fields = fields.map(|field| (format!("metadata.{field}"), 0.into()));
        let (files, patience) = (self.files(), self.server_time());
        let found = self.bounded(async move {
            let find = files
                .find(filter)
                .sort(doc! { "_id": -1 })
                .hint(Hint::Keys(Wanted::Subject.keys()))
                .projection(fields.into_iter().collect::<mongodb::bson::Document>())
                .limit(most.into())
                .batch_size(most.saturating_add(1))
                .max_time(patience);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        let ids = found.iter().map(|file| file.get_object_id("_id").ok());
        let ids: Vec<_> = ids
            .map(|id| id.map(|id| FileId::from_bytes(id.bytes())))
            .collect();
        let is_full = u32::try_from(found.len()).is_ok_and(|found| found >= most);
        let next = ids.last().copied().flatten().filter(|_| is_full);
        let described = found.iter().zip(ids).filter_map(|(file, id)| {
            let id = id?;
            let read = document::read_file(&FileKey::Id(id), file);
            // Perhaps another writer made this document.
            let read = read.inspect_err(|err| log::debug!("{id} is not listed: {err}"));
            Some((id, read.ok()?.meta))
        });
        Ok(SubjectPage {
            files: described.collect(),
            next,
        })
    }
}
