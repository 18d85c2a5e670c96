//! Announces the journal's work for other rooms.
//!
//! An announcement is only a hint: the log is the truth, and memory follows it. An entry is announced
//! only after its frame is synced and the index has recorded that. If an announcement is missed,
//! [`Journal::work`](super::Journal::work) still lists the entry.

use std::fmt;

use crate::file::FileId;

/// A fact about an entry that others act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// It is promised, or has a new start: commit it.
    ToCommit {
        /// The entry.
        id: FileId,
        /// Whether it is the package of a message, which goes ahead of other files.
        is_package: bool,
    },
    /// It was deleted before it was settled: clear it away. Or its message never came: undo its links.
    ToClear(FileId),
    /// It is settled: the store has it.
    Settled {
        /// The entry.
        id: FileId,
        /// The bytes of its file.
        bytes: u64,
    },
    /// An upload that could grow has moved: tell its readers.
    Upload {
        /// The upload.
        id: FileId,
        /// Its state now.
        progress: UploadProgress,
    },
}

/// The state of an upload for those who read it while it grows. A later state is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UploadProgress {
    /// It may still grow, and has this number of bytes for good.
    Grown(u64),
    /// It is a file of this length.
    Complete(u64),
    /// It was ended, or has expired.
    Ended,
}

/// Sends announcements; the journal gets it when it is opened.
pub struct Announcer(Box<dyn Fn(Announcement) + Send + Sync>);

impl Announcer {
    /// The thread that records a sync calls `tell`. Other threads may wait for it, so `tell` must not
    /// block. It may ask the journal.
    pub fn new(tell: impl Fn(Announcement) + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// An announcer without a listener.
    pub fn to_nobody() -> Self {
        Self::new(|_| ())
    }

    /// Nothing to announce so far.
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

/// Announces when it is dropped, also in a panic. It must not be dropped while the index is locked.
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
