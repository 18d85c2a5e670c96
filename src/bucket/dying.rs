//! Messages that are being deleted, and files that are dying. If a process stops half-way, another
//! one finds them here.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadPreference};

use super::wanted_index::Wanted;
use super::{Bucket, belonging, document, error};
use crate::file::FileId;
use crate::message::Message;
use crate::store::{Dying, DyingPage, DyingPlace, StoreError};

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

    /// Finds a page of dying files, or of tombstones that are not cleared: these come after all files.
    ///
    /// Each question names its index, which holds only such files: without it MongoDB would read
    /// every files document. A page begins at the last file of the page before, if that still exists.
    pub(super) async fn find_dying(
        &self,
        after: Option<&DyingPlace>,
        most: u32,
    ) -> Result<DyingPage, StoreError> {
        let place = after.map(Place::read).transpose()?.unwrap_or(Place {
            is_behind_files: false,
            seen: None,
        });
        let is_behind_files = place.is_behind_files;
        let limit = i64::from(most.max(1)) + 1;
        let found = self.find_some(&place, limit).await?;
        let last = found
            .last()
            .filter(|_| i64::try_from(found.len()) == Ok(limit));
        let next = match last {
            Some(last) => Some(Place {
                seen: Some(seen(is_behind_files, last)?),
                ..place
            }),
            None if is_behind_files => None,
            None => Some(Place {
                is_behind_files: true,
                seen: None,
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

    /// Returns nothing while the index is still to be made; then a later round finds the documents.
    async fn find_some(
        &self,
        place: &Place,
        limit: i64,
    ) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let (by, filter) = if place.is_behind_files {
            (Wanted::OpenTombstone, doc! { "cleared": false })
        } else {
            // Files of other writers would block the list for ever.
            let is_dying = doc! {
                "metadata.dying": { "$exists": true },
                "metadata.gridspool": { "$exists": true },
            };
            (Wanted::Dying, is_dying)
        };
        let collection = self.connection.part(by.part(), ReadPreference::Primary);
        let (keys, patience) = (by.keys(), self.server_time());
        let least = place.seen.as_ref().map(|(value, id)| {
            let values = [value, id].into_iter().cloned();
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

/// The values of a document in its index: the time of its mark, and its id.
type Seen = (Bson, Bson);

/// A place in the two indexes: tombstones come behind files.
struct Place {
    is_behind_files: bool,
    /// The last document of the page before.
    seen: Option<Seen>,
}

impl Place {
    fn read(place: &DyingPlace) -> Result<Self, StoreError> {
        let place = RawDocument::from_bytes(&place.0).and_then(Document::try_from);
        let place = place.map_err(|err| error::of_document(&err))?;
        let seen = place.get("value").cloned().zip(place.get("id").cloned());
        Ok(Self {
            is_behind_files: place.get_bool("is_behind_files").unwrap_or_default(),
            seen,
        })
    }

    fn write(self) -> Result<DyingPlace, StoreError> {
        let mut place = doc! { "is_behind_files": self.is_behind_files };
        if let Some((value, id)) = self.seen {
            place.extend(doc! { "value": value, "id": id });
        }
        let place = RawDocumentBuf::try_from(&place).map_err(|err| error::of_document(&err))?;
        Ok(DyingPlace(place.into_bytes()))
    }
}

fn seen(is_tombstone: bool, file: &RawDocument) -> Result<Seen, StoreError> {
    let value = if is_tombstone {
        Ok(file.get("at"))
    } else {
        let metadata = file.get_document("metadata");
        metadata.map(|metadata| metadata.get("dying"))
    };
    let values = [value.ok(), Some(file.get("_id"))];
    let [value, id] = values.map(|value| {
        let value = value.and_then(|value| value.ok().flatten());
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
