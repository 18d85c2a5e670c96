//! The port for messages: the links of files, and packages.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{StoreError, StoredFile};
use crate::file::FileId;
use crate::message::links::{Linked, Removed, Unlinked};
use crate::message::{Message, Receivers};

/// Why a file is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody deleted it.
    Deleted,
    /// Its time was over.
    Expired,
    /// It has lost its last link.
    Unlinked,
}

/// A file that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dying {
    /// The package of a message that is being deleted.
    Package(FileId, Message),
    /// Any other file that is dying, or of which chunks may be left behind its tombstone.
    File(FileId),
}

/// A package that the store holds.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// What was promised.
    pub message: Message,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// Its package, with its bytes if these are in one chunk.
    pub package: StoredFile,
}

/// A file that the store holds, for a message that refers to it.
#[derive(Debug, Clone)]
pub struct StoredPart {
    /// The file.
    pub file: StoredFile,
    /// The subject of the token that it was uploaded with.
    pub sub: Option<Arc<str>>,
}

/// Where messages are that were committed, and the files that belong to them.
///
/// Every call ends within a bounded time, and may be repeated, whatever became of it.
pub trait Messages: Send + Sync {
    /// Ties a file to a message.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: the link may be there or not.
    fn link(&self, file: FileId, message: FileId) -> BoxFuture<'_, Result<Linked, StoreError>>;

    /// Unties a file from a message. One that was tied to no other is dying, and is to be removed.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: the link may be there or not.
    fn unlink(&self, file: FileId, message: FileId) -> BoxFuture<'_, Result<Unlinked, StoreError>>;

    /// Removes a file that is dying: document, chunks, and all.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: some of it may be left; ask again.
    fn remove_dying(
        &self,
        file: FileId,
        cause: Cause,
    ) -> BoxFuture<'_, Result<Removed, StoreError>>;

    /// Begins to delete a message: from now on nobody finds it, and it comes back no more. Its package stays
    /// as the note of what is still to do: its parts are to be untied, and the package is to be removed last
    /// ([`Messages::remove_dying`]). `None` if there is no such message.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be dying or not. `Damaged` if its document makes no sense.
    fn begin_delete(&self, message: FileId) -> BoxFuture<'_, Result<Option<Message>, StoreError>>;

    /// Takes a message that is deleted out of the lists of its receivers, whether it was delivered or not.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be in some of them; do it again.
    fn leave<'a>(
        &'a self,
        message: FileId,
        receivers: &'a Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Some files that are dying or whose removal has ended half-way, this many at most: somebody has to go on
    /// with them.
    ///
    /// # Errors
    /// `Unavailable`.
    fn dying(&self, most: u32) -> BoxFuture<'_, Result<Vec<Dying>, StoreError>>;

    /// Removes a file for good that its journal has deleted before it settled it, with all its links: until
    /// then the journal knew all of them.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: some of it may be left; ask again.
    fn discard(&self, file: FileId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Finds a file that a message may refer to; `None` if there is none, or it is dying, or a package, or
    /// another writer's.
    ///
    /// # Errors
    /// `Unavailable`, or `Damaged` if its document makes no sense.
    fn part(&self, id: FileId) -> BoxFuture<'_, Result<Option<StoredPart>, StoreError>>;

    /// Finds a message; `None` if there is none, or it is dying.
    ///
    /// # Errors
    /// `Unavailable`, or `Damaged` if its document makes no sense.
    fn message(&self, id: FileId) -> BoxFuture<'_, Result<Option<StoredMessage>, StoreError>>;
}
