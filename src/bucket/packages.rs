//! Packages of messages: their entries in the receivers' lists, and reads of many packages at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::future::try_join;
use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::listed::NewEntry;
use super::{Bucket, belonging, document, error};
use crate::file::{FileId, FileKey};
use crate::message::{Message, Told, Wording};
use crate::store::{ListedMessage, Promised, StoreError, StoredMessage};

/// The most bytes of the words in one entry, and of the words in all entries of one message. Readers of a longer
/// message read its package.
const MOST_WORDS: usize = 8 * 1024;
const MOST_WORDS_OF_ALL: usize = 16 * 1024;

/// The package of a message, while it is committed.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) id: FileId,
    message: Arc<Message>,
    /// The bytes of the package and of all parts.
    bytes: u64,
    /// The words for the lists, if they are short enough.
    wording: Option<Wording>,
}

impl Package {
    /// Returns `None` if the file is no package.
    pub(super) fn of(promised: &Promised) -> Option<Self> {
        let message = promised.belonging.package.clone()?;
        let parts = message.parts.iter().map(|part| part.length);
        let bytes = parts.fold(promised.meta.length, u64::saturating_add);
        Some(Self {
            id: promised.id,
            bytes,
            wording: wording(promised, &message),
            message,
        })
    }
}

/// Writes the words of a message, if they are short enough. The package is in memory already. The commit reads it
/// once more, and compares its digest.
fn wording(promised: &Promised, message: &Message) -> Option<Wording> {
    let length = usize::try_from(promised.meta.length).ok();
    let length = length.filter(|length| *length <= MOST_WORDS)?;
    let mut package = vec![0; length];
    promised.body.read_exact_at(&mut package, 0).ok()?;
    let told = Told {
        id: promised.id,
        created: promised.meta.uploaded,
        message,
        content_type: &promised.meta.content_type,
        package: Some(&package),
    };
    let wording = told.wording().ok()?;
    let all = wording.bytes() * message.to.iter().len();
    (wording.bytes() <= MOST_WORDS && all <= MOST_WORDS_OF_ALL).then_some(wording)
}

impl Bucket {
    /// Puts messages into the lists of their receivers, when their documents have a majority.
    ///
    /// 1. They enter the lists.
    /// 2. Messages that are deleted or dying by now leave the lists again. A delete marks the
    ///    document first and clears the lists afterwards, so one of the two always finds what the
    ///    other has done.
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
                entries.push(NewEntry {
                    message: package.id,
                    bytes: package.bytes,
                    receiver,
                    wording: package.wording.as_ref(),
                });
            }
        }
        self.enter_all(&entries).await?; // 1
        let alive = self.alive(ids).await?;
        self.leave_lists(packages, |id| !alive.contains(&id)).await // 2
    }

    /// Takes deleted messages out of their lists.
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

    /// Finds messages by their packages, with one question for the documents and one for the bytes.
    pub(super) async fn find_messages(
        &self,
        ids: Vec<FileId>,
    ) -> Result<Vec<ListedMessage>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(document::object_id).collect();
        let of_files = doc! { "_id": { "$in": &ids }, "metadata.dying": { "$exists": false } };
        let of_chunks = doc! { "files_id": { "$in": ids }, "n": 0 };
        let (files, chunks) = try_join(
            self.all_of(self.files(), of_files),
            self.all_of(self.chunks(), of_chunks),
        )
        .await?;
        let contents = chunks.iter().filter_map(|chunk| {
            let data = chunk.get_binary("data").ok()?;
            let id = chunk.get_object_id("files_id").ok()?;
            Some((id, Bytes::copy_from_slice(data.bytes)))
        });
        let contents: HashMap<_, _> = contents.collect();
        let messages = files.iter().filter_map(|file| {
            let id = file.get_object_id("_id").ok()?;
            let key = FileKey::Id(FileId::from_bytes(id.bytes()));
            let read = || {
                let message = belonging::read_message(file).filter(|_| document::is_ours(file))?;
                let mut package = document::read_file(&key, file).ok()?;
                let length = package.meta.length;
                let content = contents.get(&id).cloned();
                package.content = content.filter(|data| u64::try_from(data.len()) == Ok(length));
                Some(StoredMessage {
                    message,
                    sub: belonging::read_sub(file),
                    package,
                })
            };
            Some((FileId::from_bytes(id.bytes()), read()))
        });
        Ok(messages.collect())
    }

    async fn all_of(
        &self,
        collection: Collection<RawDocumentBuf>,
        filter: Document,
    ) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let patience = self.server_time();
        let found = self.bounded(async move {
            let found = collection.find(filter).max_time(patience);
            found.await?.try_collect().await
        });
        found.await.map_err(|err| error::of_read(&err))
    }

    /// Returns those of these files that exist and are not dying.
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
