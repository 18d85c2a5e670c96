//! Where a file is now: in the journal, in the store, or nowhere.
//!
//! The journal is asked first: what it keeps needs no store, and what was deleted here stays
//! deleted whatever a commit in flight still writes. Descriptions are kept for a moment, as they
//! never change: a file that many ask for is looked up once. This room must never know HTTP.

mod recent;

use std::sync::Arc;
use std::time::Duration;

use crate::file::{FileId, FileKey, FileMeta};
use crate::journal::{Busy, Deletion, Journal, JournalError, Kept, Look, Room};
use crate::store::{Store, StoreError, StoredFile};

use recent::Recent;

/// How long a file that was deleted on another node, or by another driver, may still be found here.
const LIFETIME: Duration = Duration::from_secs(5);

/// Bytes of descriptions that are kept of each kind, at most.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Finds and deletes files, wherever they are. Shared by reference.
pub struct Delivery {
    journal: Arc<Journal>,
    store: Arc<dyn Store>,
    /// Descriptions of what is in the journal; the journal says each time whether it still is.
    kept: Recent<FileId, Arc<FileMeta>>,
    /// Files in the store, by their ids.
    stored: Recent<FileKey, Arc<StoredFile>>,
    /// Files in the store by any other key. Several keys may mean one of them, or one of those
    /// that have ids.
    foreign: Recent<FileKey, Arc<StoredFile>>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// Where a file is.
#[derive(Debug)]
pub enum Found {
    /// Its body is on this node's disk.
    Kept(Kept),
    /// It is in the store.
    Stored(Arc<StoredFile>),
    /// There is no such file.
    Absent,
}

/// What a delete came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It is gone for every caller, and the committer has to clear away the rest.
    ToClear(FileId),
    /// There was no such file.
    Absent,
}

/// Why a file could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The journal has it and cannot read it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store was to be asked and failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Delivery {
    /// Delivers from these two.
    pub fn new(journal: Arc<Journal>, store: Arc<dyn Store>) -> Self {
        Self {
            journal,
            store,
            kept: Recent::new(LIFETIME, MAX_BYTES),
            stored: Recent::new(LIFETIME, MAX_BYTES),
            foreign: Recent::new(LIFETIME, MAX_BYTES),
        }
    }

    /// Finds a file.
    ///
    /// # Errors
    /// When the place that has to be asked does not answer.
    pub async fn find(&self, key: &FileKey) -> Result<Found, DeliveryError> {
        if let FileKey::Id(id) = *key {
            match self.look(id).await? {
                Look::Kept(kept) => return Ok(Found::Kept(kept)),
                Look::Deleted => return Ok(Found::Absent),
                Look::Absent => {}
            }
        }
        let stored = self.stored(key).await?;
        Ok(stored.map_or(Found::Absent, Found::Stored))
    }

    /// Finds a file in the store alone. One that was deleted elsewhere may be found for five
    /// seconds more.
    ///
    /// # Errors
    /// When the store has to be asked and does not answer.
    pub async fn stored(&self, key: &FileKey) -> Result<Option<Arc<StoredFile>>, StoreError> {
        let recent = match key {
            FileKey::Id(_) => &self.stored,
            FileKey::Foreign(_) => &self.foreign,
        };
        if let Some(file) = recent.get(key) {
            return Ok(Some(file));
        }
        let ticket = recent.ticket();
        let found = self.store.find(key).await?.map(Arc::new);
        // That there is none is not kept: it may be committed at any moment.
        if let Some(file) = &found {
            recent.put(ticket, key, Arc::clone(file), text_bytes_of(file));
        }
        Ok(found)
    }

    /// Deletes a file: a pending one without asking the store, any other from the store. Once this
    /// has ended, the file is found here no more; dropped half-way, it may still be found for as
    /// long as one that was deleted elsewhere.
    ///
    /// # Errors
    /// As [`Delivery::find`]; the file may be gone or not, and the delete can be repeated.
    pub async fn delete(&self, key: &FileKey) -> Result<Deleted, DeliveryError> {
        if let FileKey::Id(id) = *key {
            match self.on_disk(move |journal| journal.delete(id)).await? {
                Deletion::Done => {
                    self.forget(key);
                    return Ok(Deleted::ToClear(id));
                }
                Deletion::Already => return Ok(Deleted::Absent),
                Deletion::NotHere | Deletion::Settled => {}
            }
        }
        let removed = self.store.remove(key).await;
        // After it: a lookup that begins from here on finds no file.
        self.forget(key);
        Ok(if removed? {
            Deleted::Gone
        } else {
            Deleted::Absent
        })
    }

    /// Forgets a file that was deleted, whatever keys it went by.
    fn forget(&self, key: &FileKey) {
        match key {
            FileKey::Id(_) => self.stored.forget(key),
            FileKey::Foreign(_) => self.stored.forget_all(),
        }
        self.foreign.forget_all();
    }

    /// What the journal knows of an id. For what it does not have, and for what was asked for a
    /// moment ago, its memory is enough.
    async fn look(&self, id: FileId) -> Result<Look, DeliveryError> {
        match self.journal.glance(id) {
            Ok(None) => return Ok(Look::Absent),
            Ok(Some(Room::Deleted)) => return Ok(Look::Deleted),
            Ok(Some(room)) => {
                if let Some(meta) = self.kept.get(&id) {
                    let meta = FileMeta::clone(&meta);
                    return Ok(Look::Kept(Kept { id, meta, room }));
                }
            }
            Err(Busy) => {}
        }
        let ticket = self.kept.ticket();
        let look = self.on_disk(move |journal| journal.look(id)).await?;
        if let Look::Kept(kept) = &look {
            let text_bytes = text_bytes_of_meta(&kept.meta);
            self.kept
                .put(ticket, &id, Arc::new(kept.meta.clone()), text_bytes);
        }
        Ok(look)
    }

    /// Runs one operation of the journal on the blocking pool.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || operation(&journal)).await {
            Ok(done) => Ok(done?),
            Err(lost) => std::panic::resume_unwind(lost.into_panic()),
        }
    }
}

/// The bytes of all texts of a file's description, those of its key counted for each place that
/// the key is kept in.
fn text_bytes_of(file: &StoredFile) -> usize {
    let key_bytes = match &file.key {
        FileKey::Id(_) => 0,
        FileKey::Foreign(text) => text.len(),
    };
    3 * key_bytes + file.locator.len() + text_bytes_of_meta(&file.meta)
}

fn text_bytes_of_meta(meta: &FileMeta) -> usize {
    meta.filename.as_str().len() + meta.content_type.as_str().len()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use futures::stream::BoxStream;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::config::JournalConfig;
    use crate::file::{FileName, MediaType, UnixMillis};
    use crate::journal::LocalDisk;
    use crate::store::{Committed, Promised};

    /// A store of one file, which goes by every key. A lookup looks at once, and answers when it
    /// gets a permit.
    struct OneFile {
        is_there: AtomicBool,
        lookups: AtomicUsize,
        answers: Semaphore,
    }

    impl Store for OneFile {
        fn find<'a>(
            &'a self,
            key: &'a FileKey,
        ) -> BoxFuture<'a, Result<Option<StoredFile>, StoreError>> {
            async move {
                self.lookups.fetch_add(1, Ordering::Relaxed);
                let file = self.is_there.load(Ordering::Relaxed).then(|| StoredFile {
                    key: key.clone(),
                    locator: b"the one".to_vec(),
                    meta: FileMeta {
                        filename: FileName::from_claim("a").unwrap(),
                        content_type: MediaType::octet_stream(),
                        length: 1,
                        uploaded: UnixMillis(0),
                    },
                    chunk_size_bytes: 1,
                });
                self.answers.acquire().await.unwrap().forget();
                Ok(file)
            }
            .boxed()
        }

        fn remove<'a>(&'a self, _: &'a FileKey) -> BoxFuture<'a, Result<bool, StoreError>> {
            async { Ok(self.is_there.swap(false, Ordering::Relaxed)) }.boxed()
        }

        fn commit(&self, _: Promised) -> BoxFuture<'_, Result<Committed, StoreError>> {
            unreachable!()
        }

        fn commit_group(
            &self,
            _: Vec<Promised>,
        ) -> BoxFuture<'_, Result<Vec<Committed>, StoreError>> {
            unreachable!()
        }

        fn probe(&self, _: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
            unreachable!()
        }

        fn read(
            &self,
            _: &StoredFile,
            _: Range<u64>,
        ) -> BoxStream<'static, Result<Bytes, StoreError>> {
            unreachable!()
        }

        fn clear(&self, _: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
            unreachable!()
        }

        fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
            unreachable!()
        }
    }

    fn start(directory: &Path, answers: usize) -> (Delivery, Arc<OneFile>) {
        Journal::init(directory, &LocalDisk).unwrap();
        let limits = JournalConfig {
            node: 1,
            durability: crate::config::Durability::Disk,
            max_bytes: 1000,
            max_entries: 20,
            min_free_bytes: 0,
            settled_grace: LIFETIME,
            settled_max_bytes: 1000,
            spool_orphan: LIFETIME,
        };
        let (journal, _) = Journal::open(directory, limits, Box::new(LocalDisk)).unwrap();
        let store = Arc::new(OneFile {
            is_there: AtomicBool::new(true),
            lookups: AtomicUsize::new(0),
            answers: Semaphore::new(answers),
        });
        (Delivery::new(Arc::new(journal), store.clone()), store)
    }

    fn keys() -> [FileKey; 2] {
        ["0123456789abcdef01234567", "a key of another driver"].map(FileKey::from_text)
    }

    #[tokio::test]
    async fn a_file_is_looked_up_once_and_an_absent_one_each_time() {
        for key in keys() {
            let scratch = tempfile::tempdir().unwrap();
            let (delivery, store) = start(scratch.path(), 100);
            for _ in 0..3 {
                assert!(delivery.stored(&key).await.unwrap().is_some());
                assert!(matches!(
                    delivery.find(&key).await.unwrap(),
                    Found::Stored(_)
                ));
            }
            assert_eq!(store.lookups.load(Ordering::Relaxed), 1);
            assert_eq!(delivery.delete(&key).await.unwrap(), Deleted::Gone);
            for _ in 0..3 {
                assert!(matches!(delivery.find(&key).await.unwrap(), Found::Absent));
            }
            assert_eq!(store.lookups.load(Ordering::Relaxed), 4);
        }
    }

    #[tokio::test]
    async fn a_lookup_that_a_delete_overtakes_does_not_put_the_file_back() {
        for key in keys() {
            let scratch = tempfile::tempdir().unwrap();
            let (delivery, store) = start(scratch.path(), 0);
            let mut lookup = std::pin::pin!(delivery.stored(&key));
            assert!(futures::poll!(&mut lookup).is_pending());
            assert_eq!(delivery.delete(&key).await.unwrap(), Deleted::Gone);
            store.answers.add_permits(2);
            assert!(lookup.await.unwrap().is_some());
            assert!(delivery.stored(&key).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_deleted_by_one_key_is_gone_by_every_other() {
        let [id, foreign] = keys();
        for (deleted, other) in [(&id, &foreign), (&foreign, &id)] {
            let scratch = tempfile::tempdir().unwrap();
            let (delivery, _) = start(scratch.path(), 100);
            assert!(delivery.stored(other).await.unwrap().is_some());
            assert_eq!(delivery.delete(deleted).await.unwrap(), Deleted::Gone);
            assert!(delivery.stored(other).await.unwrap().is_none());
        }
    }
}
