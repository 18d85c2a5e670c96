//! Votes on idempotency keys in a collection beside the bucket's: MongoDB is the third witness of a cluster of
//! two nodes, so that one of them alone still finds a majority.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mongodb::IndexModel;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use mongodb::options::{IndexOptions, ReadPreference};

use super::{Bucket, document, error};
use crate::file::FileId;
use crate::store::{Ballot, StoreError, Vote, Witness};

impl Witness for Bucket {
    fn vote(&self, ballot: Ballot, lifetime: Duration) -> BoxFuture<'_, Result<Vote, StoreError>> {
        self.vote_on_key(ballot, lifetime).boxed()
    }
}

impl Bucket {
    /// 1. The document of the key gets the attempt, if it has none, or one that may be replaced. The
    ///    server does this in one operation, and a majority has it before the vote is told.
    /// 2. Otherwise the attempt that it has is read.
    async fn vote_on_key(&self, ballot: Ballot, lifetime: Duration) -> Result<Vote, StoreError> {
        let votes = self.connection.part("keys", ReadPreference::Primary);
        // Once, and by one vote for all: many who made a new collection at once would stop each other's writes.
        let made = || self.make_votes_index();
        self.has_votes_index.get_or_try_init(made).await?;
        let key = Binary {
            subtype: BinarySubtype::Generic,
            bytes: ballot.key.0.to_vec(),
        };
        let own = document::object_id(ballot.attempt);
        let replaced = ballot.replaces.iter().copied().map(document::object_id);
        let free: Vec<_> = replaced.chain([own]).collect();
        let filter = doc! { "_id": &key, "attempt": { "$in": free } };
        let change = vec![vote(own, lifetime)];
        let asked = votes.clone();
        let given =
            self.bounded(async move { asked.update_one(filter, change).upsert(true).await }); // 1
        match given.await {
            Ok(_) => return Ok(Vote::Given),
            Err(err) if error::is_duplicate(&err) => {}
            Err(err) => return Err(error::of_read(&err)),
        }
        let votes = votes.clone_with_type::<Document>();
        let found = self.bounded(async move { votes.find_one(doc! { "_id": key }).await });
        let found = found.await.map_err(|err| error::of_read(&err))?; // 2
        let attempt = found.and_then(|vote| vote.get_object_id("attempt").ok());
        let gone = || StoreError::Unavailable("a vote has just expired".to_owned());
        let attempt = attempt.ok_or_else(gone)?;
        Ok(Vote::Taken(FileId::from_bytes(attempt.bytes())))
    }

    /// Lets the server remove votes whose time is over.
    async fn make_votes_index(&self) -> Result<(), StoreError> {
        let votes = self.connection.part("keys", ReadPreference::Primary);
        let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let index = IndexModel::builder().keys(doc! { "expires": 1 });
        let index = index.options(options).build();
        let made = self.bounded(async move { votes.create_index(index).await });
        made.await.map_err(|err| error::of_read(&err))?;
        Ok(())
    }
}

/// The stage that writes a vote. The server removes it by its own clock, so that clock counts here, too.
fn vote(attempt: ObjectId, lifetime: Duration) -> Document {
    let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    doc! { "$set": { "attempt": attempt, "expires": { "$add": ["$$NOW", lifetime] } } }
}
