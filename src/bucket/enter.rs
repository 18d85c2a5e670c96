//! Entering messages into the lists of their receivers, so that no reader misses them.

use std::time::Instant;

use mongodb::bson::{Timestamp, doc, rawdoc};

use super::inbox::{binary, entries_of, id_of, number_of};
use super::watermark::QUICK;
use super::{Bucket, document, error};
use crate::file::FileId;
use crate::message::Party;
use crate::store::StoreError;

/// The most entries of one insert, and of one write of new times. These numbers keep both quick.
const MOST_INSERTED: usize = 1000;
const MOST_STAMPED: usize = 100;

/// The most times that the time of an entry is written anew.
const MOST_STAMPS: usize = 8;

impl Bucket {
    /// Puts messages into lists. Each element has the message, its bytes and one receiver.
    ///
    /// 1. The index that readers need is there.
    /// 2. All entries are inserted; the primary writes their times. Those that an earlier attempt left stay.
    /// 3. If that took long, or any was there, times are written anew, until that is quick: see
    ///    [`super::watermark`]. Entries that are delivered keep out of the list.
    ///
    /// Cut anywhere, it leaves entries that a reader may have passed: the next attempt gives all of them later
    /// places.
    pub(super) async fn enter_all(
        &self,
        entries: &[(FileId, u64, &Party)],
    ) -> Result<(), StoreError> {
        self.ensure_inbox_index().await?; // 1
        for some in entries.chunks(MOST_INSERTED) {
            self.enter_some(some).await?;
        }
        Ok(())
    }

    async fn enter_some(&self, entries: &[(FileId, u64, &Party)]) -> Result<(), StoreError> {
        let documents = entries.iter().map(|&(message, bytes, receiver)| {
            rawdoc! {
                "_id": id_of(receiver, message),
                "r": binary(number_of(receiver)),
                "m": document::object_id(message),
                "b": i64::try_from(bytes).unwrap_or(i64::MAX),
                "ts": Timestamp { time: 0, increment: 0 },
            }
        });
        let documents = documents.collect();
        let inbox = self.inbox();
        let begun = Instant::now();
        let inserted = self.insert(&inbox, documents).await; // 2
        let were_there = match inserted {
            Ok(()) => false,
            Err(err) if error::duplicates(&err).is_some() => true,
            Err(err) => return Err(error::of_commit(&err)),
        };
        if were_there || begun.elapsed() > QUICK {
            for some in entries.chunks(MOST_STAMPED) {
                self.stamp(&inbox, some).await?; // 3
            }
        }
        Ok(())
    }

    async fn stamp(
        &self,
        inbox: &str,
        entries: &[(FileId, u64, &Party)],
    ) -> Result<(), StoreError> {
        let pairs = entries.iter();
        let mut filter = entries_of(pairs.map(|&(message, _, receiver)| (message, receiver)));
        filter.insert("ts", doc! { "$exists": true });
        for _ in 0..MOST_STAMPS {
            let begun = Instant::now();
            let change = doc! { "$currentDate": { "ts": { "$type": "timestamp" } } };
            let stamped = self.change_all(inbox, filter.clone(), change.into());
            stamped.await.map_err(|err| error::of_commit(&err))?;
            if begun.elapsed() <= QUICK {
                return Ok(());
            }
        }
        let messages = entries.iter().map(|(message, ..)| message.to_string());
        let messages: Vec<_> = messages.take(1).collect();
        Err(StoreError::TimedOut(format!(
            "{messages:?} and others cannot be entered in time"
        )))
    }
}
