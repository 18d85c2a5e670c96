//! The port for the lists of receivers.

use futures::future::BoxFuture;

use super::{StoreError, StoredMessage};
use crate::file::FileId;
use crate::message::{Cursor, Party, Receivers};

/// A message that waits for a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub message: FileId,
    /// Bytes of its package and of all its parts.
    pub bytes: u64,
    /// The place behind it.
    pub cursor: Cursor,
}

/// What waits for a receiver behind a cursor: the oldest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of the list.
    pub entries: Vec<Entry>,
    /// Behind all that was looked at: no entry will come before it.
    pub next: Cursor,
}

/// How much waits for a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many messages, as far as they were counted.
    pub messages: u64,
    /// All of their bytes.
    pub bytes: u64,
    /// Whether there are more than were counted.
    pub has_more: bool,
}

/// What has come for some receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Those of the receivers that were asked for who have anything new, by their places, each with the place
    /// behind the last of it.
    pub of: Vec<(usize, Cursor)>,
    /// Behind all that was looked at: no entry will come before it.
    pub until: Cursor,
}

/// The lists of receivers. Each message is in the list of each of its receivers until it is delivered.
///
/// A reader who goes on from each page's `next` meets every message at least once, and twice only where its
/// commit was slow or its answer was lost.
pub trait Inbox: Send + Sync {
    /// Puts a message into the list of each of its receivers. Doing it again does no harm.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: it may be in some lists; do it again, or a reader may miss it.
    fn enter<'a>(
        &'a self,
        message: FileId,
        bytes: u64,
        receivers: &'a Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The next entries behind a cursor, at most so many. What was entered less than two seconds ago may not
    /// be among them yet.
    ///
    /// # Errors
    /// `Unavailable`.
    fn page<'a>(
        &'a self,
        receiver: &'a Party,
        after: Cursor,
        most: u32,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Looks, by one question, which of these receivers have entries behind a cursor.
    ///
    /// # Errors
    /// `Unavailable`.
    fn news<'a>(
        &'a self,
        receivers: &'a [Party],
        after: Cursor,
    ) -> BoxFuture<'a, Result<News, StoreError>>;

    /// Finds many messages by few questions. The answer has no order, and lacks those that are deleted or make
    /// no sense.
    ///
    /// # Errors
    /// `Unavailable`.
    fn messages(&self, ids: Vec<FileId>) -> BoxFuture<'_, Result<Vec<StoredMessage>, StoreError>>;

    /// Counts the messages that wait for each of these receivers, by their places. Those without any are left
    /// out.
    ///
    /// # Errors
    /// `Unavailable`.
    fn count_each<'a>(
        &'a self,
        receivers: &'a [Party],
    ) -> BoxFuture<'a, Result<Vec<(usize, u64)>, StoreError>>;

    /// Counts what waits for a receiver, up to so many messages.
    ///
    /// # Errors
    /// `Unavailable`.
    fn count<'a>(
        &'a self,
        receiver: &'a Party,
        most: u32,
    ) -> BoxFuture<'a, Result<Waiting, StoreError>>;

    /// Takes messages off the list of a receiver, as they were delivered.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: some may be off the list; do it again.
    fn delivered<'a>(
        &'a self,
        receiver: &'a Party,
        messages: Vec<FileId>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The same of all that is before a cursor, which is one that a page told.
    ///
    /// # Errors
    /// As [`Inbox::delivered`].
    fn delivered_through<'a>(
        &'a self,
        receiver: &'a Party,
        cursor: Cursor,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}
