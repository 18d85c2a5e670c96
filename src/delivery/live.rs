//! Reads uploads while their bytes still come.
//!
//! A reader is a cursor. Without a thread it waits for the journal's word that there are more bytes for
//! good, and reads these in small pieces when its client takes them. All readers of an upload share one
//! open file. This room must never know HTTP.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::blocking::on_thread;
use crate::config::LiveConfig;
use crate::file::FileId;
use crate::journal::{
    Announcement, Becomes, Journal, JournalError, OpenUpload, UploadProgress, UploadState,
};

/// Bytes per read. The edge keeps one piece in memory for a reader that is slow, and twice as much with
/// pieces of half of this.
const PIECE_BYTES: u64 = 32 * 1024;

/// The most pieces that are read at one time. Only this bounds the pieces that wait for the thread which
/// sends them, when all readers of an upload learn at once that it has grown.
const READS_AT_ONCE: usize = 16;

/// The uploads that are read while they grow.
#[derive(Debug)]
pub struct LiveUploads {
    /// Each of them, with the number of its readers.
    followed: Mutex<HashMap<FileId, (Arc<Followed>, usize)>>,
    readers: Arc<Semaphore>,
    reads: Semaphore,
    config: LiveConfig,
    stopping: CancellationToken,
}

/// The state and the open file that all readers of an upload share.
#[derive(Debug)]
struct Followed {
    /// `None` until the upload moves.
    progress: watch::Sender<Option<UploadProgress>>,
    body: OnceLock<Arc<File>>,
}

/// The reason why a reader gets no more bytes. Another may go on later from where it ended.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// There are as many readers as are allowed.
    #[error("too many readers of uploads that are not complete")]
    Full,
    /// The upload was ended, or has expired.
    #[error("the upload has ended")]
    Ended,
    /// No bytes have come for a while.
    #[error("the upload stands still")]
    StoodStill,
    /// The upload is complete, and ends before the first byte that was asked for.
    #[error("the upload is shorter")]
    Shorter,
    /// This process stops.
    #[error("the sidecar stops")]
    Stopping,
    /// The journal cannot read it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A reader of one upload. Dropping it gives its place to another.
#[derive(Debug)]
pub struct LiveReader {
    uploads: Arc<LiveUploads>,
    journal: Arc<Journal>,
    id: FileId,
    followed: Arc<Followed>,
    progress: watch::Receiver<Option<UploadProgress>>,
    known: UploadProgress,
    _permit: OwnedSemaphorePermit,
}

impl LiveUploads {
    /// Nobody reads yet.
    pub fn new(config: &LiveConfig) -> Arc<Self> {
        Arc::new(Self {
            followed: Mutex::default(),
            readers: Arc::new(Semaphore::new(config.max_readers)),
            reads: Semaphore::new(READS_AT_ONCE),
            config: config.clone(),
            stopping: CancellationToken::new(),
        })
    }

    /// Takes the journal's announcements. Never blocks.
    pub fn hear(&self, announcement: Announcement) {
        let Announcement::Upload { id, progress } = announcement else {
            return;
        };
        let followed = self.followed().get(&id).cloned();
        if let Some((followed, _)) = followed {
            // Two threads may announce the states of one upload in another order.
            followed.progress.send_if_modified(|seen| {
                let is_news = seen.is_none_or(|seen| seen < progress);
                if is_news {
                    *seen = Some(progress);
                }
                is_news
            });
        }
    }

    /// Ends all reading, now and from now on.
    pub fn end(&self) {
        self.stopping.cancel();
    }

    /// The number of readers.
    pub fn readers(&self) -> usize {
        let free = self.readers.available_permits();
        self.config.max_readers.saturating_sub(free)
    }

    /// Begins to read an upload; `None` if it is none that may still grow, or becomes no file of its own.
    ///
    /// # Errors
    /// [`LiveError::Full`], and the journal's errors.
    pub async fn open(
        self: &Arc<Self>,
        journal: &Arc<Journal>,
        id: FileId,
    ) -> Result<Option<(OpenUpload, LiveReader)>, LiveError> {
        let permit = Arc::clone(&self.readers).try_acquire_owned();
        let permit = permit.map_err(|_| LiveError::Full)?;
        // It follows before it looks, so it misses no progress.
        let followed = self.follow(id);
        let mut reader = LiveReader {
            uploads: Arc::clone(self),
            journal: Arc::clone(journal),
            id,
            progress: followed.progress.subscribe(),
            followed,
            known: UploadProgress::Grown(0),
            _permit: permit,
        };
        let journal = Arc::clone(journal);
        let state = on_thread(move || journal.upload_state(id)).await?;
        let Some(UploadState::Open(open)) = state else {
            return Ok(None);
        };
        reader.known = UploadProgress::Grown(open.offset);
        Ok((open.becomes == Becomes::File).then_some((open, reader)))
    }

    fn follow(&self, id: FileId) -> Arc<Followed> {
        let mut followed = self.followed();
        let (found, readers) = followed.entry(id).or_insert_with(|| {
            let followed = Followed {
                progress: watch::Sender::new(None),
                body: OnceLock::new(),
            };
            (Arc::new(followed), 0)
        });
        *readers += 1;
        Arc::clone(found)
    }

    fn leave(&self, id: FileId) {
        let mut followed = self.followed();
        if let Some((_, readers)) = followed.get_mut(&id) {
            *readers -= 1;
            if *readers == 0 {
                followed.remove(&id);
            }
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<FileId, (Arc<Followed>, usize)>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveReader {
    /// Streams a range of the upload, which may end behind its last byte. It ends where the range or the
    /// complete upload ends. A client must see each error as a broken connection.
    pub fn stream(self, range: Range<u64>) -> impl Stream<Item = Result<Bytes, LiveError>> {
        stream::try_unfold((self, range), |(mut reader, range)| async move {
            let Some(piece) = reader.next_piece(&range).await? else {
                return Ok(None);
            };
            let bytes = reader.read(piece.clone()).await?;
            Ok(Some((bytes, (reader, piece.end..range.end))))
        })
    }

    /// Waits for the next bytes of a range; `None` at its end.
    async fn next_piece(&mut self, range: &Range<u64>) -> Result<Option<Range<u64>>, LiveError> {
        let at = range.start;
        if at >= range.end {
            return Ok(None);
        }
        loop {
            let seen = *self.progress.borrow_and_update();
            self.known = seen.map_or(self.known, |seen| seen.max(self.known));
            let (end, is_complete) = match self.known {
                UploadProgress::Grown(end) => (end, false),
                UploadProgress::Complete(end) => (end, true),
                UploadProgress::Ended => return Err(LiveError::Ended),
            };
            if at < end {
                let end = end.min(range.end).min(at.saturating_add(PIECE_BYTES));
                return Ok(Some(at..end));
            }
            match is_complete {
                true if at > end => return Err(LiveError::Shorter),
                true => return Ok(None),
                false => self.wait().await?,
            }
        }
    }

    /// Waits until the upload moves.
    async fn wait(&mut self) -> Result<(), LiveError> {
        let patience = self.uploads.config.patience;
        let moved = tokio::time::timeout(patience, self.progress.changed());
        match self.uploads.stopping.run_until_cancelled(moved).await {
            None => Err(LiveError::Stopping),
            Some(Err(_elapsed)) => Err(LiveError::StoodStill),
            // The sender lives as long as this reader.
            Some(Ok(_)) => Ok(()),
        }
    }

    async fn read(&self, piece: Range<u64>) -> Result<Bytes, LiveError> {
        let (journal, followed) = (Arc::clone(&self.journal), Arc::clone(&self.followed));
        let id = self.id;
        // It is never closed.
        let _permit = self.uploads.reads.acquire().await.ok();
        let read = on_thread(move || {
            let body = if let Some(body) = followed.body.get() {
                body
            } else {
                let opened = Arc::new(journal.open_growing(id)?);
                followed.body.get_or_init(|| opened)
            };
            let length = usize::try_from(piece.end - piece.start).map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            body.read_exact_at(&mut bytes, piece.start)?;
            Ok(Bytes::from(bytes))
        });
        read.await.map_err(|source| {
            let step = "read the body";
            JournalError::Disk { id, step, source }.into()
        })
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.uploads.leave(self.id);
    }
}

#[cfg(test)]
mod tests;
