//! The driver's client, and the deployment that it is connected to.
//!
//! The driver drops a server for ever: a member that was once seen as a standalone, or a single address
//! that was one at first, stays dropped for that client. So this module makes a new client whenever the
//! present one has no server left that it could use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, ReadConcern, ReadPreference,
    SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use tokio::time::timeout;

use super::{Bucket, error, words};
use crate::config::BucketConfig;
use crate::store::StoreError;

/// The time for which MongoDB's answer to the last word of a program is waited for.
const LEAVE: Duration = Duration::from_secs(1);

/// The client of a bucket, and the settings to make it anew. Cheap to share.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    options: ClientOptions,
    database: String,
    bucket: String,
    majority: WriteConcern,
    current: Arc<RwLock<Current>>,
}

#[derive(Debug, Clone)]
struct Current {
    client: Client,
    /// Whether the driver has dropped every server.
    is_empty: Arc<AtomicBool>,
}

/// The deployment behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A member of a replica set, or a router before some.
    Replicated,
    /// A member-to-be of a replica set that has no configuration.
    Unconfigured,
    /// It has no other member to acknowledge a write.
    Standalone,
}

impl Connection {
    /// A client that connects when it is first used. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the connection string is wrong.
    pub(super) async fn new(config: &BucketConfig) -> Result<Self, String> {
        let in_words = |err: DriverError| words::of(&err);
        let mut options = ClientOptions::parse(config.uri.reveal())
            .await
            .map_err(in_words)?;
        options.app_name = Some("gridspool".to_owned());
        // A caller that looks a file up learns soon that MongoDB is down.
        let selection = options.server_selection_timeout;
        options.server_selection_timeout = Some(selection.unwrap_or(config.timeout / 4));
        options.connect_timeout = Some(options.connect_timeout.unwrap_or(config.timeout / 2));
        let current = Current::new(options.clone()).map_err(in_words)?;
        Ok(Self {
            options,
            database: config.database.clone(),
            bucket: config.bucket.clone(),
            majority: WriteConcern::builder()
                .w(Acknowledgment::Majority)
                .journal(true)
                .w_timeout(config.timeout)
                .build(),
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// The bucket's database.
    pub(super) fn database(&self) -> Database {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.client.database(&self.database)
    }

    /// The database of commands about MongoDB itself.
    pub(super) fn admin(&self) -> Database {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.client.database("admin")
    }

    /// One of the bucket's collections, with this read preference.
    pub(super) fn part(&self, part: &str, from: ReadPreference) -> Collection<RawDocumentBuf> {
        let options = CollectionOptions::builder()
            .write_concern(self.majority.clone())
            .selection_criteria(SelectionCriteria::ReadPreference(from))
            .read_concern(ReadConcern::local())
            .build();
        self.database()
            .collection_with_options(&format!("{}.{part}", self.bucket), options)
    }

    /// The collection in which nodes register their numbers.
    pub(super) fn nodes(&self) -> Collection<Document> {
        self.database()
            .collection(&format!("{}.nodes", self.bucket))
    }

    /// Whether the client has no server left that it could connect to.
    fn is_empty(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.is_empty.load(Ordering::Relaxed)
    }

    /// Ends the driver's tasks. Every later question fails.
    async fn close(&self) {
        let client = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.client.clone()
        };
        client.shutdown().immediate(true).await;
    }

    /// Makes a new client from the connection string. Running operations end on the old one.
    fn renew(&self) {
        match Current::new(self.options.clone()) {
            Ok(fresh) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = fresh;
            }
            Err(err) => log::error!("no new connection: {}", words::of(&err)),
        }
    }
}

impl Current {
    fn new(mut options: ClientOptions) -> Result<Self, DriverError> {
        let is_empty = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_empty);
        options.sdam_event_handler = Some(EventHandler::callback(move |event| {
            if let SdamEvent::TopologyDescriptionChanged(change) = event {
                let has_none = change.new_description.servers().is_empty();
                seen.store(has_none, Ordering::Relaxed);
            }
        }));
        Ok(Self {
            client: Client::with_options(options)?,
            is_empty,
        })
    }
}

impl Bucket {
    /// Takes leave of MongoDB, and waits no longer than a second for its answer: it forgets by itself what it is not
    /// told. A program that ends without this may end in a panic of the driver, whose tasks the runtime stops in the
    /// midst of their work.
    pub async fn close(&self) {
        drop(timeout(LEAVE, self.connection.close()).await);
    }

    /// Whether MongoDB answers, and a promise may rely on its acknowledgements. Replaces a client that
    /// has no server left.
    ///
    /// # Errors
    /// `Unavailable`, or `Unfit` for a standalone that no setting allows.
    pub(super) async fn look_at_server(&self) -> Result<(), StoreError> {
        let looked = self.require_fit_server().await;
        if matches!(looked, Err(StoreError::Unfit(_))) || self.connection.is_empty() {
            self.connection.renew();
            self.forget_indexes().await;
        }
        looked
    }

    /// Checks that a promise may rely on MongoDB's acknowledgements: a standalone also acknowledges
    /// "majority", and may lose or undo the write.
    ///
    /// # Errors
    /// As [`Bucket::look_at_server`].
    pub(super) async fn require_fit_server(&self) -> Result<(), StoreError> {
        if self.allows_standalone {
            return Ok(());
        }
        let database = self.connection.database();
        let hello = self.bounded(async move { database.run_command(doc! { "hello": 1 }).await });
        let hello = hello.await.map_err(|err| error::of_read(&err))?;
        match Kind::read(&hello) {
            Kind::Replicated => Ok(()),
            Kind::Unconfigured => Err(StoreError::Unavailable(
                "the member has no configuration of a replica set".to_owned(),
            )),
            Kind::Standalone => Err(StoreError::Unfit(
                "MongoDB is a standalone mongod, whose acknowledgements prove too little: make it \
                 a replica set, or set mongodb_standalone"
                    .to_owned(),
            )),
        }
    }
}

impl Kind {
    /// Reads the answer to `hello`.
    fn read(hello: &Document) -> Self {
        let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        if is_router || hello.get_str("setName").is_ok() {
            Self::Replicated
        } else if hello.get_bool("isreplicaset").unwrap_or(false) {
            Self::Unconfigured
        } else {
            Self::Standalone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_routers_and_standalones_are_told_apart_by_their_hello() {
        for (hello, kind) in [
            (
                doc! { "setName": "rs0", "secondary": true },
                Kind::Replicated,
            ),
            (doc! { "msg": "isdbgrid" }, Kind::Replicated),
            (doc! { "isreplicaset": true }, Kind::Unconfigured),
            (doc! { "isWritablePrimary": true }, Kind::Standalone),
            (doc! { "msg": "of no known kind" }, Kind::Standalone),
        ] {
            assert_eq!(Kind::read(&hello), kind, "{hello}");
        }
    }
}
