//! Links between files and messages, each question as one operation: see [`crate::message::links`].

use std::collections::HashSet;

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::ReadPreference;

use super::{Bucket, belonging, document, error};
use crate::file::{FileId, FileKey};
use crate::message::MOST_LINKS;
use crate::message::links::{Answer, Ask, Next, Reason};
use crate::store::{Cause, MessageInStore, Messages as _, StoreError, StoredMessage};

/// The most questions about one link. Only constant changes of the same file by others use so many.
const MOST_QUESTIONS: usize = 16;

impl Cause {
    fn word(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Unlinked => "unlinked",
        }
    }
}

/// The file and the message of a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub(super) file: FileId,
    pub(super) message: Option<FileId>,
    pub(super) cause: Cause,
}

impl Bucket {
    /// Asks one question after the other, until a rule says that the work is done.
    pub(super) async fn go<S: Copy, O>(
        &self,
        about: About,
        mut step: S,
        ask: fn(S) -> Ask,
        next: fn(S, Answer) -> Next<S, O>,
    ) -> Result<O, StoreError> {
        self.require_fit_server().await?;
        for _ in 0..MOST_QUESTIONS {
            match next(step, self.ask(about, ask(step)).await?) {
                Next::Go(after) => step = after,
                Next::End(outcome) => return Ok(outcome),
            }
        }
        let file = about.file;
        Err(StoreError::Unavailable(format!(
            "{file} is changed by others all the time"
        )))
    }

    async fn ask(&self, about: About, ask: Ask) -> Result<Answer, StoreError> {
        let id = Bson::ObjectId(document::object_id(about.file));
        let message = about.message.map(document::object_id);
        match ask {
            Ask::Add => {
                let mut filter = document::is("_id", &id);
                // Another writer's file is not ours to mark.
                filter.insert("metadata.gridspool", doc! { "$exists": true });
                filter.insert("metadata.dying", doc! { "$exists": false });
                let last = format!("metadata.links.{}", MOST_LINKS - 1);
                let has_room = [
                    doc! { "metadata.links": message },
                    doc! { last: { "$exists": false } },
                ];
                filter.insert("$or", has_room.to_vec());
                let change = doc! { "$addToSet": { "metadata.links": message } };
                self.update(self.files().name(), filter, change.into())
                    .await
            }
            Ask::Take(reason) => self.take_link(&id, message.into(), reason).await,
            Ask::LookAtFile => {
                let found = self.find_by_id("files", &id).await?;
                Ok(found.map_or(Answer::Absent, |file| {
                    if !document::is_ours(&file) {
                        Answer::NotOurs
                    } else if belonging::is_dying(&file) {
                        Answer::Dying
                    } else if message.is_some_and(|message| belonging::has_link(&file, message)) {
                        Answer::Linked
                    } else if belonging::count_links(&file) >= MOST_LINKS {
                        Answer::Full
                    } else {
                        Answer::There
                    }
                }))
            }
            Ask::LookForTombstone => {
                let found = self.find_by_id("gone", &id).await?;
                Ok(found.map_or(Answer::Absent, |_| Answer::There))
            }
            Ask::Entomb => {
                let if_new = |name: &str, value: Bson| doc! { "$ifNull": [name, value] };
                let change = doc! { "$set": {
                    "at": if_new("$at", "$$NOW".into()),
                    "why": if_new("$why", about.cause.word().into()),
                    "cleared": if_new("$cleared", false.into()),
                } };
                let filter = document::is("_id", &id);
                self.upsert(&self.gone(), filter, vec![Bson::from(change)].into())
                    .await
            }
            Ask::DeleteDying => {
                let mut filter = document::is("_id", &id);
                filter.insert("metadata.dying", doc! { "$exists": true });
                let deleted = self.delete(self.files().name(), filter, true).await;
                deleted.map_err(|err| error::of_commit(&err))?;
                Ok(Answer::Done)
            }
            Ask::DeleteChunks => {
                self.delete_all_chunks(&id).await?;
                Ok(Answer::Done)
            }
            Ask::NoteCleared => {
                let filter = document::is("_id", &id);
                let change = doc! { "$set": { "cleared": true } };
                self.update(&self.gone(), filter, change.into()).await
            }
        }
    }

    /// Takes a link away. If it was the last link, the same write marks the file as dying, or takes the field
    /// of the links away, too.
    async fn take_link(
        &self,
        id: &Bson,
        message: Bson,
        reason: Reason,
    ) -> Result<Answer, StoreError> {
        let mut filter = document::is("_id", id);
        filter.insert("metadata.links", message.clone());
        let others = doc! { "$filter": {
            "input": "$metadata.links",
            "cond": { "$ne": ["$$this", message] },
        } };
        let is_last = doc! { "$eq": [{ "$size": "$metadata.links" }, 0] };
        let was_linked = doc! { "$eq": ["$metadata.was_linked", true] };
        let goes = match reason {
            Reason::Deleted => is_last.clone(),
            Reason::NeverPromised => doc! { "$and": [is_last.clone(), was_linked] },
        };
        let dying = doc! { "$cond": [goes, "$$NOW", "$$REMOVE"] };
        let rest = match reason {
            Reason::Deleted => doc! {
                "metadata.was_linked": { "$cond": [is_last, "$metadata.was_linked", true] },
            },
            Reason::NeverPromised => doc! {
                "metadata.links": { "$cond": [is_last, "$$REMOVE", "$metadata.links"] },
            },
        };
        let pipeline = [
            doc! { "$set": { "metadata.links": others } },
            doc! { "$set": { "metadata.dying": { "$ifNull": ["$metadata.dying", dying] } } },
            doc! { "$set": rest },
        ];
        let pipeline = pipeline.map(Bson::from).to_vec();
        let fields = doc! { "metadata.dying": 1 };
        let name = self.files().name().to_owned();
        let changed = self.find_and_modify(&name, filter, pipeline.into(), fields);
        let changed = changed.await.map_err(|err| error::of_commit(&err))?;
        let changed = changed.map(|file| RawDocumentBuf::try_from(&file));
        Ok(match changed {
            None => Answer::NotDone,
            Some(Ok(file)) if belonging::is_dying(&file) => Answer::DoneLast,
            Some(_) => Answer::Done,
        })
    }

    /// Checks a file after its commit. If it has a tombstone, or is dying and no package, this removes
    /// all of it again.
    ///
    /// The file is looked at before the tombstone: a document that goes in between has a tombstone by then. A
    /// package that is dying stays, as the note of what is still to be done for its message.
    ///
    /// # Errors
    /// `Gone`: nothing of it is left. `Unavailable`, `TimedOut` or `Failed`: ask again.
    pub(super) async fn look_behind(&self, id: FileId) -> Result<(), StoreError> {
        let bson = Bson::ObjectId(document::object_id(id));
        let file = self.find_by_id("files", &bson).await?;
        let is_dying = file.is_some_and(|file| {
            belonging::is_dying(&file) && belonging::read_message(&file).is_none()
        });
        if is_dying {
            self.remove_dying(id, Cause::Unlinked).await?;
        } else if !self.tombstones(&[id]).await?.contains(&id) {
            return Ok(());
        }
        // This commit may have written chunks after the removal.
        self.delete(self.files().name(), document::is("_id", &bson), true)
            .await
            .map_err(|err| error::of_commit(&err))?;
        self.delete_all_chunks(&bson).await?;
        Err(StoreError::Gone(format!("{id} was deleted by others")))
    }

    /// Returns those of these files that have a tombstone.
    pub(super) async fn tombstones(&self, ids: &[FileId]) -> Result<HashSet<FileId>, StoreError> {
        let gone = self.connection.part("gone", ReadPreference::Primary);
        let ids: Vec<_> = ids.iter().copied().map(document::object_id).collect();
        let patience = self.server_time();
        let found = self.bounded(async move {
            let find = gone.find(doc! { "_id": { "$in": ids } });
            let found = find
                .projection(doc! { "_id": 1 })
                .max_time(patience)
                .await?;
            found.try_collect::<Vec<_>>().await
        });
        let found = found.await.map_err(|err| error::of_read(&err))?;
        let ids = found
            .iter()
            .filter_map(|tombstone| tombstone.get_object_id("_id").ok());
        Ok(ids.map(|id| FileId::from_bytes(id.bytes())).collect())
    }

    /// Returns the name of the collection of tombstones.
    fn gone(&self) -> String {
        let gone = self.connection.part("gone", ReadPreference::Primary);
        gone.name().to_owned()
    }

    pub(super) async fn find_by_id(
        &self,
        part: &str,
        id: &Bson,
    ) -> Result<Option<RawDocumentBuf>, StoreError> {
        let primary = ReadPreference::Primary;
        let (collection, patience) = (self.connection.part(part, primary), self.server_time());
        let filter = document::is("_id", id);
        let found =
            self.bounded(async move { collection.find_one(filter).max_time(patience).await });
        found.await.map_err(|err| error::of_read(&err))
    }

    pub(super) async fn update(
        &self,
        collection: &str,
        filter: Document,
        change: Bson,
    ) -> Result<Answer, StoreError> {
        let changed = self.change(collection, filter, change, false).await;
        let is_any = changed.map_err(|err| error::of_commit(&err))?;
        Ok(if is_any {
            Answer::Done
        } else {
            Answer::NotDone
        })
    }

    /// Makes the document if there is none. If two callers do this at once, one of them finds the
    /// other's document.
    pub(super) async fn upsert(
        &self,
        collection: &str,
        filter: Document,
        change: Bson,
    ) -> Result<Answer, StoreError> {
        let changed = self.change(collection, filter.clone(), change.clone(), true);
        match changed.await {
            Err(err) if error::duplicates(&err).is_some() => {
                self.update(collection, filter, change).await
            }
            Err(err) => Err(error::of_commit(&err)),
            Ok(_) => Ok(Answer::Done),
        }
    }

    pub(super) async fn find_message(&self, id: FileId) -> Result<MessageInStore, StoreError> {
        let (key, bson) = (FileKey::Id(id), Bson::ObjectId(document::object_id(id)));
        let found = futures::join!(
            self.find_by_id("files", &bson),
            self.small_content(&key, &bson)
        );
        let (Some(file), content) = (found.0?, found.1) else {
            return Ok(MessageInStore::Absent);
        };
        if !document::is_ours(&file) || !belonging::is_package(&file) {
            return Ok(MessageInStore::Absent);
        }
        if belonging::is_dying(&file) {
            return Ok(MessageInStore::Dying);
        }
        let Some(message) = belonging::read_message(&file) else {
            return Ok(MessageInStore::Absent);
        };
        let mut package = document::read_file(&key, &file)?;
        let length = package.meta.length;
        package.content = content.filter(|data| u64::try_from(data.len()) == Ok(length));
        let sub = belonging::read_sub(&file);
        let stored = StoredMessage {
            message,
            sub,
            package,
        };
        Ok(MessageInStore::There(Box::new(stored)))
    }
}
