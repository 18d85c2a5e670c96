//! The port for messages: the links of files, and packages.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::{StoreError, StoredFile};
use crate::file::{FileId, UnixMillis};
use crate::message::links::{Linked, Reason, Removed, Unlinked};
use crate::message::{Message, Receivers};

/// The reason why a file is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A caller deleted it.
    Deleted,
    /// It has expired.
    Expired,
    /// It has lost its last link.
    Unlinked,
}

/// A file that is being removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dying {
    /// The package of a message that is being deleted.
    Package(FileId, Message),
    /// Any other dying file, or a file with a tombstone and perhaps chunks.
    File(FileId),
}

impl Dying {
    /// Returns its id.
    pub fn id(&self) -> FileId {
        match *self {
            Self::Package(id, _) | Self::File(id) => id,
        }
    }
}

/// The outcome of beginning to delete a file whose owner does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerlessDelete {
    /// Nobody finds it any more; it must be removed ([`Messages::remove_dying`]).
    Begun,
    /// It was removed for good before.
    Before,
    /// It belongs to a message.
    Linked,
    /// The journal of its owner may have it as a file that is not settled.
    Unsettled,
}

/// A place in a walk of the sweep; opaque to everyone but the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepPlace(pub Vec<u8>);

/// Some dying files, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DyingPage {
    /// The files.
    pub dying: Vec<Dying>,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<SweepPlace>,
}

/// Some files whose time without a link is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredPage {
    /// The files.
    pub files: Vec<FileId>,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<SweepPlace>,
}

/// The store's answer about a message.
#[derive(Debug, Clone)]
pub enum MessageInStore {
    /// The store has it.
    There(Box<StoredMessage>),
    /// It was deleted, and its removal is not finished.
    Dying,
    /// There is none.
    Absent,
}

/// A package that the store holds.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// The sender, the receivers and the parts that were promised.
    pub message: Message,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// Its package, together with its bytes if they fit into one chunk.
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

/// Committed messages, and the files that belong to them.
///
/// Every call ends within a bounded time, and can be repeated after any outcome.
pub trait Messages: Send + Sync {
    /// Links a file to a message.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: the link may exist or not.
    fn link(&self, file: FileId, message: FileId) -> BoxFuture<'_, Result<Linked, StoreError>>;

    /// Unlinks a file from a message. A file that is `Last` is dying and must be removed.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: the link may exist or not.
    fn unlink(
        &self,
        file: FileId,
        message: FileId,
        reason: Reason,
    ) -> BoxFuture<'_, Result<Unlinked, StoreError>>;

    /// Finds about `most` files whose time without a link is over by the clocks of this node and of the store, the
    /// earliest first.
    ///
    /// # Errors
    /// `Unavailable`.
    fn expired<'a>(
        &'a self,
        after: Option<&'a SweepPlace>,
        most: u32,
    ) -> BoxFuture<'a, Result<ExpiredPage, StoreError>>;

    /// Marks a file as dying if its time without a link is over by the store's clock, and if it has no link at
    /// this moment. Returns whether it is dying; then it must be removed ([`Messages::remove_dying`]).
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be dying or not.
    fn begin_expiry(&self, file: FileId) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Removes a dying file: its document and its chunks.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: some of it may be left. The caller should repeat
    /// this.
    fn remove_dying(
        &self,
        file: FileId,
        cause: Cause,
    ) -> BoxFuture<'_, Result<Removed, StoreError>>;

    /// Begins to delete a message: from now on nobody finds it, and it never comes back. Its
    /// package stays as the note of the work that is left: the parts must be unlinked, and the
    /// package must be removed last ([`Messages::remove_dying`]). Returns `None` if there is no
    /// such message.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be dying or not. `Damaged` if its document is invalid.
    fn begin_delete(&self, message: FileId) -> BoxFuture<'_, Result<Option<Message>, StoreError>>;

    /// Begins to delete a file of an owner that does not answer, if that owner has stated that it has
    /// settled all files of this age.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be dying or not.
    fn begin_ownerless_delete(
        &self,
        owner: u16,
        file: FileId,
    ) -> BoxFuture<'_, Result<OwnerlessDelete, StoreError>>;

    /// Counts a delete of a file of this owner, for the owner to notice.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be counted or not.
    fn count_ownerless_delete(&self, owner: u16) -> BoxFuture<'_, Result<(), StoreError>>;

    /// States that a node has settled all its files that are older than this. Returns the count of
    /// deletes of its files without it.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be stated or not.
    fn state_settled(
        &self,
        node: u16,
        before: UnixMillis,
    ) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Returns those of these files that are dying, or were removed for good.
    ///
    /// # Errors
    /// `Unavailable`.
    fn removed(&self, files: Vec<FileId>) -> BoxFuture<'_, Result<HashSet<FileId>, StoreError>>;

    /// States that node `by` answers for the files of these nodes from now on.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be stated for some.
    fn take_over_numbers(
        &self,
        numbers: Vec<u16>,
        by: u16,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns all nodes that others answer for, each with the other.
    ///
    /// # Errors
    /// `Unavailable`.
    fn taken_over(&self) -> BoxFuture<'_, Result<BTreeMap<u16, u16>, StoreError>>;

    /// Takes a deleted message out of its receivers' lists, whether it was delivered or not.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: it may be in some lists. The caller should repeat this.
    fn leave<'a>(
        &'a self,
        message: FileId,
        receivers: &'a Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Finds about `most` files that are dying, or that an unfinished removal has left. The caller
    /// must go on with them. A walk through all pages meets every file that was dying at its begin.
    ///
    /// # Errors
    /// `Unavailable`.
    fn dying<'a>(
        &'a self,
        after: Option<&'a SweepPlace>,
        most: u32,
    ) -> BoxFuture<'a, Result<DyingPage, StoreError>>;

    /// Removes a file and all its links, after its journal deleted it before it was settled: until
    /// then only the journal knew the links.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: some of it may be left. The caller should repeat
    /// this.
    fn discard(&self, file: FileId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Finds a file that a message may refer to. Returns `None` if there is none, or if it is
    /// dying, a package, or another writer's file.
    ///
    /// # Errors
    /// `Unavailable`, or `Damaged` if its document is invalid.
    fn part(&self, id: FileId) -> BoxFuture<'_, Result<Option<StoredPart>, StoreError>>;

    /// Finds a message.
    ///
    /// # Errors
    /// `Unavailable`, or `Damaged` if its document is invalid.
    fn message(&self, id: FileId) -> BoxFuture<'_, Result<MessageInStore, StoreError>>;
}
