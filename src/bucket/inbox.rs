//! The lists of receivers. There is a document for each message and receiver.
//!
//! | field | is |
//! |---|---|
//! | `_id` | 12 bytes of the receiver's digest, and the message's id |
//! | `r` | those 12 bytes: every question and every write names them |
//! | `m` | the message |
//! | `b` | its bytes, parts included |
//! | `ts` | when the primary wrote it: its place in the list; absent once it was delivered |
//! | `u` | the mark of the write of that place; absent once the place is sure |
//! | `d` | when it was delivered |
//! | `x` | the time at which its receiver took it off the list, also before the message entered it |
//! | `w`, `wp` | the words of the message, if they are short, and three places in them: see [`crate::message::Wording`]; absent once it was delivered |

use std::collections::HashMap;

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use mongodb::IndexModel;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, RawDocumentBuf, Timestamp, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{FindOptions, Hint, ReadConcern, ReadPreference};
use sha2::{Digest as _, Sha256};

use super::listed::{NewEntry, entry};
use super::wanted_index::Wanted;
use super::watermark::cursor;
use super::write::Care;
use super::{Bucket, error};
use crate::file::FileId;
use crate::message::{Cursor, Party, Receivers};
use crate::store::{Inbox, ListedMessage, News, Page, StoreError, Waiting};

pub(super) fn timestamp(cursor: Cursor) -> Timestamp {
    let low = cursor.0 & u64::from(u32::MAX);
    let half = |half: u64| u32::try_from(half).unwrap_or(u32::MAX);
    Timestamp {
        time: half(cursor.0 >> 32),
        increment: half(low),
    }
}

pub(super) fn binary(bytes: Vec<u8>) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    }
}

/// Returns the number of a receiver's list.
pub(super) fn number_of(receiver: &Party) -> Vec<u8> {
    let digest = Sha256::digest(receiver.as_str());
    digest.iter().copied().take(FileId::BYTES).collect()
}

pub(super) fn id_of(receiver: &Party, message: FileId) -> Binary {
    let mut id = number_of(receiver);
    id.extend(message.bytes());
    binary(id)
}

/// Makes a filter for the entries of one receiver.
pub(super) fn of(receiver: &Party) -> Document {
    doc! { "r": binary(number_of(receiver)) }
}

impl Inbox for Bucket {
    fn enter<'a>(
        &'a self,
        message: FileId,
        bytes: u64,
        receivers: &'a Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let mut entries = Vec::new();
            for receiver in receivers.iter() {
                entries.push(NewEntry {
                    message,
                    bytes,
                    receiver,
                    wording: None,
                });
            }
            self.enter_all(&entries).await
        }
        .boxed()
    }

    fn page<'a>(
        &'a self,
        receiver: &'a Party,
        after: Cursor,
        most: u32,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.read_page(receiver, after, most).boxed()
    }

    fn strike<'a>(
        &'a self,
        receiver: &'a Party,
        message: FileId,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.strike_entry(receiver, message).boxed()
    }

    fn news<'a>(
        &'a self,
        receivers: &'a [Party],
        after: Cursor,
    ) -> BoxFuture<'a, Result<News, StoreError>> {
        self.find_news(receivers, after).boxed()
    }

    fn count_each<'a>(
        &'a self,
        receivers: &'a [Party],
    ) -> BoxFuture<'a, Result<Vec<(usize, u64)>, StoreError>> {
        self.find_counts(receivers).boxed()
    }

    fn messages(&self, ids: Vec<FileId>) -> BoxFuture<'_, Result<Vec<ListedMessage>, StoreError>> {
        self.find_messages(ids).boxed()
    }

    fn count<'a>(
        &'a self,
        receiver: &'a Party,
        most: u32,
    ) -> BoxFuture<'a, Result<Waiting, StoreError>> {
        self.count_waiting(receiver, most).boxed()
    }

    fn delivered<'a>(
        &'a self,
        receiver: &'a Party,
        messages: Vec<FileId>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let ids = messages.into_iter().map(|message| id_of(receiver, message));
        let mut filter = of(receiver);
        filter.insert("_id", doc! { "$in": ids.collect::<Vec<_>>() });
        // A delivered entry keeps the time of its delivery.
        filter.insert("ts", doc! { "$exists": true });
        self.deliver(filter, by_id()).boxed()
    }

    fn delivered_through<'a>(
        &'a self,
        receiver: &'a Party,
        cursor: Cursor,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        // No page has listed an unsure entry.
        let mut filter = of(receiver);
        filter.insert("ts", doc! { "$lte": timestamp(cursor) });
        filter.insert("u", doc! { "$exists": false });
        self.deliver(filter, Wanted::Inbox.keys()).boxed()
    }
}

/// The fields of the index by which entries are found that a filter names by their ids. MongoDB
/// might take the index of the lists, and read all that ever waited for these receivers.
pub(super) fn by_id() -> Document {
    doc! { "_id": 1 }
}

/// Makes a filter for entries, each of a message and a receiver.
pub(super) fn entries_of<'a>(entries: impl Iterator<Item = (FileId, &'a Party)>) -> Document {
    let entries = entries.map(|(message, receiver)| {
        let number = binary(number_of(receiver));
        (number, id_of(receiver, message))
    });
    let (numbers, ids): (Vec<_>, Vec<_>) = entries.unzip();
    doc! { "r": { "$in": numbers }, "_id": { "$in": ids } }
}

impl Bucket {
    /// Returns the name of the collection of entries.
    pub(super) fn inbox(&self) -> String {
        let inbox = self.connection.part("inbox", ReadPreference::Primary);
        inbox.name().to_owned()
    }

    /// Removes a deleted message from all lists.
    pub(super) async fn leave_all(
        &self,
        message: FileId,
        receivers: &Receivers,
    ) -> Result<(), StoreError> {
        let filter = entries_of(receivers.iter().map(|receiver| (message, receiver)));
        let delete = doc! { "q": filter, "limit": 0, "hint": by_id() };
        let deleted = self.delete_by(&self.inbox(), delete).await;
        deleted.map(|_| ()).map_err(|err| error::of_commit(&err))
    }

    pub(super) async fn ensure_inbox_index(&self) -> Result<(), StoreError> {
        let mut is_seen = self.has_inbox_index.lock().await;
        if !*is_seen {
            let inbox = self.connection.part("inbox", ReadPreference::Primary);
            let index = IndexModel::builder().keys(Wanted::Inbox.keys()).build();
            let made = self.bounded(async move { inbox.create_index(index).await });
            made.await.map_err(|err| error::of_read(&err))?;
            *is_seen = true;
        }
        Ok(())
    }

    /// Finds entries without their words.
    pub(super) async fn find_entries(
        &self,
        filter: Document,
        most: u32,
        concern: ReadConcern,
    ) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let inbox = self.connection.part("inbox", ReadPreference::Primary);
        let options = self.in_order(most, concern);
        let found = self.bounded(async move {
            let find = inbox.find(filter).with_options(options);
            let find = find.projection(doc! { "m": 1, "b": 1, "ts": 1, "u": 1 });
            find.await?.try_collect().await
        });
        found.await.map_err(|err| self.of_lists(&err))
    }

    /// Judges an error of a question that names the index of the lists, which may be gone.
    pub(super) fn of_lists(&self, err: &DriverError) -> StoreError {
        if error::is_index_missing(err) {
            self.more_indexes.doubt();
        }
        error::of_read(err)
    }

    /// Returns the options of a question for entries in the order of their lists, in one answer.
    pub(super) fn in_order(&self, most: u32, concern: ReadConcern) -> FindOptions {
        FindOptions::builder()
            .sort(Wanted::Inbox.keys())
            .hint(Hint::Keys(Wanted::Inbox.keys()))
            .limit(i64::from(most))
            .batch_size(most.saturating_add(1))
            .max_time(self.server_time())
            .read_concern(concern)
            .build()
    }

    async fn find_news(&self, receivers: &[Party], after: Cursor) -> Result<News, StoreError> {
        let (until, _) = self.watermark().await?;
        if until <= after {
            return Ok(News {
                of: Vec::new(),
                until: after,
            });
        }
        let range = doc! { "$gt": timestamp(after), "$lte": timestamp(until) };
        let found = self.of_each(receivers, range, doc! { "$max": "$ts" });
        let of = found.await?.into_iter().filter_map(|(place, last)| {
            let last = last.as_timestamp()?;
            Some((place, cursor(last)))
        });
        Ok(News {
            of: of.collect(),
            until,
        })
    }

    async fn find_counts(&self, receivers: &[Party]) -> Result<Vec<(usize, u64)>, StoreError> {
        let all = doc! { "$gte": timestamp(Cursor::BEGIN) };
        let found = self.of_each(receivers, all, doc! { "$sum": 1 });
        let of = found.await?.into_iter().filter_map(|(place, count)| {
            let count = count.as_i64().or(count.as_i32().map(i64::from));
            Some((place, u64::try_from(count?).ok()?))
        });
        Ok(of.collect())
    }

    /// Asks for the entries of many receivers in a range of times, with one question.
    async fn of_each(
        &self,
        receivers: &[Party],
        range: Document,
        told: Document,
    ) -> Result<Vec<(usize, Bson)>, StoreError> {
        let numbers: Vec<_> = receivers.iter().map(number_of).collect();
        let places: HashMap<_, _> = numbers.iter().cloned().zip(0..).collect();
        let numbers: Vec<_> = numbers.into_iter().map(binary).collect();
        let pipeline = [
            doc! { "$match": { "r": { "$in": numbers }, "ts": range } },
            doc! { "$group": { "_id": "$r", "told": told } },
        ];
        let inbox = self.connection.part("inbox", ReadPreference::Primary);
        let patience = self.server_time();
        let found = self.bounded(async move {
            let found = inbox.aggregate(pipeline).max_time(patience);
            let found = found.hint(Hint::Keys(Wanted::Inbox.keys()));
            let found = found.await?.with_type::<Document>();
            found.try_collect::<Vec<_>>().await
        });
        let found = found.await.map_err(|err| self.of_lists(&err))?;
        let of = found.into_iter().filter_map(|mut group| {
            let place = places.get(group.get_binary_generic("_id").ok()?).copied();
            Some((place?, group.remove("told")?))
        });
        Ok(of.collect())
    }

    async fn count_waiting(&self, receiver: &Party, most: u32) -> Result<Waiting, StoreError> {
        let mut filter = of(receiver);
        // The range of times keeps the question to entries that wait: all others have no time.
        filter.insert("ts", doc! { "$gte": timestamp(Cursor::BEGIN) });
        let found = self.find_entries(filter, most.saturating_add(1), ReadConcern::local());
        let found = found.await?;
        let counted = found
            .iter()
            .filter_map(|found| entry(found))
            .take(usize::try_from(most).unwrap_or(usize::MAX));
        let bytes = counted.clone().map(|entry| entry.bytes).sum();
        let messages = u64::try_from(counted.count()).unwrap_or(u64::MAX);
        let has_more = u64::try_from(found.len()).is_ok_and(|found| found > messages);
        Ok(Waiting {
            messages,
            bytes,
            has_more,
        })
    }

    async fn deliver(&self, filter: Document, by: Document) -> Result<(), StoreError> {
        let change = doc! {
            "$unset": { "ts": "", "u": "", "w": "", "wp": "" },
            "$currentDate": { "d": true },
        };
        let (inbox, change) = (self.inbox(), change.into());
        let changed = self.change_all(&inbox, filter, by, change, Care::Majority);
        changed
            .await
            .map(|_| ())
            .map_err(|err| error::of_commit(&err))
    }
}
