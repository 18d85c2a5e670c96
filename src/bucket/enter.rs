//! Puts messages into the lists of their receivers, so that each reader gets each message once.

use std::time::Instant;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocumentBuf, Timestamp, doc, rawdoc};
use mongodb::error::Error as DriverError;

use super::inbox::{binary, by_id, entries_of, id_of, number_of, timestamp};
use super::listed::{NewEntry, append_wording};
use super::watermark::QUICK;
use super::write::Care;
use super::{Bucket, document, error};
use crate::file::FileId;
use crate::message::listing::{Done, Entering};
use crate::message::{Cursor, Party};
use crate::store::StoreError;

/// The most entries of one insert, and of one write of new places. These numbers keep both quick.
const MOST_INSERTED: usize = 1000;
pub(super) const MOST_PLACED: usize = 100;

/// The most questions about one group of entries. If the majority is slow for longer than this, the
/// commit goes on later: others wait for its place.
const MOST_QUESTIONS: usize = 6;

impl Bucket {
    /// Puts messages into lists.
    ///
    /// 1. The index that readers need is there.
    /// 2. All entries are inserted, unsure. The primary writes their places, which are times. Entries of
    ///    an earlier attempt stay as they are.
    /// 3. If that was slow, or an entry was there, all unsure entries get new places, until a write is
    ///    quick: see [`super::watermark`].
    /// 4. The entries with the mark of that write become sure, with one question. It waits for no
    ///    majority: if the primary loses it, a reader repeats it. If another process has placed an entry
    ///    meanwhile, step 3 comes again.
    ///
    /// Sure and delivered entries never change, so a repetition finds nothing to do. A cut leaves sure
    /// entries, and entries that nobody has listed. [`crate::message::listing`] has the rules.
    pub(super) async fn enter_all(&self, entries: &[NewEntry<'_>]) -> Result<(), StoreError> {
        self.ensure_inbox_index().await?; // 1
        for some in entries.chunks(MOST_INSERTED) {
            self.enter_some(some).await?;
        }
        Ok(())
    }

    async fn enter_some(&self, entries: &[NewEntry<'_>]) -> Result<(), StoreError> {
        let mark = ObjectId::new();
        let documents = entries.iter().map(|entry| unsure(entry, mark));
        let documents = documents.collect();
        let begun = Instant::now();
        let inserted = self.insert(&self.inbox(), documents).await; // 2
        let is_new = match inserted {
            Ok(()) => true,
            Err(err) if error::duplicates(&err).is_some() => false,
            Err(err) => return Err(error::of_commit(&err)),
        };
        let next = Entering::Insert.next(Done {
            count: u64::try_from(entries.len()).unwrap_or(u64::MAX),
            is_quick: is_new && begun.elapsed() <= QUICK,
        });
        let Some(next) = next else { return Ok(()) };
        let at_once = match next {
            Entering::Confirm(_) => entries.len(),
            Entering::Insert | Entering::Place => MOST_PLACED,
        };
        for some in entries.chunks(at_once.max(1)) {
            let which = entries_of(some.iter().map(|entry| (entry.message, entry.receiver)));
            let done = self.make_sure(&which, None, next, mark).await;
            if !done.map_err(|err| error::of_commit(&err))? {
                let message = some.first().map(|entry| entry.message.to_string());
                return Err(StoreError::TimedOut(format!(
                    "{message:?} and others cannot be entered in time"
                )));
            }
        }
        Ok(())
    }

    /// Leaves an entry without a time, with or without an earlier entry: a later commit finds it,
    /// and gives it no time.
    pub(super) async fn strike_entry(
        &self,
        receiver: &Party,
        message: FileId,
    ) -> Result<(), StoreError> {
        let filter = doc! { "_id": id_of(receiver, message), "r": binary(number_of(receiver)) };
        let change = doc! {
            "$unset": { "ts": "", "u": "", "w": "", "wp": "" },
            "$currentDate": { "x": true },
            "$setOnInsert": { "m": document::object_id(message), "b": 0_i64 },
        };
        let inbox = self.inbox();
        self.upsert(&inbox, filter, change.into()).await.map(drop)
    }

    /// Goes on until none of these entries is unsure. With `until`, entries with later places do not
    /// count. Returns whether it succeeded: MongoDB may be too slow.
    pub(super) async fn make_sure(
        &self,
        which: &Document,
        until: Option<Cursor>,
        mut next: Entering,
        mut mark: ObjectId,
    ) -> Result<bool, DriverError> {
        for _ in 0..MOST_QUESTIONS {
            let begun = Instant::now();
            let count = if let Entering::Confirm(_) = next {
                self.confirm(which, mark).await? // 4
            } else {
                mark = ObjectId::new();
                self.place(which, until, mark).await? // 3
            };
            let is_quick = begun.elapsed() <= QUICK;
            match next.next(Done { count, is_quick }) {
                Some(after) => next = after,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Gives new places to the unsure entries. MongoDB may still run a try after its answer was lost, so
    /// each try has a mark of its own.
    async fn place(
        &self,
        which: &Document,
        until: Option<Cursor>,
        mark: ObjectId,
    ) -> Result<u64, DriverError> {
        let mut filter = which.clone();
        filter.insert("u", doc! { "$exists": true });
        if let Some(until) = until {
            filter.insert("ts", doc! { "$lte": timestamp(until) });
        }
        let change = doc! {
            "$currentDate": { "ts": { "$type": "timestamp" } },
            "$set": { "u": mark },
        };
        let (inbox, change) = (self.inbox(), change.into());
        self.change_all(&inbox, filter, by_id(), change, Care::Once)
            .await
    }

    async fn confirm(&self, which: &Document, mark: ObjectId) -> Result<u64, DriverError> {
        let mut filter = which.clone();
        filter.insert("u", mark);
        let change = doc! { "$unset": { "u": "" } };
        let (inbox, change) = (self.inbox(), change.into());
        self.change_all(&inbox, filter, by_id(), change, Care::Primary)
            .await
    }
}

fn unsure(entry: &NewEntry<'_>, mark: ObjectId) -> RawDocumentBuf {
    let mut document = rawdoc! {
        "_id": id_of(entry.receiver, entry.message),
        "r": binary(number_of(entry.receiver)),
        "m": document::object_id(entry.message),
        "b": i64::try_from(entry.bytes).unwrap_or(i64::MAX),
        "ts": Timestamp { time: 0, increment: 0 },
        "u": mark,
    };
    if let Some(wording) = entry.wording {
        append_wording(&mut document, wording);
    }
    document
}
