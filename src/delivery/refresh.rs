//! Looks descriptions that are asked for all the time up anew before they are too old, many of them by
//! one question. Requests for such files never wait for the store, and cost it next to nothing.
//!
//! 1. A lookup that finds a description past half of its lifetime adds the id here. It starts a round,
//!    as a task of its own, if none runs.
//! 2. The round waits a moment for more ids, and then asks for about a hundred at once until no id is
//!    left.
//! 3. Descriptions of files that exist live on, from the time before the question. The others are
//!    forgotten.
//! 4. A question that fails changes nothing: the descriptions leave when their time is over.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::recent::Recent;
use super::text_bytes_of;
use crate::file::{FileId, FileKey};
use crate::store::{Store, StoreError, StoredFile};

/// The time that a round waits for more ids.
const GATHER: Duration = Duration::from_millis(20);

/// Files in one question: looking up this many takes as long as a few single lookups.
const AT_ONCE: usize = 128;

/// The files to be looked up anew.
pub(super) struct Refresh {
    store: Arc<dyn Store>,
    stored: Arc<Recent<FileKey, Arc<StoredFile>>>,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    ids: HashSet<FileId>,
    round: Option<JoinHandle<()>>,
}

impl Refresh {
    pub(super) fn new(
        store: Arc<dyn Store>,
        stored: Arc<Recent<FileKey, Arc<StoredFile>>>,
    ) -> Self {
        Self {
            store,
            stored,
            wanted: Mutex::default(),
        }
    }

    /// Has a description looked up anew soon. Must be called on a tokio runtime.
    pub(super) fn add(self: &Arc<Self>, id: FileId) {
        let mut wanted = self.wanted();
        wanted.ids.insert(id);
        // A round that is about to end may leave this id to the next call.
        if wanted.round.as_ref().is_none_or(JoinHandle::is_finished) {
            let refresh = Arc::clone(self);
            wanted.round = Some(tokio::spawn(async move { refresh.round().await }));
        }
    }

    async fn round(&self) {
        loop {
            tokio::time::sleep(GATHER).await;
            let ids = std::mem::take(&mut self.wanted().ids);
            if ids.is_empty() {
                return;
            }
            let ids: Vec<_> = ids.into_iter().collect();
            for some in ids.chunks(AT_ONCE) {
                if let Err(err) = self.look_up(some).await {
                    log::debug!("descriptions are not looked up anew: {err}");
                    break;
                }
            }
        }
    }

    async fn look_up(&self, ids: &[FileId]) -> Result<(), StoreError> {
        let ticket = self.stored.ticket();
        // An id that was added again during its own lookup is fresh already.
        let is_aging = |id: &&FileId| {
            let aged = self.stored.get_aged(&FileKey::Id(**id));
            aged.is_some_and(|(_, is_aging)| is_aging)
        };
        let ids: Vec<_> = ids.iter().filter(is_aging).copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut left: HashSet<_> = ids.iter().copied().map(FileKey::Id).collect();
        for mut file in self.store.find_all(ids).await? {
            left.remove(&file.key);
            // It is asked for all the time, so its bytes stay in memory.
            file.content = self.content_of(&file);
            let (key, text_bytes) = (file.key.clone(), text_bytes_of(&file));
            self.stored.put(ticket, &key, Arc::new(file), text_bytes);
        }
        for gone in &left {
            self.stored.forget(gone);
        }
        Ok(())
    }

    /// The bytes of the file from its earlier description, if the content is the same.
    fn content_of(&self, file: &StoredFile) -> Option<Bytes> {
        let before = self.stored.get(&file.key)?;
        let is_same = before.locator == file.locator && before.meta == file.meta;
        before.content.clone().filter(|_| is_same)
    }

    /// A thread that panicked under the lock at worst left an id out.
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
