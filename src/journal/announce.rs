//! The work that the journal has for others, as the journal itself tells it.
//!
//! An announcement is a hint: the log is the truth, and memory follows it. Nothing is announced before its
//! frame is synced and the index says so. An announcement that is missed loses nothing: the entry stands in
//! [`Journal::work`](super::Journal::work), where it is found.

use std::fmt;

use crate::file::FileId;

/// A fact about an entry that others act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// It is promised, or has a new start: it has to be committed.
    ToCommit(FileId),
    /// It was deleted before it was settled: it has to be cleared away.
    ToClear(FileId),
    /// It is settled: the store has it.
    Settled {
        /// The entry.
        id: FileId,
        /// The bytes of its file.
        bytes: u64,
    },
}

/// The sender of announcements, given to the journal when it is opened.
pub struct Announcer(Box<dyn Fn(Announcement) + Send + Sync>);

impl Announcer {
    /// `tell` is called by the thread that notes a sync, which others may wait for: it must not block. It
    /// may ask the journal.
    pub fn new(tell: impl Fn(Announcement) + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// Nobody listens.
    pub fn to_nobody() -> Self {
        Self::new(|_| ())
    }

    /// Nothing to announce yet.
    pub(super) fn nothing(&self) -> ToAnnounce<'_> {
        ToAnnounce {
            announcer: self,
            announcements: Vec::new(),
        }
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Announcer").finish_non_exhaustive()
    }
}

/// Announces when it is dropped, by a panic as well. That must not be while the index is locked.
#[derive(Debug)]
#[must_use = "it announces when it is dropped: not under a lock"]
pub(super) struct ToAnnounce<'a> {
    announcer: &'a Announcer,
    announcements: Vec<Announcement>,
}

impl ToAnnounce<'_> {
    pub(super) fn set(&mut self, announcements: Vec<Announcement>) {
        self.announcements = announcements;
    }
}

impl Drop for ToAnnounce<'_> {
    fn drop(&mut self) {
        for &announcement in &self.announcements {
            (self.announcer.0)(announcement);
        }
    }
}
