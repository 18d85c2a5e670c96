//! How far the lists of receivers can be read so that nothing comes in behind the reader.
//!
//! An entry's place is the time of the primary at which it was written. One with an earlier time may be seen
//! later, as it waits for a lock or for a majority. So a reader goes no further than the majority had come a
//! while ago, and whoever writes an entry more slowly than that writes its time anew.
//!
//! 1. A sample is a time of the cluster that the majority of every shard has reached: MongoDB is asked for its
//!    time, and then for anything at all in the lists as of that time, which it answers when it has come there. It
//!    is dated when that answer is there. (`hello` tells how far a majority is, but a router does not.)
//! 2. An entry with a time up to a sample was sent before that answer came, and is there within
//!    [`QUICK`]: if it took longer, its writer gives it a later time.
//! 3. So when the sample is [`AGE`] old, all entries up to it are there to be read.
//!
//! Clocks of several machines are never compared: times are the primary's, ages are this process's own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::{Timestamp, doc};

use super::{Bucket, error};
use crate::message::Cursor;
use crate::store::StoreError;

/// An entry that took longer gets a later time.
pub(super) const QUICK: Duration = Duration::from_millis(800);

/// A sample is good when it is so old.
const AGE: Duration = Duration::from_secs(1);

/// Between two samples, while somebody reads.
const PAUSE: Duration = Duration::from_millis(250);

/// A sample that is older than this is not the newest that a reader can get by waiting.
const STALE: Duration = Duration::from_millis(1500);

/// Samples are taken for so long after the last reader.
const LINGER: Duration = Duration::from_secs(10);

/// The cursor behind an entry of this time.
pub(super) fn cursor(time: Timestamp) -> Cursor {
    Cursor(u64::from(time.time) << 32 | u64::from(time.increment))
}

/// The samples of a bucket.
#[derive(Debug, Default)]
pub(super) struct Watermarks {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// In the order of their age, the oldest first.
    samples: VecDeque<(Instant, Cursor)>,
    asked: Option<Instant>,
    is_sampling: bool,
    /// Why the last sample could not be taken.
    failure: Option<StoreError>,
}

impl Known {
    /// The latest sample that is old enough, and how old it is.
    fn good(&mut self, now: Instant) -> Option<(Cursor, Duration)> {
        let age = |taken: &Instant| now.saturating_duration_since(*taken);
        while self
            .samples
            .get(1)
            .is_some_and(|(taken, _)| age(taken) >= AGE)
        {
            self.samples.pop_front();
        }
        let (taken, cursor) = self.samples.front()?;
        (age(taken) >= AGE).then(|| (*cursor, age(taken)))
    }

    fn add(&mut self, taken: Instant, cursor: Cursor) {
        self.failure = None;
        // A primary that was elected by others may know less.
        let latest = self
            .samples
            .back()
            .map_or(cursor, |(_, latest)| cursor.max(*latest));
        self.samples.push_back((taken, latest));
    }
}

impl Watermarks {
    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    /// The place up to which lists can be read. The first who asks for a while waits for a second.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn watermark(&self) -> Result<Cursor, StoreError> {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            {
                let mut known = self.watermarks.known();
                known.asked = Some(now);
                match known.good(now) {
                    Some((cursor, age)) if age < STALE => return Ok(cursor),
                    _ if now.duration_since(begun) > self.timeout => {
                        let failure = known.failure.clone();
                        return Err(failure.unwrap_or_else(|| {
                            StoreError::Unavailable("how far lists go is not known".to_owned())
                        }));
                    }
                    _ => {}
                }
                if !std::mem::replace(&mut known.is_sampling, true) {
                    self.runtime.spawn(self.clone().sample());
                }
            }
            tokio::time::sleep(PAUSE / 5).await;
        }
    }

    /// Takes samples as long as somebody reads.
    async fn sample(self) {
        loop {
            let taken = self.majority_time().await;
            {
                let mut known = self.watermarks.known();
                match taken {
                    Ok(cursor) => known.add(Instant::now(), cursor),
                    Err(err) => known.failure = Some(err),
                }
                if known.asked.is_none_or(|asked| asked.elapsed() > LINGER) {
                    known.is_sampling = false;
                    known.samples.clear();
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn majority_time(&self) -> Result<Cursor, StoreError> {
        let (database, inbox) = (self.connection.database(), self.inbox());
        let patience = i64::try_from(self.server_time().as_millis()).unwrap_or(i64::MAX);
        let reached = self.bounded(async move {
            let hello = database.run_command(doc! { "hello": 1 }).await?;
            let time = hello.get_document("$clusterTime");
            let Ok(now) = time.and_then(|time| time.get_timestamp("clusterTime")) else {
                return Ok(None);
            };
            let anything = doc! {
                "find": inbox, "projection": { "_id": 1 }, "limit": 1, "singleBatch": true,
                "readConcern": { "level": "majority", "afterClusterTime": now },
                "maxTimeMS": patience,
            };
            database.run_command(anything).await?;
            Ok(Some(now))
        });
        let reached = reached.await.map_err(|err| error::of_read(&err))?;
        reached.map(cursor).ok_or_else(|| {
            StoreError::Unavailable("MongoDB does not tell the time of its cluster".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_sample_that_is_old_enough_counts_and_none_goes_back() {
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let mut known = Known::default();
        assert_eq!(known.good(begin), None);
        for (at, cursor) in [(0, 10), (250, 20), (500, 15), (750, 30)] {
            known.add(after(at), Cursor(cursor));
        }
        for (at, good) in [
            (999, None),
            (1000, Some(10)),
            (1260, Some(20)),
            (1500, Some(20)),
            (9000, Some(30)),
        ] {
            let found = known.good(after(at)).map(|(cursor, _)| cursor.0);
            assert_eq!(found, good, "after {at} ms");
        }
        assert_eq!(
            known.good(after(9000)).unwrap().1,
            Duration::from_millis(8250)
        );
    }
}
