//! The watermark: the time up to which lists can be read without missing an entry.
//!
//! An entry's place is the primary's time of the write. An entry with an earlier time may become
//! visible later, because it waits for a lock or for a majority. So a reader reads only up to a
//! time that the majority had reached a while ago, and a slow writer of an entry writes its time
//! anew.
//!
//! 1. A sample is a time of the cluster that the majority of every shard has reached. This node
//!    asks MongoDB for the time of its last write (a router: for its time), and then reads anything
//!    in the lists as of that time; MongoDB answers when it has reached it. The sample's date is the
//!    moment of that answer. (`hello` tells the time of a majority, but a router does not.)
//! 2. An entry with a time up to a sample was sent before that answer, and is visible within
//!    [`QUICK`]: a slower entry stays unsure, and gets a later time before anybody lists it.
//! 3. So when the sample is [`AGE`] old, all entries up to it are visible, or get a later time.
//!
//! Clocks of several machines are never compared: times are the primary's, and ages are this
//! process's own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, Timestamp, doc};

use super::known_dying::DyingMessages;
use super::{Bucket, error};
use crate::message::Cursor;
use crate::store::StoreError;

/// An entry that took longer than this gets a later time.
pub(super) const QUICK: Duration = Duration::from_millis(800);

/// A sample can be used at this age.
const AGE: Duration = Duration::from_secs(1);

/// The pause between two samples, while somebody reads.
const PAUSE: Duration = Duration::from_millis(250);

/// A reader that waits can get a newer sample than one of this age.
const STALE: Duration = Duration::from_millis(1500);

/// Sampling goes on for this long after the last reader. A sample takes three small questions.
const LINGER: Duration = Duration::from_mins(5);

/// An answer about dying messages is valid for this long.
const DYING_LIFETIME: Duration = Duration::from_secs(2);

/// Returns the cursor behind an entry of this time.
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
    /// In the order of their age, with the oldest first.
    samples: VecDeque<(Instant, Cursor)>,
    asked: Option<Instant>,
    is_sampling: bool,
    /// The messages that are dying, and the moment of that question.
    dying: Option<(Instant, DyingMessages)>,
    /// The reason why the last sample failed.
    failure: Option<StoreError>,
}

impl Known {
    /// Returns the latest sample that is old enough, with its age.
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
        // The members may have elected a primary that knows less.
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
    /// Returns the place up to which lists can be read, and the messages that are dying, if these are
    /// known. The first caller after a pause waits for a second.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn watermark(&self) -> Result<(Cursor, Option<DyingMessages>), StoreError> {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            {
                let mut known = self.watermarks.known();
                known.asked = Some(now);
                match known.good(now) {
                    Some((cursor, age)) if age < STALE => {
                        let dying = known.dying.as_ref();
                        let dying = dying.filter(|(asked, _)| asked.elapsed() < DYING_LIFETIME);
                        return Ok((cursor, dying.map(|(_, dying)| Arc::clone(dying))));
                    }
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

    /// Takes samples while somebody reads.
    async fn sample(self) {
        loop {
            let asked = Instant::now();
            let (taken, dying) = futures::join!(self.majority_time(), self.dying_messages());
            {
                let mut known = self.watermarks.known();
                known.dying = dying.map(|dying| (asked, dying));
                match taken {
                    Ok(cursor) => known.add(Instant::now(), cursor),
                    Err(err) => known.failure = Some(err),
                }
                if known.asked.is_none_or(|asked| asked.elapsed() > LINGER) {
                    known.is_sampling = false;
                    known.samples.clear();
                    known.dying = None;
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
            let Some(now) = time_of(&hello) else {
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

/// Returns the time of the last write, or else the time of the cluster. A failed write takes a time,
/// too, and a replica set reaches that time only with its next write. A router knows no last write; a
/// shard reaches any time that a router asks for.
fn time_of(hello: &Document) -> Option<Timestamp> {
    let written = hello.get_document("lastWrite");
    let written = written.and_then(|written| written.get_document("opTime"));
    let written = written.and_then(|written| written.get_timestamp("ts"));
    let time = hello.get_document("$clusterTime");
    let time = time.and_then(|time| time.get_timestamp("clusterTime"));
    written.or(time).ok()
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
