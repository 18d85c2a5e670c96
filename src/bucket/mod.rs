//! The store that GridFS is: the only room that speaks with MongoDB.
//!
//! The driver carries the messages; files are written and read here, by the GridFS specification.
//! The driver's own upload stream is not used: its index on chunks is not unique, and on any
//! error it deletes all chunks under the file's id, those of a finished file included.

mod batch;
mod batch_bytes;
mod belonging;
mod by_subject;
mod chunk_id;
mod chunks;
mod connection;
mod division;
mod document;
mod dying;
mod earlier;
mod enter;
mod error;
mod evidence;
mod examine;
mod fetch;
mod foreign;
mod group;
mod inbox;
mod index;
mod key;
mod known_dying;
mod lease;
mod links;
mod listed;
mod lost_links;
mod messages;
mod more_indexes;
mod nodes;
mod orphan;
mod ownerless;
mod packages;
mod page;
mod pieces;
mod put;
mod remove;
mod replaced;
mod rescued;
mod seen_indexes;
mod sending;
mod source;
mod unsettled;
mod votes;
mod walk;
mod wanted_index;
mod watermark;
mod words;
mod write;

use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use mongodb::Collection;
use mongodb::bson::{Bson, RawDocumentBuf, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{ConnectionString, ReadPreference};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OnceCell, Semaphore};

use crate::config::BucketConfig;
use crate::file::{FileId, FileKey};
use crate::store::{Committed, Deleted, Progress, Promised, Store, StoreError, StoredFile};

use batch::Batches;
use connection::Connection;
use seen_indexes::SeenIndexes;
use watermark::Watermarks;

pub use lost_links::{LinkPage, LostLink};
pub use orphan::{Orphan, Removal};
pub use walk::{ChunkPage, Cursor, FilePage, Listed};

/// One GridFS bucket. Cheap to share; all its traffic runs on the runtime that made it.
#[derive(Debug, Clone)]
pub struct Bucket {
    connection: Connection,
    allows_standalone: bool,
    reads_nearest: bool,
    chunk_size_bytes: u32,
    timeout: Duration,
    bytes_in_flight: u32,
    /// A permit for each byte of bodies that commits may have in memory.
    budget: Arc<Semaphore>,
    /// The batches that are being read, and those that are kept for later readers.
    batches: Arc<Batches>,
    /// The directory of batches that are too long for memory.
    directory: PathBuf,
    /// The UUID of the collection of chunks in which the indexes were seen, or null.
    indexes: Arc<Mutex<Option<Bson>>>,
    /// Whether the index on the lists of receivers was seen.
    has_inbox_index: Arc<Mutex<bool>>,
    /// The index on votes is there.
    has_votes_index: Arc<OnceCell<()>>,
    /// The state of the indexes that are built in the background.
    more_indexes: Arc<SeenIndexes>,
    /// The time up to which lists can be read.
    watermarks: Arc<Watermarks>,
    /// A permit for each reader that moves unsure entries away.
    moves: Arc<Semaphore>,
    runtime: Handle,
}

/// Judges a connection string without connecting.
///
/// # Errors
/// Its fault, without its credentials.
pub fn check_uri(uri: &str) -> Result<(), String> {
    ConnectionString::parse(uri)
        .map(|_| ())
        .map_err(|err| words::of(&err))
}

impl Bucket {
    /// Makes a bucket. It connects when it is first used, and may have files without names in
    /// `directory`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the connection string is wrong.
    pub async fn new(config: &BucketConfig, directory: &Path) -> Result<Self, String> {
        Ok(Self {
            connection: Connection::new(config).await?,
            allows_standalone: config.allows_standalone,
            reads_nearest: config.reads_nearest,
            chunk_size_bytes: config.chunk_size_bytes,
            timeout: config.timeout,
            bytes_in_flight: config.bytes_in_flight,
            budget: Arc::new(Semaphore::new(
                usize::try_from(config.bytes_in_flight).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            batches: Arc::new(Batches::new(config.bytes_in_flight)),
            directory: directory.to_owned(),
            indexes: Arc::default(),
            has_inbox_index: Arc::default(),
            has_votes_index: Arc::default(),
            more_indexes: Arc::default(),
            watermarks: Arc::default(),
            moves: Arc::new(Semaphore::new(page::MOVERS)),
            runtime: Handle::current(),
        })
    }

    fn files(&self) -> Collection<RawDocumentBuf> {
        self.connection.part("files", ReadPreference::Primary)
    }

    fn chunks(&self) -> Collection<RawDocumentBuf> {
        self.connection.part("chunks", ReadPreference::Primary)
    }

    /// The chunks as any member has them; a member that lags may lack some.
    fn near_chunks(&self) -> Collection<RawDocumentBuf> {
        self.connection
            .part("chunks", ReadPreference::Nearest { options: None })
    }

    /// The time that MongoDB may work on an operation. It is less than the caller's wait, so that
    /// no second try begins beside the first.
    fn server_time(&self) -> Duration {
        self.timeout * 4 / 5
    }

    /// Runs one operation to its end, and waits for it no longer than the configured time.
    ///
    /// The driver has no socket time-out, and its futures must not be dropped half-way. So the
    /// operation runs in a task of its own, and goes on if nobody waits any more. A time-out means
    /// *unknown*: the caller must look before it tries again.
    async fn bounded<T: Send + 'static>(
        &self,
        operation: impl Future<Output = mongodb::error::Result<T>> + Send + 'static,
    ) -> mongodb::error::Result<T> {
        let task = self.runtime.spawn(operation);
        match tokio::time::timeout(self.timeout, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(lost)) => Err(DriverError::custom(format!(
                "the operation was lost: {lost}"
            ))),
            Err(_) => Err(DriverError::custom(words::NoAnswer(self.timeout))),
        }
    }
}

impl Store for Bucket {
    fn key(&self, text: &str) -> FileKey {
        key::read(text)
    }

    fn commit<'a>(
        &'a self,
        promised: Promised,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        self.put(promised, progress).boxed()
    }

    fn commit_group<'a>(
        &'a self,
        group: Vec<Promised>,
        may_write: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<Vec<Committed>, StoreError>> {
        self.put_group(group, may_write).boxed()
    }

    fn probe(&self, id: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        let (files, chunks) = (self.files(), self.chunks());
        let id = document::object_id(id);
        self.bounded(async move {
            files.find_one(doc! { "_id": id }).await?;
            // MongoDB reads the whole chunk, as for a reader, but need not send it.
            let chunk = chunks.find_one(doc! { "files_id": id, "n": 0 });
            chunk.projection(doc! { "_id": 1 }).await
        })
        .map(|read| read.map(|_| ()).map_err(|err| error::of_read(&err)))
        .boxed()
    }

    fn find<'a>(
        &'a self,
        key: &'a FileKey,
        with_content: bool,
    ) -> BoxFuture<'a, Result<Option<StoredFile>, StoreError>> {
        self.find_file(key, with_content).boxed()
    }

    fn find_all(&self, ids: Vec<FileId>) -> BoxFuture<'_, Result<Vec<StoredFile>, StoreError>> {
        self.find_files(ids).boxed()
    }

    fn read(
        &self,
        file: &StoredFile,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, StoreError>> {
        self.stream(file, range)
    }

    fn remove<'a>(&'a self, key: &'a FileKey) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        self.remove_file(key).boxed()
    }

    fn clear(&self, id: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.clear_id(id).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async {
            self.look_at_server().await?;
            let database = self.connection.database();
            self.bounded(async move { database.run_command(doc! { "ping": 1 }).await })
                .await
                .map_err(|err| error::of_read(&err))?;
            self.look_at_indexes().await
        }
        .boxed()
    }
}
