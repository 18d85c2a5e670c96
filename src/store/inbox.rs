//! The port for the lists of receivers.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{StoreError, StoredMessage};
use crate::file::FileId;
use crate::message::{Cursor, Party, Receivers, Wording};

/// A message that waits for a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub message: FileId,
    /// The bytes of its package and of all its parts.
    pub bytes: u64,
    /// The place behind it.
    pub cursor: Cursor,
    /// The words of the message, if the entry has them and the message is known not to be deleted.
    pub wording: Option<Arc<Wording>>,
}

/// A message of a list; `None` stands for a document that cannot be read.
pub type ListedMessage = (FileId, Option<StoredMessage>);

/// The oldest messages that wait for a receiver behind a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of the list.
    pub entries: Vec<Entry>,
    /// The place behind all that was read: no entry will come before it.
    pub next: Cursor,
}

/// The number and the bytes of the messages that wait for a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The number of messages, as far as they were counted.
    pub messages: u64,
    /// The bytes of the counted messages.
    pub bytes: u64,
    /// Whether there are more messages than were counted.
    pub has_more: bool,
}

/// The news of some receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The receivers with news, by their places in the question, each with the place behind its
    /// last entry.
    pub of: Vec<(usize, Cursor)>,
    /// The place behind all that was read: no entry will come before it.
    pub until: Cursor,
}

/// The lists of receivers. Each message is in the list of each of its receivers until it is delivered.
///
/// A reader that goes on from each page's `next` gets every message once: see
/// [`crate::message::listing`].
pub trait Inbox: Send + Sync {
    /// Puts a message into the list of each of its receivers. A repetition moves it in no list.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: it may be in some lists. The caller must repeat this,
    /// or a reader may miss the message.
    fn enter<'a>(
        &'a self,
        message: FileId,
        bytes: u64,
        receivers: &'a Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Returns up to `most` entries behind a cursor, and about a megabyte of words. Entries of the last
    /// two seconds may be missing.
    ///
    /// # Errors
    /// `Unavailable`.
    fn page<'a>(
        &'a self,
        receiver: &'a Party,
        after: Cursor,
        most: u32,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Takes a message off the list of a receiver for good, before or after the message enters it.
    /// A repeat does no harm. The receiver must be one of the message's receivers.
    ///
    /// # Errors
    /// `Unavailable`, `TimedOut` or `Failed`: it may be off the list. The caller should repeat this.
    fn strike<'a>(
        &'a self,
        receiver: &'a Party,
        message: FileId,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Finds out, with one question, which of these receivers have entries behind a cursor.
    ///
    /// # Errors
    /// `Unavailable`.
    fn news<'a>(
        &'a self,
        receivers: &'a [Party],
        after: Cursor,
    ) -> BoxFuture<'a, Result<News, StoreError>>;

    /// Finds many messages with few questions. The answer has no order, and lacks deleted messages.
    ///
    /// # Errors
    /// `Unavailable`.
    fn messages(&self, ids: Vec<FileId>) -> BoxFuture<'_, Result<Vec<ListedMessage>, StoreError>>;

    /// Counts the messages that wait for each of these receivers, by their places in `receivers`.
    /// The answer omits receivers without messages.
    ///
    /// # Errors
    /// `Unavailable`.
    fn count_each<'a>(
        &'a self,
        receivers: &'a [Party],
    ) -> BoxFuture<'a, Result<Vec<(usize, u64)>, StoreError>>;

    /// Counts up to `most` messages that wait for a receiver.
    ///
    /// # Errors
    /// `Unavailable`.
    fn count<'a>(
        &'a self,
        receiver: &'a Party,
        most: u32,
    ) -> BoxFuture<'a, Result<Waiting, StoreError>>;

    /// Takes delivered messages off the list of a receiver.
    ///
    /// # Errors
    /// `Unavailable` or `TimedOut`: some may be off the list. The caller should repeat this.
    fn delivered<'a>(
        &'a self,
        receiver: &'a Party,
        messages: Vec<FileId>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Takes all messages before a cursor off the list of a receiver. The cursor comes from a page.
    ///
    /// # Errors
    /// As [`Inbox::delivered`].
    fn delivered_through<'a>(
        &'a self,
        receiver: &'a Party,
        cursor: Cursor,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}
