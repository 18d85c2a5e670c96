//! Makes the indexes for messages, lists and subjects ([`super::wanted_index`]).
//!
//! A bucket may be old and large, so this runs in the background and nothing waits for it. Each
//! question that needs one of these indexes names it, and MongoDB refuses the question until the
//! index exists.
//!
//! 1. Each collection is asked for its indexes. An unfinished index does not count.
//! 2. A node takes the lease ([`super::lease`]).
//! 3. The node tells each collection to build all indexes that it lacks, in one pass over its
//!    documents. MongoDB takes reads and writes meanwhile, and finishes by itself if the node dies.
//! 4. Meanwhile the node renews its lease, and reads MongoDB's progress.
//! 5. The lease is given back.
//!
//! Two nodes may build the same index all the same, if one of them was stopped for a while. That
//! does no harm: the second waits for the first.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadPreference;
use tokio::time::timeout;

use super::wanted_index::Wanted;
use super::{Bucket, document, error, words};
use crate::store::{IndexStanding, IndexState, Indexes, StoreError};

/// The pause between two looks while all indexes exist.
const PAUSE: Duration = Duration::from_secs(30);

/// The pause between two looks while an index is missing. Each failure doubles it.
const SHORT_PAUSE: Duration = Duration::from_secs(2);
const MOST_DOUBLINGS: u32 = 6;

/// The time that the lease holds, and the time after which it is renewed.
const LEASE: Duration = Duration::from_secs(20);
const RENEWAL: Duration = Duration::from_secs(5);

/// The pause between two looks at the progress of MongoDB.
const GLANCE: Duration = Duration::from_secs(1);

/// The collections. Commits of messages wait for the first.
const PARTS: [&str; 3] = ["inbox", "gone", "files"];

impl Indexes for Bucket {
    fn states(&self) -> Vec<IndexState> {
        self.more_indexes.states().clone()
    }

    fn keep<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let mut failures = 0;
            loop {
                let looked = self.look_at_more_indexes(instance).await;
                failures = if looked.is_err() { failures + 1 } else { 0 };
                let pause = match looked {
                    Ok(true) => PAUSE,
                    Ok(false) => SHORT_PAUSE,
                    // The build may have failed after a long time.
                    Err(err) => {
                        log::debug!("the indexes are not all there: {err}");
                        SHORT_PAUSE * 2_u32.pow(failures.min(MOST_DOUBLINGS))
                    }
                };
                let doubted = self.more_indexes.doubted();
                // It does not matter whether the pause or a doubt ended this wait.
                timeout(pause, doubted).await.unwrap_or_default();
            }
        }
        .boxed()
    }
}

impl Bucket {
    /// Looks for all indexes and builds the missing ones, unless another node does. Returns whether
    /// all exist.
    async fn look_at_more_indexes(&self, instance: &str) -> Result<bool, StoreError> {
        // The pings report a server that is not fit.
        if self.require_fit_server().await.is_err() {
            return Ok(false);
        }
        let lacking = self.lacking().await?; // 1
        if lacking.is_empty() {
            return Ok(true);
        }
        if !self.take_lease(instance, LEASE).await? {
            for part in PARTS {
                let done_percent = self.progress(part).await;
                self.more_indexes.note_progress(part, done_percent);
            }
            return Ok(false); // 2
        }
        let mut failed = Ok(());
        for part in PARTS {
            let of_part = lacking.iter().copied();
            let of_part: Vec<_> = of_part.filter(|one| one.part() == part).collect();
            if of_part.is_empty() {
                continue;
            }
            if let Err(err) = self.make_all(instance, part, &of_part).await {
                self.more_indexes.note_failure(&of_part, &err);
                failed = Err(err);
            } // 3 and 4
        }
        self.take_lease(instance, Duration::ZERO).await?; // 5
        failed?;
        Ok(self.lacking().await?.is_empty())
    }

    /// Returns the indexes that are missing or unfinished.
    async fn lacking(&self) -> Result<Vec<Wanted>, StoreError> {
        let mut seen = HashMap::new();
        let mut lacking = Vec::new();
        for wanted in Wanted::ALL {
            let part = wanted.part();
            if !seen.contains_key(part) {
                seen.insert(part, self.listed(part).await?);
            }
            let found = seen.get(part).into_iter().flatten();
            let mut found = found.filter(|(keys, _)| *keys == wanted.keys());
            let standing = match found.next() {
                Some((_, true)) => IndexStanding::Ready,
                Some((_, false)) => IndexStanding::Building,
                None => IndexStanding::Absent,
            };
            self.more_indexes.note(wanted, standing);
            if standing != IndexStanding::Ready {
                lacking.push(wanted);
            }
        }
        Ok(lacking)
    }

    /// Returns the fields of each index of a collection, and whether it is finished.
    async fn listed(&self, part: &str) -> Result<Vec<(Document, bool)>, StoreError> {
        let database = self.connection.database();
        let list = doc! {
            "listIndexes": self.name_of(part), "includeBuildUUIDs": true,
            "cursor": { "batchSize": 1000 },
        };
        let listed = self.bounded(async move { database.run_command(list).await });
        let listed = match listed.await {
            Err(err) if error::is_namespace_missing(&err) => return Ok(Vec::new()),
            listed => listed.map_err(|err| error::of_read(&err))?,
        };
        let cursor = listed.get_document("cursor").ok();
        let batch = cursor.and_then(|cursor| cursor.get_array("firstBatch").ok());
        let found = batch.into_iter().flatten().filter_map(|index| {
            let index = index.as_document()?;
            let half_made = index.get_document("spec").ok();
            let keys = half_made.unwrap_or(index).get_document("key").ok()?;
            Some((whole_numbers(keys), half_made.is_none()))
        });
        Ok(found.collect())
    }

    fn name_of(&self, part: &str) -> String {
        let collection = self.connection.part(part, ReadPreference::Primary);
        collection.name().to_owned()
    }

    /// Builds indexes of a collection. MongoDB goes on if the caller stops waiting.
    async fn make_all(
        &self,
        instance: &str,
        part: &str,
        lacking: &[Wanted],
    ) -> Result<(), StoreError> {
        for &wanted in lacking {
            self.more_indexes.note(wanted, IndexStanding::Building);
        }
        let specs = lacking.iter().map(|wanted| Bson::from(wanted.spec()));
        let mut command = doc! {
            "createIndexes": self.name_of(part), "indexes": specs.collect::<Vec<_>>(),
        };
        if !self.allows_standalone {
            // A member that is away for long builds them when it comes back.
            command.insert("commitQuorum", "majority");
        }
        let database = self.connection.database();
        let mut made = self
            .runtime
            .spawn(async move { database.run_command(command).await });
        let mut glances = 0;
        loop {
            if let Ok(made) = timeout(GLANCE, &mut made).await {
                let made = made.map_err(|lost| StoreError::Unavailable(lost.to_string()))?;
                return made
                    .map(|_| ())
                    .map_err(|err| StoreError::Unavailable(words::of(&err)));
            }
            glances += 1;
            if GLANCE * glances >= RENEWAL {
                glances = 0;
                // Without the lease two nodes may build at the same time, which does no harm.
                if let Err(err) = self.take_lease(instance, LEASE).await {
                    log::debug!("the lease of the indexes is not renewed: {err}");
                }
            }
            self.more_indexes
                .note_progress(part, self.progress(part).await);
        }
    }

    /// Returns how many percent of the present step are done; `None` if MongoDB does not tell this
    /// user.
    async fn progress(&self, part: &str) -> Option<u8> {
        let database = self.connection.database();
        let namespace = format!("{}.{}", database.name(), self.name_of(part));
        let admin = self.connection.admin();
        let told = self.bounded(async move {
            let operations = doc! { "$currentOp": { "allUsers": true, "idleConnections": true } };
            let is_build = doc! { "ns": namespace, "progress.total": { "$gt": 0 } };
            let fields = doc! { "_id": 0, "progress": 1, "msg": 1 };
            let pipeline = [
                operations,
                doc! { "$match": is_build },
                doc! { "$project": fields },
            ];
            let found = admin.aggregate(pipeline).await?;
            found.try_collect::<Vec<_>>().await
        });
        let told: Result<Vec<Document>, DriverError> = told.await;
        let sum = |name: &str| -> i64 {
            let told = told.iter().flatten();
            let builds = told.filter(|one| one.get_str("msg").is_ok_and(is_of_build));
            let progress = builds.filter_map(|one| one.get_document("progress").ok());
            progress.filter_map(|progress| whole(progress, name)).sum()
        };
        let (done, total) = (sum("done"), sum("total"));
        let percent = done.saturating_mul(100).checked_div(total)?;
        u8::try_from(percent.clamp(0, 100)).ok()
    }
}

fn is_of_build(message: &str) -> bool {
    message.starts_with("Index Build")
}

fn whole(document: &Document, name: &str) -> Option<i64> {
    let number = document.get(name)?;
    number.as_i64().or_else(|| number.as_i32().map(i64::from))
}

/// Returns the same fields with all orders as one numeric type: another driver may have written
/// another type.
fn whole_numbers(keys: &Document) -> Document {
    let keys = keys.iter().map(|(field, order)| {
        let whole = order.as_i64().or_else(|| document::exact(order.as_f64()?));
        let whole = whole.and_then(|order| i32::try_from(order).ok());
        (field.clone(), whole.map_or(order.clone(), Bson::Int32))
    });
    keys.collect()
}
