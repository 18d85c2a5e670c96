//! Descriptions that are kept, against a store that counts its lookups.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::*;
use crate::config::{ClusterConfig, JournalConfig};
use crate::file::{FileName, MediaType, Metadata, UnixMillis};
use crate::journal::LocalDisk;
use crate::store::{Committed, Promised};

/// A store of one file, which goes by every key. A lookup looks at once, and answers when it
/// gets a permit.
struct OneFile {
    is_there: AtomicBool,
    lookups: AtomicUsize,
    /// How often it was asked for the bytes too.
    contents: AtomicUsize,
    answers: Semaphore,
}

impl Store for OneFile {
    fn find<'a>(
        &'a self,
        key: &'a FileKey,
        with_content: bool,
    ) -> BoxFuture<'a, Result<Option<StoredFile>, StoreError>> {
        async move {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            self.contents
                .fetch_add(usize::from(with_content), Ordering::Relaxed);
            let file = self.is_there.load(Ordering::Relaxed).then(|| StoredFile {
                key: key.clone(),
                locator: b"the one".to_vec(),
                meta: FileMeta {
                    filename: FileName::from_claim("a").unwrap(),
                    content_type: MediaType::octet_stream(),
                    length: 1,
                    uploaded: UnixMillis(0),
                    metadata: Metadata::default(),
                },
                chunk_size_bytes: 1,
                sha256: None,
                content: with_content.then(|| Bytes::from_static(b"a")),
            });
            self.answers.acquire().await.unwrap().forget();
            Ok(file)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, _: &'a FileKey) -> BoxFuture<'a, Result<bool, StoreError>> {
        async { Ok(self.is_there.swap(false, Ordering::Relaxed)) }.boxed()
    }

    fn announce<'a>(
        &'a self,
        _: u16,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        unreachable!()
    }

    fn commit(&self, _: Promised) -> BoxFuture<'_, Result<Committed, StoreError>> {
        unreachable!()
    }

    fn commit_group(&self, _: Vec<Promised>) -> BoxFuture<'_, Result<Vec<Committed>, StoreError>> {
        unreachable!()
    }

    fn probe(&self, _: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!()
    }

    fn read(&self, _: &StoredFile, _: Range<u64>) -> BoxStream<'static, Result<Bytes, StoreError>> {
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
        min_free_inodes: 0,
        log_body_bytes: 0,
        settled_grace: LIFETIME,
        settled_max_bytes: 1000,
        answer_lifetime: LIFETIME,
        max_answers: 100,
        spool_orphan: LIFETIME,
    };
    let (journal, _) = Journal::open(directory, limits, Box::new(LocalDisk)).unwrap();
    let store = Arc::new(OneFile {
        is_there: AtomicBool::new(true),
        lookups: AtomicUsize::new(0),
        contents: AtomicUsize::new(0),
        answers: Semaphore::new(answers),
    });
    let peers = ClusterConfig {
        peers: Vec::new(),
        key: None,
    };
    let peers = Peers::new(1, &peers).unwrap();
    let (journal, peers) = (Arc::new(journal), Arc::new(peers));
    let delivery = Delivery::new(journal, store.clone(), peers, Box::new(|| true));
    (delivery, store)
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
                Found::Stored { .. }
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
async fn the_bytes_are_at_hand_for_the_first_who_asks_and_come_along_until_nginx_has_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 100);
    let [key, foreign] = keys();
    let ask = async |key, are_at_hand: bool| {
        let Found::Stored { at_hand, .. } = delivery.find(key).await.unwrap() else {
            panic!("it is in the store");
        };
        assert_eq!(at_hand.is_some(), are_at_hand);
    };
    let contents = || store.contents.load(Ordering::Relaxed);
    ask(&key, true).await;
    delivery.stored.forget(&key);
    ask(&key, false).await;
    assert_eq!(contents(), 2);
    delivery.stored.forget(&key);
    ask(&key, false).await;
    ask(&foreign, false).await;
    assert_eq!(contents(), 2);
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
