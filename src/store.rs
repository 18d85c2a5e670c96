//! The port: journal entries are moved into the store, and are read from it afterwards.
//!
//! It speaks of files and proofs. It must never know which database stands behind it.

mod ballot;
mod inbox;
mod indexes;
mod messages;
#[cfg(test)]
mod no_messages;
mod registry;
mod subjects;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, io};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::file::{FileId, FileKey, FileMeta};
use crate::message::Belonging;

pub use crate::file::Sha256;
pub use ballot::{Ballot, Vote, Witness};
pub use inbox::{Entry, Inbox, ListedMessage, News, Page, Waiting};
pub use indexes::{IndexStanding, IndexState, Indexes};
pub use messages::{
    Cause, Dying, DyingPage, ExpiredPage, MessageInStore, Messages, OwnerlessDelete, StoredMessage,
    StoredPart, SweepPlace,
};
#[cfg(test)]
pub(crate) use no_messages::NoMessages;
pub use registry::{LEASE, Leave, NodeLoad, NodeRecord, Registered, Registering, Registry};
pub use subjects::{SubjectPage, Subjects};

/// The bytes of a promised file. They are read from beginning to end; parts may be read once more if
/// the store turns out to hold some of them. All methods block.
pub trait Body: Send {
    /// Fills `place` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The disk's error; `UnexpectedEof` when there are fewer bytes.
    fn read_exact_at(&self, place: &mut [u8], offset: u64) -> io::Result<()>;

    /// Compares the digest of all bytes that were read with the digest of the promise, if there is one.
    ///
    /// # Errors
    /// The disk's error; `InvalidData` when the bytes are not the promised ones.
    fn verify(&self, sha256: Sha256) -> io::Result<()>;
}

/// A promised file on its way into the store.
pub struct Promised {
    /// Its id, for ever.
    pub id: FileId,
    /// Its description.
    pub meta: FileMeta,
    /// The messages that it belongs to.
    pub belonging: Belonging,
    /// Its bytes, `meta.length` of them. Read on the blocking pool.
    pub body: Box<dyn Body>,
    /// Whether an earlier attempt may have left something in the store.
    pub is_retry: bool,
}

impl fmt::Debug for Promised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Promised")
            .field("id", &self.id)
            .field("meta", &self.meta)
            .field("is_retry", &self.is_retry)
            .finish_non_exhaustive()
    }
}

/// Whether an attempt brought more of a file into the store than before, even if the attempt failed.
#[derive(Debug, Default)]
pub struct Progress(AtomicBool);

impl Progress {
    /// Notes that the store holds more than before.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the store holds more than before.
    pub fn is_made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file in the store.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// The key by which the caller named it.
    pub key: FileKey,
    /// The store's own name for it; opaque to everyone else.
    pub locator: Vec<u8>,
    /// Its description.
    pub meta: FileMeta,
    /// The metadata of a file that another driver wrote: a JSON object, or empty.
    pub foreign_metadata: String,
    /// The size in bytes of each of its chunks but the last.
    pub chunk_size_bytes: u32,
    /// Its digest, if its writer has stated one.
    pub sha256: Option<Sha256>,
    /// All of its bytes, if it is small and they came along.
    pub content: Option<Bytes>,
}

/// The bytes that were sent to the store, as counted and hashed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Their number.
    pub length: u64,
    /// Their digest.
    pub sha256: Sha256,
}

/// The state of a file as a majority of the store's members tells it, read back after the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The length that the file's document states.
    pub length: u64,
    /// The digest that the file's document states.
    pub sha256: Option<Sha256>,
    /// The chunk size that the file's document states, in bytes.
    pub chunk_size_bytes: u32,
    /// The number of chunks.
    pub chunks: u64,
    /// The sum of the chunks' sizes in bytes, as the store holds them. `None` if it was not asked for,
    /// because the content of each chunk is known.
    pub chunk_bytes: Option<u64>,
}

/// The proof that a file is in the store. Only [`Committed::prove`] makes one, and an entry leaves the
/// journal for no other reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    id: FileId,
    sha256: Sha256,
}

impl Committed {
    /// Compares the evidence with the bytes that were sent.
    ///
    /// # Errors
    /// The difference, in words for the log.
    pub fn prove(id: FileId, sent: Sent, evidence: Evidence) -> Result<Self, String> {
        let chunk_size = u64::from(evidence.chunk_size_bytes.max(1));
        let is_proven = evidence.length == sent.length
            && evidence.sha256 == Some(sent.sha256)
            && evidence
                .chunk_bytes
                .is_none_or(|bytes| bytes == sent.length)
            && evidence.chunks == sent.length.div_ceil(chunk_size);
        if is_proven {
            let sha256 = sent.sha256;
            Ok(Self { id, sha256 })
        } else {
            Err(format!("{id}: sent {sent:?}, the store holds {evidence:?}"))
        }
    }

    /// The file.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The digest of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }
}

/// The reason why the store did not do what was asked. The text is for the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store is down, has no primary, is too slow, or refuses the login: no file's fault. The
    /// operation may have happened.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The store did not answer in time: it is down, or the operation is too much for it; a ping tells
    /// which. The operation may have happened.
    #[error("the store did not answer in time: {0}")]
    TimedOut(String),
    /// The store answers, but its acknowledgements prove too little: no file's fault. Nothing was
    /// written.
    #[error("the store is not relied on: {0}")]
    Unfit(String),
    /// This file could not be written this time; another attempt may succeed.
    #[error("the store did not take the file: {0}")]
    Failed(String),
    /// The store will never take this file as it is.
    #[error("the store refuses the file: {0}")]
    Refused(String),
    /// The promised bytes could not be read.
    #[error("the body cannot be read: {0}")]
    Body(Arc<io::Error>),
    /// The store does not hold the whole file.
    #[error("the stored file is damaged: {0}")]
    Damaged(String),
    /// The file was removed for good after an earlier attempt, so nothing of it may come back.
    #[error("the file was removed: {0}")]
    Gone(String),
}

/// The outcome of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone for every caller.
    Gone,
    /// There was none.
    Absent,
    /// It is the package of a message, or has links: it goes with its messages.
    Linked,
}

/// Keeps committed files.
///
/// Every call ends within a bounded time. Dropping its future undoes nothing: the operation may still
/// happen.
pub trait Store: Send + Sync {
    /// The key that a text means. All texts that mean the same file give the same key.
    fn key(&self, text: &str) -> FileKey;

    /// Writes a promised file and proves it. A repetition does no harm, and sends only the missing
    /// parts. It never deletes anything, except a file that was removed since an earlier attempt.
    ///
    /// # Errors
    /// Any [`StoreError`] but `Damaged`. If the store holds more of the file than before all the
    /// same, `progress` says so.
    fn commit<'a>(
        &'a self,
        promised: Promised,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Committed, StoreError>>;

    /// Writes small files side by side, in as few steps as one file takes, and proves each. The answer
    /// lacks the files that met any difficulty: commit each of them alone, which tells its fault. All
    /// bodies are read first, and nothing is written before `may_write` completes.
    ///
    /// # Errors
    /// Any but `Damaged`, for the whole group. `Unavailable` and `Unfit` are no file's fault. Another
    /// error may be the fault of any member; `TimedOut` may also come from their number.
    fn commit_group<'a>(
        &'a self,
        group: Vec<Promised>,
        may_write: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<Vec<Committed>, StoreError>>;

    /// Reads the beginning of a file, whether it exists or not, in the way of an unrelated reader: to
    /// measure how long a reader waits.
    ///
    /// # Errors
    /// `Unavailable`.
    fn probe(&self, id: FileId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Finds a file; `None` if there is none. With `with_content` the bytes of a small file come along,
    /// if possible.
    ///
    /// # Errors
    /// `Unavailable`, or `Damaged` if its description makes no sense.
    fn find<'a>(
        &'a self,
        key: &'a FileKey,
        with_content: bool,
    ) -> BoxFuture<'a, Result<Option<StoredFile>, StoreError>>;

    /// Finds many files by one question, without their bytes. The answer has no order, and lacks files
    /// that do not exist or have a description that makes no sense.
    ///
    /// # Errors
    /// `Unavailable`.
    fn find_all(&self, ids: Vec<FileId>) -> BoxFuture<'_, Result<Vec<StoredFile>, StoreError>>;

    /// Streams the bytes of `range`, which lies within the file. Readers of the same bytes share one
    /// read of them, and get the same error if it fails; no reader depends on another to stay. The
    /// number and size of each chunk are checked: a damaged file gives an error, never fewer bytes.
    fn read(
        &self,
        file: &StoredFile,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, StoreError>>;

    /// Removes a file, its description first, unless it belongs to a message.
    ///
    /// # Errors
    /// `Unavailable`: the file may be removed now, later or never; ask again. `Unfit`: it is not
    /// removed.
    fn remove<'a>(&'a self, key: &'a FileKey) -> BoxFuture<'a, Result<Deleted, StoreError>>;

    /// Removes everything that attempts to commit one of our ids have left, proven or not. A file
    /// with links stays.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut`, `Failed` or `Unfit`: something may be left; ask again.
    fn clear(&self, id: FileId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether the store answers, and takes files.
    ///
    /// # Errors
    /// `Unavailable` or `Unfit`, with the reason.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            length: 600,
            sha256: Some(Sha256([7; 32])),
            chunk_size_bytes: 255,
            chunks: 3,
            chunk_bytes: Some(600),
        }
    }

    #[test]
    fn only_evidence_that_agrees_in_everything_proves_a_commit() {
        let id = FileId::from_bytes([1; 12]);
        let sent = Sent {
            length: 600,
            sha256: Sha256([7; 32]),
        };
        let acknowledged = Evidence {
            chunk_bytes: None,
            ..evidence()
        };
        assert!(Committed::prove(id, sent, evidence()).is_ok());
        assert!(Committed::prove(id, sent, acknowledged).is_ok());
        for wrong in [
            Evidence {
                length: 599,
                ..evidence()
            },
            Evidence {
                sha256: None,
                ..evidence()
            },
            Evidence {
                sha256: Some(Sha256([8; 32])),
                ..evidence()
            },
            Evidence {
                chunk_size_bytes: 100,
                ..evidence()
            },
            Evidence {
                chunks: 2,
                ..evidence()
            },
            Evidence {
                chunks: 4,
                ..acknowledged
            },
            Evidence {
                chunk_bytes: Some(601),
                ..evidence()
            },
        ] {
            assert!(Committed::prove(id, sent, wrong).is_err(), "{wrong:?}");
        }
    }
}
