//! Messages that are being deleted, files that are dying, and files whose time without a link is over. If a
//! process stops half-way, another one finds them here.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadPreference};

use super::wanted_index::Wanted;
use super::{Bucket, belonging, document, error};
use crate::file::FileId;
use crate::message::Message;
use crate::store::{Dying, DyingPage, ExpiredPage, StoreError, SweepPlace};

impl Bucket {
    /// Marks the package of a message as dying; a package with the mark stays as it is.
    pub(super) async fn mark_dying(&self, message: FileId) -> Result<Option<Message>, StoreError> {
        self.require_fit_server().await?;
        let id = Bson::ObjectId(document::object_id(message));
        let mut filter = document::is("_id", &id);
        // Another writer's file is not ours to mark, and a part is no message.
        filter.insert("metadata.gridspool", doc! { "$exists": true });
        filter.insert("metadata.message", id);
        let pipeline = vec![Bson::from(mark())];
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

    /// Finds a page of dying files, or of tombstones that are not cleared: these come after all files.
    ///
    /// Each question names its index, which holds only such files: without it MongoDB would read
    /// every files document. A page begins at the last file of the page before, if that still exists.
    pub(super) async fn find_dying(
        &self,
        after: Option<&SweepPlace>,
        most: u32,
    ) -> Result<DyingPage, StoreError> {
        let place = after.map(Place::read).transpose()?.unwrap_or(Place {
            is_behind_files: false,
            seen: None,
        });
        let is_behind_files = place.is_behind_files;
        let (by, filter) = if is_behind_files {
            (Wanted::OpenTombstone, doc! { "cleared": false })
        } else {
            // Files of other writers would block the list for ever.
            let is_dying = doc! {
                "metadata.dying": { "$exists": true },
                "metadata.gridspool": { "$exists": true },
            };
            (Wanted::Dying, is_dying)
        };
        let (found, last) = self.walk(by, filter, place.seen, most).await?;
        let next = match last {
            None if is_behind_files => None,
            None => Some(Place {
                is_behind_files: true,
                seen: None,
            }),
            seen => Some(Place {
                is_behind_files,
                seen,
            }),
        };
        let read = if is_behind_files {
            read_tombstone
        } else {
            read_dying
        };
        let dying = found.iter().filter_map(read);
        Ok(DyingPage {
            dying: dying.collect(),
            next: next.map(Place::write).transpose()?,
        })
    }

    /// Finds files whose time without a link is over, by this node's clock and by the store's: one of both may have
    /// jumped. The index has no file with a link.
    pub(super) async fn find_expired(
        &self,
        after: Option<&SweepPlace>,
        most: u32,
    ) -> Result<ExpiredPage, StoreError> {
        let seen = after.map(Place::read).transpose()?;
        let is_over = doc! {
            "metadata.unlinked_expires": { "$lte": DateTime::now() },
            "$expr": is_over_now(),
            "metadata.links": null,
            "metadata.dying": { "$exists": false },
            "metadata.gridspool": { "$exists": true },
        };
        let seen = seen.and_then(|place| place.seen);
        let (found, last) = self.walk(Wanted::Unlinked, is_over, seen, most).await?;
        let next = last.map(|last| Place {
            is_behind_files: false,
            seen: Some(last),
        });
        let ids = found
            .iter()
            .filter_map(|file| file.get_object_id("_id").ok());
        Ok(ExpiredPage {
            files: ids.map(|id| FileId::from_bytes(id.bytes())).collect(),
            next: next.map(Place::write).transpose()?,
        })
    }

    /// Marks a file as dying if its time without a link is over.
    pub(super) async fn mark_expired(&self, file: FileId) -> Result<bool, StoreError> {
        self.require_fit_server().await?;
        let mut filter = document::is("_id", &Bson::ObjectId(document::object_id(file)));
        filter.insert("metadata.gridspool", doc! { "$exists": true });
        filter.insert("metadata.unlinked_expires", doc! { "$exists": true });
        filter.insert("metadata.links", Bson::Null);
        filter.insert("$expr", is_over_now());
        self.mark_if(filter).await
    }

    /// Marks a file as dying, if it is as the filter says. Returns whether there was such a file.
    ///
    /// # Errors
    /// Those of a commit; it may be dying or not.
    pub(super) async fn mark_if(&self, filter: Document) -> Result<bool, StoreError> {
        let pipeline = vec![Bson::from(mark())];
        let name = self.files().name().to_owned();
        let marked = self.change(&name, filter, pipeline.into(), false).await;
        marked.map_err(|err| error::of_commit(&err))
    }

    /// Finds about `most` documents by an index, behind a place in it. Returns them, and the place of the last
    /// one if more may follow. Returns nothing while the index is still to be made; then a later round finds
    /// the documents.
    async fn walk(
        &self,
        by: Wanted,
        filter: Document,
        after: Option<Seen>,
        most: u32,
    ) -> Result<(Vec<RawDocumentBuf>, Option<Seen>), StoreError> {
        let limit = i64::from(most.max(1)) + 1;
        let found = self.find_by(by, filter, after, limit).await?;
        let last = found
            .last()
            .filter(|_| i64::try_from(found.len()) == Ok(limit));
        let last = last.map(|last| seen(by, last)).transpose()?;
        Ok((found, last))
    }

    async fn find_by(
        &self,
        by: Wanted,
        filter: Document,
        after: Option<Seen>,
        limit: i64,
    ) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let collection = self.connection.part(by.part(), ReadPreference::Primary);
        let (keys, patience) = (by.keys(), self.server_time());
        let least = after.map(|(value, id)| {
            let values = [value, id].into_iter();
            keys.keys().cloned().zip(values).collect::<Document>()
        });
        let found = self.bounded(async move {
            let mut find = collection.find(filter).limit(limit).max_time(patience);
            if let Some(least) = least {
                find = find.min(least);
            }
            let find = find.sort(keys.clone()).hint(Hint::Keys(keys));
            find.await?.try_collect().await
        });
        found.await.or_else(|err| {
            if error::is_index_missing(&err) {
                self.more_indexes.doubt();
                return Ok(Vec::new());
            }
            Err(error::of_read(&err))
        })
    }
}

/// The stage of a pipeline that marks a file as dying; a file with the mark keeps it as it is.
pub(super) fn mark() -> Document {
    doc! { "$set": { "metadata.dying": { "$ifNull": ["$metadata.dying", "$$NOW"] } } }
}

/// Whether a file's time without a link is over by the store's clock.
fn is_over_now() -> Document {
    doc! { "$lte": ["$metadata.unlinked_expires", "$$NOW"] }
}

/// The values of a document in its index: a time, and its id.
type Seen = (Bson, Bson);

/// A place in the two indexes: tombstones come behind files.
struct Place {
    is_behind_files: bool,
    /// The last document of the page before.
    seen: Option<Seen>,
}

impl Place {
    fn read(place: &SweepPlace) -> Result<Self, StoreError> {
        let place = RawDocument::from_bytes(&place.0).and_then(Document::try_from);
        let place = place.map_err(|err| error::of_document(&err))?;
        let seen = place.get("value").cloned().zip(place.get("id").cloned());
        Ok(Self {
            is_behind_files: place.get_bool("is_behind_files").unwrap_or_default(),
            seen,
        })
    }

    fn write(self) -> Result<SweepPlace, StoreError> {
        let mut place = doc! { "is_behind_files": self.is_behind_files };
        if let Some((value, id)) = self.seen {
            place.extend(doc! { "value": value, "id": id });
        }
        let place = RawDocumentBuf::try_from(&place).map_err(|err| error::of_document(&err))?;
        Ok(SweepPlace(place.into_bytes()))
    }
}

fn seen(by: Wanted, file: &RawDocument) -> Result<Seen, StoreError> {
    let keys = by.keys();
    let field = keys.keys().next().map(String::as_str).unwrap_or_default();
    let value = match field.strip_prefix("metadata.") {
        None => file.get(field).ok(),
        Some(field) => {
            let metadata = file.get_document("metadata").ok();
            metadata.and_then(|metadata| metadata.get(field).ok())
        }
    };
    let values = [value, file.get("_id").ok()];
    let [value, id] = values.map(|value| {
        let value = value.flatten();
        // A field that is not there counts as null, as in an index.
        value.map_or(Ok(Bson::Null), Bson::try_from)
    });
    let both = value.and_then(|value| Ok((value, id?)));
    both.map_err(|err| error::of_document(&err))
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

fn read_tombstone(tombstone: &RawDocumentBuf) -> Option<Dying> {
    let id = tombstone.get_object_id("_id").ok()?;
    Some(Dying::File(FileId::from_bytes(id.bytes())))
}
