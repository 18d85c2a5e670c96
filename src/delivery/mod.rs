//! Finds the place of a file: the journal, the store, another node, or none.
//!
//! The journal is asked first: its files need no store, and a file that was deleted here stays deleted
//! even if a running commit still writes it. Descriptions are kept for a moment, so a file that many
//! clients ask for is looked up once. This room must never know HTTP.

mod absent;
mod cached;
mod damaged;
mod deletes;
mod fills;
mod full;
mod lists;
mod live;
mod local;
mod lookups;
mod messages;
mod outline;
mod reach;
mod recent;
mod refresh;
mod sizes;
mod stored;
mod waiting;
mod window;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};

use crate::blocking::on_thread;
use crate::file::{FileId, FileKey, FileMeta};
use crate::journal::{Deletion, Journal, JournalError, Kept, Lookup};
use crate::linking::Links;
use crate::peers::{Peers, Unreachable};
use crate::store::{Messages, Sha256, Store, StoreError, StoredFile};

use lookups::Lookups;
use recent::Recent;
use refresh::Refresh;
use sizes::{text_bytes_of, text_bytes_of_meta};
use stored::Asked;

pub use crate::store::Deleted;
pub use fills::{Filling, Fills, Slice};
pub use lists::{List, ListError, Lists};
pub use live::{LiveError, LiveReader, LiveUploads};
pub use messages::{FoundMessage, MessageHere};
pub use outline::{Outline, OutlineHere, Usable};
pub use reach::{Reach, StoreCheck};

/// The time that this node may still find a file after another node or driver deleted it.
const LIFETIME: Duration = Duration::from_secs(5);

/// The time that a file is remembered as asked for. It is long, because each time saves a read.
const ASKED_LIFETIME: Duration = Duration::from_mins(30);

/// The time that a delete is remembered. Its owner clears the store of a file that was about to be committed
/// later than it answers.
const DELETED_LIFETIME: Duration = Duration::from_mins(10);

/// The bound on bytes of descriptions of each kind.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Finds and deletes files, wherever they are. Shared by reference.
pub struct Delivery {
    journal: Arc<Journal>,
    store: Arc<dyn Store>,
    messages: Arc<dyn Messages>,
    links: Arc<Links>,
    peers: Arc<Peers>,
    reach: StoreCheck,
    /// Descriptions of files in the journal; the journal says each time whether it still has the file.
    kept: Recent<FileId, Arc<Kept>>,
    /// Files in the store, by their ids.
    stored: Arc<Recent<FileKey, Arc<StoredFile>>>,
    /// Lookups under way, of both kinds of keys.
    lookups: Lookups,
    /// Renews descriptions of files that are asked for all the time.
    refresh: Arc<Refresh>,
    /// Files in the store that were asked for by their ids a short while ago.
    asked: Recent<FileKey, Asked>,
    /// Files in the store by other keys. Several keys may name one file, also one that has an id.
    foreign: Arc<Recent<FileKey, Arc<StoredFile>>>,
    /// Files that were nowhere a moment ago.
    absent: Recent<FileId, ()>,
    /// Messages, in the journal or in the store; the journal says each time whether it still has the message.
    told: Recent<FileId, Arc<FoundMessage>>,
    /// Files and messages that were deleted a short while ago through this node: lists may still tell of them,
    /// and the store may still have them.
    deleted: Recent<FileId, ()>,
    /// Damaged messages that were logged.
    damaged: Recent<FileId, ()>,
    fills: Fills,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// The place of a file.
#[derive(Debug)]
pub enum Found {
    /// Its body is on this node's disk.
    Kept(Kept),
    /// It is in the store.
    Stored {
        /// The store's description of it.
        file: Arc<StoredFile>,
        /// All bytes of a small file, if they are in memory.
        at_hand: Option<Bytes>,
    },
    /// Neither the journal nor the store knows it; the other node that made its id may still have it.
    Elsewhere {
        /// The number of that node.
        owner: u16,
        /// The file.
        id: FileId,
    },
    /// It is an upload on this node that may still grow, and no file yet.
    Growing(FileId),
    /// There is no such file.
    Absent,
}

impl Found {
    /// The description of the file; `None` if there is none here.
    pub fn meta(&self) -> Option<&FileMeta> {
        match self {
            Self::Kept(kept) => Some(&kept.meta),
            Self::Stored { file, .. } => Some(&file.meta),
            Self::Elsewhere { .. } | Self::Growing(_) | Self::Absent => None,
        }
    }

    /// Its digest, if known: the commit computes it.
    pub fn sha256(&self) -> Option<Sha256> {
        match self {
            Self::Kept(kept) => kept.sha256,
            Self::Stored { file, .. } => file.sha256,
            Self::Elsewhere { .. } | Self::Growing(_) | Self::Absent => None,
        }
    }
}

/// Bytes of a file, in order.
pub type BytesStream = BoxStream<'static, Result<Bytes, DeliveryError>>;

/// The reason why a file could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The journal has it and cannot read it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store was to be asked and failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node that has it was to be asked and does not answer.
    #[error(transparent)]
    Owner(#[from] Unreachable),
}

impl Delivery {
    /// A delivery from these places, with so many bytes of messages in memory.
    pub fn new(
        journal: Arc<Journal>,
        store: Arc<dyn Store>,
        messages: Arc<dyn Messages>,
        links: Arc<Links>,
        peers: Arc<Peers>,
        reach: StoreCheck,
        message_bytes: usize,
    ) -> Self {
        let stored = Arc::new(Recent::new(LIFETIME, MAX_BYTES));
        let refresh = Refresh::new(Arc::clone(&store), Arc::clone(&stored));
        Self {
            journal,
            store,
            messages,
            links,
            peers,
            reach,
            kept: Recent::new(LIFETIME, MAX_BYTES),
            stored,
            refresh: Arc::new(refresh),
            // Without a description an entry takes less than half of the memory that it is counted as.
            asked: Recent::new(ASKED_LIFETIME, 2 * MAX_BYTES),
            lookups: Lookups::default(),
            foreign: Arc::new(Recent::new(LIFETIME, MAX_BYTES)),
            absent: Recent::new(LIFETIME, MAX_BYTES),
            told: Recent::new(LIFETIME, message_bytes),
            deleted: Recent::new(DELETED_LIFETIME, MAX_BYTES),
            damaged: Recent::new(ASKED_LIFETIME, MAX_BYTES),
            fills: Fills::default(),
        }
    }

    /// Finds a file, here or elsewhere.
    ///
    /// # Errors
    /// When the place that has to be asked does not answer.
    pub async fn find(&self, key: &FileKey) -> Result<Found, DeliveryError> {
        let elsewhere = match *key {
            FileKey::Id(id) => self.peers.owner_of(id).map(|owner| (owner, id)),
            FileKey::Foreign(_) => None,
        };
        let Some((owner, id)) = elsewhere else {
            return self.find_here_or_at_new_node(key).await;
        };
        if let Some(found) = self.in_journal(key).await? {
            return Ok(found);
        }
        if self.absent.get(&id).is_some() {
            return Ok(Found::Absent);
        }
        if let Some(stored) = self.before_owner(self.stored(key)).await? {
            return Ok(stored);
        }
        if let Err(away) = self.peers.check_up(owner) {
            let is_removed = async { self.links.is_removed(id).await.map(Some) };
            return match self.before_owner(is_removed).await? {
                Some(true) => Ok(Found::Absent),
                Some(false) | None => Err(away.into()),
            };
        }
        Ok(Found::Elsewhere { owner, id })
    }

    /// Finds a file in the journal or the store, even if another node or another driver made its
    /// id.
    ///
    /// # Errors
    /// When the store has to be asked and does not answer, or the journal cannot be read.
    pub async fn find_here(&self, key: &FileKey) -> Result<Found, DeliveryError> {
        if let Some(found) = self.in_journal(key).await? {
            return Ok(found);
        }
        Ok(self.stored(key).await?.unwrap_or(Found::Absent))
    }

    /// The journal's answer about a file; `None` if it knows nothing.
    async fn in_journal(&self, key: &FileKey) -> Result<Option<Found>, DeliveryError> {
        let FileKey::Id(id) = *key else {
            return Ok(None);
        };
        Ok(match self.lookup(id).await? {
            Lookup::Kept(kept) => Some(Found::Kept(kept)),
            Lookup::Deleted => Some(Found::Absent),
            Lookup::Growing => Some(Found::Growing(id)),
            Lookup::Absent => None,
        })
    }

    /// The key that stands for all that mean the same file in the store as this text.
    pub fn key(&self, text: &str) -> FileKey {
        self.store.key(text)
    }

    /// The slices that nginx is fetching for its cache.
    pub fn fills(&self) -> &Fills {
        &self.fills
    }

    /// Streams bytes of a found file: from the journal, or from the store if the entry has left the
    /// journal since. Dropping the stream ends the read.
    ///
    /// # Errors
    /// As [`Delivery::find`], here or in the stream; `Ok(None)` if the file is gone.
    pub async fn read(
        &self,
        found: &Found,
        range: Range<u64>,
    ) -> Result<Option<BytesStream>, DeliveryError> {
        let from_store = |file: &StoredFile, range| {
            let bytes = self.store.read(file, range);
            bytes.map_err(DeliveryError::Store).boxed()
        };
        match found {
            Found::Elsewhere { .. } | Found::Growing(_) | Found::Absent => Ok(None),
            Found::Stored { file, .. } => Ok(Some(from_store(file, range))),
            Found::Kept(Kept { id, .. }) => {
                let id = *id;
                let opened = self.on_disk(move |journal| journal.open_window(id)).await?;
                if let Some(opened) = opened {
                    return Ok(Some(window::stream(id, opened, range)));
                }
                match self.stored(&FileKey::Id(id)).await? {
                    Some(Found::Stored { file, .. }) => Ok(Some(from_store(&file, range))),
                    _ => Ok(None),
                }
            }
        }
    }

    /// Deletes a file. A pending one is deleted without a question to the store, one of another node by
    /// that node, and any other from the store. So is a long settled one of a node that does not answer
    /// ([`Links::delete_ownerless`]). After this has ended, lookups on this node do not find
    /// the file. If the future is dropped half-way, they may still find it for as long as a file that
    /// was deleted elsewhere.
    ///
    /// # Errors
    /// As [`Delivery::find`]; the file may be gone or not, and the delete can be repeated.
    pub async fn delete(&self, key: &FileKey) -> Result<Deleted, DeliveryError> {
        let cached = self.cached(key).await;
        let deleted = self.delete_everywhere(key).await?;
        if let (Deleted::Gone, FileKey::Id(id)) = (deleted, key) {
            self.deleted.put(self.deleted.ticket(), id, (), 0);
        }
        if let (Deleted::Gone, Some(slices)) = (deleted, cached) {
            self.empty(slices).await;
        }
        Ok(deleted)
    }

    async fn delete_everywhere(&self, key: &FileKey) -> Result<Deleted, DeliveryError> {
        if let FileKey::Id(id) = *key {
            self.check_not_foreign(id)?;
            match self.on_disk(move |journal| journal.delete(id)).await? {
                Deletion::Done => {
                    self.forget(key);
                    return Ok(Deleted::Gone);
                }
                Deletion::Already => return Ok(Deleted::Absent),
                Deletion::Linked => return Ok(Deleted::Linked),
                Deletion::NotHere | Deletion::Settled => {}
            }
        }
        let removed = self.remove(key).await;
        // This comes after the delete, so that a lookup which begins later finds no file.
        self.forget(key);
        removed
    }

    /// Removes a file that is not in this journal. The owner of its id is always asked first: while the
    /// owner has not settled the file, its commit would bring the file back.
    async fn remove(&self, key: &FileKey) -> Result<Deleted, DeliveryError> {
        if let FileKey::Id(id) = *key
            && let Some(owner) = self.peers.find_owner(id).await?
        {
            return match self.peers.delete(owner, id).await {
                Err(away) => {
                    let deleted = self.links.delete_ownerless(owner, id).await?;
                    deleted.ok_or(away.into())
                }
                deleted => Ok(deleted?),
            };
        }
        Ok(self.store.remove(key).await?)
    }

    /// Forgets a file's description, which is no longer right.
    pub fn forget_description(&self, key: &FileKey) {
        self.stored.forget(key);
        self.foreign.forget(key);
        self.lookups.forget_all();
    }

    /// Forgets a deleted file under all its keys.
    fn forget(&self, key: &FileKey) {
        match key {
            FileKey::Id(_) => self.stored.forget(key),
            FileKey::Foreign(_) => self.stored.forget_all(),
        }
        self.foreign.forget_all();
        self.lookups.forget_all();
    }

    /// Runs one operation of the journal on the blocking pool.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let journal = Arc::clone(&self.journal);
        Ok(on_thread(move || operation(&journal)).await?)
    }
}

#[cfg(test)]
mod tests;
