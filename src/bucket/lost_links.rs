//! Links of files to messages that no longer exist: a crash lost the message's journal, or somebody
//! deleted its package with another program. Without such a link the file goes, if it was the last.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};

use super::walk::{Cursor, id_in};
use super::{Bucket, belonging, document, dying, error};
use crate::file::FileId;
use crate::message::links::{Reason, Unlinked};
use crate::store::{Cause, Messages as _, StoreError};

/// The files of a page. Each may have a thousand links.
const FILES: i64 = 1000;

/// The most ids in one question.
const IDS: usize = 1000;

/// A link to a message that no majority has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostLink {
    /// The file.
    pub file: FileId,
    /// The message that it belongs to.
    pub message: FileId,
}

/// The links of some files.
#[derive(Debug)]
pub struct LinkPage {
    /// Those to messages that no majority has, in the order of the files' ids: the oldest first.
    pub lost: Vec<LostLink>,
    /// The place where the next page begins; `None` after the last file.
    pub next: Option<Cursor>,
}

impl Bucket {
    /// Returns the next lost links behind a place, or the first ones. A message that is not committed
    /// yet counts as lost: only its journal knows of it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_lost_links(&self, after: Option<&Cursor>) -> Result<LinkPage, StoreError> {
        // A file that cannot be read as ours is another writer's.
        let fields = ["length", "chunkSize", "uploadDate", "metadata.gridspool"];
        let more = ["metadata.sha256", "metadata.links", "metadata.dying"];
        let fields = fields.into_iter().chain(more);
        let fields = fields.map(|field| (field.to_owned(), 1.into()));
        let files = self.files();
        let mut find = files
            .find(doc! {})
            .projection(fields.collect::<mongodb::bson::Document>())
            .sort(doc! { "_id": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .limit(FILES)
            .read_concern(ReadConcern::majority());
        if let Some(place) = after {
            find = find.min(doc! { "_id": place.id()? });
        }
        let found = self.in_time(async { find.await?.try_collect().await });
        let found: Vec<RawDocumentBuf> = found.await?;
        let is_last = i64::try_from(found.len()) != Ok(FILES);
        let mut links = Vec::new();
        for file in &found {
            let is_linked = document::is_ours(file) && !dying::goes(file);
            if let Ok(id) = file.get_object_id("_id")
                && is_linked
            {
                let file_id = FileId::from_bytes(id.bytes());
                links.extend(belonging::links_of(file).map(|message| LostLink {
                    file: file_id,
                    message,
                }));
            }
        }
        let end = found.last().map(|file| Cursor::of(&id_in(file, "_id")?));
        let messages = links.iter().map(|link| link.message);
        let messages = self.without_packages(messages.collect()).await?;
        links.retain(|link| messages.contains(&link.message));
        Ok(LinkPage {
            lost: links,
            next: end.transpose()?.filter(|_| !is_last),
        })
    }

    /// Leaves out the messages that a majority has, dying ones included: the sweep goes on with them.
    async fn without_packages(
        &self,
        mut messages: BTreeSet<FileId>,
    ) -> Result<BTreeSet<FileId>, StoreError> {
        let ids: Vec<_> = messages.iter().copied().map(document::object_id).collect();
        for some in ids.chunks(IDS) {
            let (files, filter) = (self.files(), doc! { "_id": { "$in": some } });
            let there = self.bounded(async move {
                let find = files.find(filter).projection(doc! { "_id": 1 });
                let majority = find.read_concern(ReadConcern::majority());
                majority.await?.try_collect().await
            });
            let there: Vec<RawDocumentBuf> = there.await.map_err(|err| error::of_read(&err))?;
            for file in &there {
                if let Ok(id) = file.get_object_id("_id") {
                    messages.remove(&FileId::from_bytes(id.bytes()));
                }
            }
        }
        Ok(messages)
    }

    /// Takes a lost link away, unless a majority has the message by now. A file without links goes.
    /// Returns whether the link is gone.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: the link may be gone or not; ask again.
    pub async fn remove_lost_link(&self, link: LostLink) -> Result<bool, StoreError> {
        let message = Bson::ObjectId(document::object_id(link.message));
        if self.has_file(&message).await? {
            return Ok(false);
        }
        if self
            .unlink(link.file, link.message, Reason::Deleted)
            .await?
            == Unlinked::Last
        {
            self.remove_dying(link.file, Cause::Unlinked).await?;
        }
        Ok(true)
    }
}
