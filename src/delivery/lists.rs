//! The lists of receivers: the messages that wait for each, in pages, and waiting for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::full::FullLists;
use super::waiting::{NoRoom, Waiters, Woken};
use super::{Delivery, DeliveryError, FoundMessage};
use crate::config::ListConfig;
use crate::file::FileId;
use crate::message::{Cursor, Party, Receivers, Wording};
use crate::store::{Deleted, Entry, Inbox, StoreError, Waiting};

/// The pause between two questions for all waiting receivers.
const TICK: Duration = Duration::from_millis(250);

/// The approximate length of a page at most, in bytes. A single message may be longer.
const MOST_BYTES: usize = 1024 * 1024;

/// The most messages that are read at once.
const MOST_READ: usize = 50;

/// The most pages in memory at the same time, until nginx has them. A page may take ten megabytes
/// while it is made.
pub(super) const MOST_PAGES: usize = 16;

/// The most messages that are counted.
const MOST_COUNTED: u32 = 10_000;

/// Messages that wait for a receiver, the oldest first.
#[derive(Debug)]
pub struct List {
    /// The words of the messages, each with the place behind it.
    pub messages: Vec<(Cursor, Arc<Wording>)>,
    /// The place behind all of them: the next page begins there.
    pub next: Cursor,
    /// Whether the next page has any messages by now.
    pub has_more: bool,
    /// The permit for a page. It has to live as long as the page's bytes do.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// The reason why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The most receivers that may wait do so already.
    #[error("too many receivers wait for messages")]
    TooManyWait,
    /// The most requests that may wait for this receiver do so already.
    #[error("too many requests wait for messages to this receiver")]
    TooManyOfReceiver,
    /// The store or a journal does not answer.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

/// The lists of receivers. Shared by reference.
pub struct Lists {
    delivery: Arc<Delivery>,
    inbox: Arc<dyn Inbox>,
    waiters: Waiters,
    full: FullLists,
    pages: Arc<Semaphore>,
    /// Whether the last question for all waiting receivers failed.
    has_failed: AtomicBool,
}

impl std::fmt::Debug for Lists {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lists").finish_non_exhaustive()
    }
}

impl From<NoRoom> for ListError {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::OfAll => Self::TooManyWait,
            NoRoom::OfReceiver => Self::TooManyOfReceiver,
        }
    }
}

impl From<StoreError> for ListError {
    fn from(err: StoreError) -> Self {
        Self::Delivery(err.into())
    }
}

impl Lists {
    /// Makes the lists, with these bounds.
    pub fn new(delivery: Arc<Delivery>, inbox: Arc<dyn Inbox>, config: &ListConfig) -> Self {
        Self {
            delivery,
            inbox,
            waiters: Waiters::new(config.max_waiting),
            full: FullLists::new(config.receiver_max_waiting),
            pages: Arc::new(Semaphore::new(MOST_PAGES)),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Returns a page of the messages behind a cursor, in its turn: few pages are in memory at the
    /// same time. If there are none, it waits up to `patience` for the first. Meanwhile nothing is
    /// asked for this receiver alone, and a caller that goes away is forgotten.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn page(
        &self,
        receiver: &Party,
        after: Cursor,
        most: u32,
        patience: Duration,
    ) -> Result<List, ListError> {
        let deadline = Instant::now() + patience;
        let mut list = self.page_now(receiver, after, most).await?;
        while list.messages.is_empty() {
            if list.has_more {
                // All messages of that page were deleted.
                list.permit = None;
                list = self.page_now(receiver, list.next, most).await?;
                continue;
            }
            if Instant::now() >= deadline {
                break;
            }
            list.permit = None;
            let wait = self.waiters.begin(receiver, list.next)?;
            match timeout_at(deadline, wait.woken()).await {
                Ok(Woken::ByNews) => list = self.page_now(receiver, list.next, most).await?,
                Err(_) if self.has_failed.load(Ordering::Relaxed) => {
                    let said = "the last question for lists has failed".to_owned();
                    return Err(StoreError::Unavailable(said).into());
                }
                Ok(Woken::ByEnd) | Err(_) => break,
            }
        }
        Ok(list)
    }

    /// Counts the messages that wait for a receiver.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn count(&self, receiver: &Party) -> Result<Waiting, ListError> {
        self.require_store()?;
        Ok(self.inbox.count(receiver, MOST_COUNTED).await?)
    }

    /// Takes messages off the list of a receiver. Messages that are not on it do no harm.
    ///
    /// # Errors
    /// [`ListError`]; some messages may be off the list, so the caller should repeat this.
    pub async fn delivered(
        &self,
        receiver: &Party,
        messages: Vec<FileId>,
    ) -> Result<(), ListError> {
        self.require_store()?;
        Ok(self.inbox.delivered(receiver, messages).await?)
    }

    /// Takes all messages up to a cursor off the list of a receiver.
    ///
    /// # Errors
    /// As [`Lists::delivered`].
    pub async fn delivered_through(
        &self,
        receiver: &Party,
        cursor: Cursor,
    ) -> Result<(), ListError> {
        self.require_store()?;
        Ok(self.inbox.delivered_through(receiver, cursor).await?)
    }

    /// Takes a message off the list of one of its receivers for good, before or after it is listed.
    /// The message itself stays.
    ///
    /// 1. The list gets a note of it.
    /// 2. The message is looked up again. If it was deleted meanwhile, the note goes: a delete marks
    ///    the message first and clears the lists then, so one of the two finds the other's write.
    ///
    /// Returns `Absent` if there is no such message any more.
    ///
    /// # Errors
    /// [`ListError`]; it may be off the list. The caller should repeat this.
    pub async fn strike(&self, receiver: &Party, message: FileId) -> Result<Deleted, ListError> {
        self.require_store()?;
        self.inbox.strike(receiver, message).await?; // 1
        self.delivery.told.forget(&message);
        if self.delivery.message(message).await?.is_some() {
            return Ok(Deleted::Gone);
        }
        let only = Receivers::from(receiver.clone());
        self.delivery.messages.leave(message, &only).await?; // 2
        Ok(Deleted::Absent)
    }

    /// Counts a message to these receivers. Does not block.
    ///
    /// # Errors
    /// A receiver with a full list; then nothing is counted.
    pub fn take(&self, receivers: &Receivers) -> Result<(), Party> {
        self.full.take(receivers)
    }

    /// Asks again and again for all waiting receivers, as long as any wait, and for the counts of
    /// receivers that get messages, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        let counting = async {
            loop {
                let receivers = self.full.to_ask().await;
                let counted = self.inbox.count_each(&receivers).await;
                self.full.learn(&receivers, counted.as_deref().ok());
                tokio::time::sleep(TICK).await;
            }
        };
        let watching = async {
            loop {
                self.waiters.until_any().await;
                tokio::time::sleep(TICK).await;
                self.ask_for_all().await;
            }
        };
        let both = futures::future::join(watching, counting);
        stop.run_until_cancelled(both).await;
    }

    /// Ends all waits, now and from now on.
    pub fn end_waiting(&self) {
        self.waiters.end();
    }

    /// Returns how many receivers wait.
    pub fn waiting(&self) -> usize {
        self.waiters.count()
    }

    async fn ask_for_all(&self) {
        let (receivers, after) = self.waiters.all();
        if receivers.is_empty() {
            return;
        }
        let found = self.inbox.news(&receivers, after).await;
        self.has_failed.store(found.is_err(), Ordering::Relaxed);
        match found {
            Ok(news) => self.waiters.tell(&receivers, after, &news),
            // Waiting receivers learn of this at the end of their time: the store may answer again
            // before.
            Err(err) => log::debug!("a question for lists: {err}"),
        }
    }

    async fn page_now(
        &self,
        receiver: &Party,
        after: Cursor,
        most: u32,
    ) -> Result<List, ListError> {
        self.require_store()?;
        // The semaphore is never closed.
        let permit = Arc::clone(&self.pages).acquire_owned().await.ok();
        let page = self.inbox.page(receiver, after, most).await?;
        // All other pages end at a place that is not an entry's.
        let is_full = page
            .entries
            .last()
            .is_some_and(|last| last.cursor == page.next);
        let mut list = List {
            messages: Vec::new(),
            next: page.next,
            has_more: is_full,
            permit,
        };
        let mut bytes = 0;
        for entries in page.entries.chunks(MOST_READ) {
            for (cursor, wording) in self.wordings(entries).await? {
                let length = wording.bytes();
                if bytes + length > MOST_BYTES && !list.messages.is_empty() {
                    list.next = list.messages.last().map_or(after, |(cursor, _)| *cursor);
                    list.has_more = true;
                    return Ok(list);
                }
                bytes += length;
                list.messages.push((cursor, wording));
            }
        }
        Ok(list)
    }

    /// Returns the words of the messages of entries, without deleted ones. An entry without words costs a
    /// look at its package. A damaged message does not stand in the way of the others.
    async fn wordings(&self, entries: &[Entry]) -> Result<Vec<(Cursor, Arc<Wording>)>, ListError> {
        let told = &self.delivery.told;
        let of_message = |found: &Arc<FoundMessage>| Arc::clone(&found.wording);
        let known = |entry: &Entry| {
            let of_entry = entry.wording.clone();
            of_entry.or_else(|| told.get(&entry.message).as_ref().map(of_message))
        };
        let ticket = told.ticket();
        let mut found: Vec<_> = entries.iter().map(|entry| (entry, known(entry))).collect();
        let unknown = found.iter().filter(|(_, found)| found.is_none());
        let unknown: Vec<_> = unknown.map(|(entry, _)| entry.message).collect();
        let stored = if unknown.is_empty() {
            Vec::new()
        } else {
            self.inbox.messages(unknown).await?
        };
        for (id, stored) in stored {
            let wording = self.delivery.listed_wording(ticket, id, stored).await?;
            let places = found.iter_mut().filter(|(entry, _)| entry.message == id);
            places.for_each(|(_, place)| place.clone_from(&wording));
        }
        let found = found.into_iter().filter_map(|(entry, found)| {
            let is_deleted = self.delivery.is_deleted_here(entry.message);
            Some((entry.cursor, found.filter(|_| !is_deleted)?))
        });
        Ok(found.collect())
    }

    /// Returns an error if the store is known to be away, so that no caller waits for it.
    fn require_store(&self) -> Result<(), StoreError> {
        if self.delivery.is_store_up() {
            return Ok(());
        }
        let said = "it is away, and lists are nowhere else".to_owned();
        Err(StoreError::Unavailable(said))
    }
}
