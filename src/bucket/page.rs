//! Reads pages of the lists of receivers: entries that are sure, with a majority.

use std::collections::HashSet;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Binary, doc};
use mongodb::options::ReadConcern;

use super::Bucket;
use super::enter::MOST_PLACED;
use super::inbox::{id_of, of, timestamp};
use super::listed::{entry, is_sure};
use crate::message::listing::{Entering, Seen, reach};
use crate::message::{Cursor, Party};
use crate::store::{Page, StoreError};

/// The most readers of this node that move unsure entries away at the same time.
pub(super) const MOVERS: usize = 4;

/// The most such moves for one page.
const MOST_MOVES: usize = 4;

impl Bucket {
    /// Returns a page behind a cursor.
    ///
    /// 1. The reader asks for entries up to the [watermark](super::watermark). The primary has all of
    ///    them.
    /// 2. The page ends before the first unsure entry.
    /// 3. The reader asks again, for entries with a majority: the primary may lose the others. The page
    ///    ends before the first entry that is not among them.
    /// 4. An unsure entry at the beginning belongs to a commit that was cut or is slow. The reader gives
    ///    it a new place, which is behind the watermark, makes it sure, and begins again. Only a few
    ///    readers do so at once; for the others the page ends here.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn read_page(
        &self,
        receiver: &Party,
        after: Cursor,
        most: u32,
    ) -> Result<Page, StoreError> {
        let (until, dying) = self.watermark().await?;
        if until <= after {
            return Ok(Page {
                entries: Vec::new(),
                next: after,
            });
        }
        let mut filter = of(receiver);
        let range = doc! { "$gt": timestamp(after), "$lte": timestamp(until) };
        filter.insert("ts", range);
        let mut moves = 0;
        loop {
            let found = self.find_listed(filter.clone(), most, dying.clone());
            let (found, is_full) = found.await?; // 1
            let seen = found.iter().map(|(entry, is_sure)| Seen {
                cursor: entry.cursor,
                is_sure: *is_sure,
            });
            let mut seen: Vec<_> = seen.collect();
            let mut reached = reach(&seen, until, is_full); // 2
            if reached.listed > 0 {
                let lasting = self.find_entries(filter.clone(), most, ReadConcern::majority());
                let lasting = lasting.await?;
                let lasting = lasting.iter().filter(|found| is_sure(found));
                let lasting = lasting.filter_map(|found| entry(found));
                let lasting: HashSet<_> =
                    lasting.map(|entry| (entry.message, entry.cursor)).collect();
                for (seen, (entry, _)) in seen.iter_mut().zip(&found) {
                    seen.is_sure &= lasting.contains(&(entry.message, entry.cursor));
                }
                reached = reach(&seen, until, is_full); // 3
            } else if moves < MOST_MOVES && !found.is_empty() {
                let unsure = found.iter().filter(|(_, is_sure)| !is_sure);
                let ids = unsure.map(|(entry, _)| id_of(receiver, entry.message));
                if self.move_away(receiver, ids.collect(), until).await {
                    moves += 1;
                    continue; // 4
                }
            }
            let entries = found.into_iter().map(|(entry, _)| entry);
            return Ok(Page {
                entries: entries.take(reached.listed).collect(),
                next: reached.next,
            });
        }
    }

    /// Moves unsure entries behind a cursor. Returns whether none of them is before it any more. The page
    /// does not fail if this does.
    async fn move_away(&self, receiver: &Party, mut ids: Vec<Binary>, until: Cursor) -> bool {
        let Ok(_permit) = self.moves.try_acquire() else {
            return false;
        };
        ids.truncate(MOST_PLACED);
        let mut which = of(receiver);
        which.insert("_id", doc! { "$in": ids });
        let done = self.make_sure(&which, Some(until), Entering::Place, ObjectId::new());
        done.await.unwrap_or_else(|err| {
            log::debug!("an unsure entry stays in its place: {err}");
            false
        })
    }
}
