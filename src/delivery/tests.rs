//! Kept descriptions, tried on a store that counts its lookups.

mod cached;
mod kept;
pub(super) mod limits;
mod pages;
mod reach;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::*;
use crate::config::ClusterConfig;
use limits::limits;

use crate::journal::{Announcer, Draft, Layout, LocalDisk, Room};
use crate::spool::Received;
use crate::store::{Committed, Deleted, Evidence, NoMessages, Progress, Promised, Sent};

/// The time that a test waits for something that comes at once or never.
const BOUND: Duration = Duration::from_secs(10);

/// A store with one file, which every key names. A lookup takes its result at once, and answers
/// when it gets a permit.
struct OneFile {
    is_there: AtomicBool,
    /// Whether it has not answered for long.
    is_away: AtomicBool,
    lookups: AtomicUsize,
    /// The number of lookups that asked for the bytes, too.
    contents: AtomicUsize,
    answers: Semaphore,
    /// The number of files in each question for several.
    questions: Mutex<Vec<usize>>,
}

fn file(key: &FileKey) -> StoredFile {
    StoredFile {
        key: key.clone(),
        locator: b"the one".to_vec(),
        meta: FileMeta {
            length: 1,
            ..FileMeta::sample()
        },
        foreign_metadata: String::new(),
        chunk_size_bytes: 1,
        sha256: Some(Sha256([7; 32])),
        content: None,
    }
}

impl Store for OneFile {
    fn key(&self, text: &str) -> FileKey {
        FileKey::from_text(text)
    }

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
                content: with_content.then(|| Bytes::from_static(b"a")),
                ..file(key)
            });
            self.answers.acquire().await.unwrap().forget();
            Ok(file)
        }
        .boxed()
    }

    fn find_all(&self, ids: Vec<FileId>) -> BoxFuture<'_, Result<Vec<StoredFile>, StoreError>> {
        async move {
            let is_there = self.is_there.load(Ordering::Relaxed);
            self.questions.lock().unwrap().push(ids.len());
            let permit = self.answers.acquire().await;
            permit
                .map_err(|closed| StoreError::Unavailable(closed.to_string()))?
                .forget();
            let found = ids.into_iter().filter(|_| is_there);
            Ok(found.map(|id| file(&FileKey::Id(id))).collect())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, _: &'a FileKey) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        let deleted = if self.is_there.swap(false, Ordering::Relaxed) {
            Deleted::Gone
        } else {
            Deleted::Absent
        };
        async move { Ok(deleted) }.boxed()
    }

    fn commit<'a>(
        &'a self,
        _: Promised,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        unreachable!()
    }

    fn commit_group<'a>(
        &'a self,
        _: Vec<Promised>,
        _: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<Vec<Committed>, StoreError>> {
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
    start_with_log(directory, answers, 0)
}

/// Bodies of up to `log_body_bytes` go into the log.
fn start_with_log(
    directory: &Path,
    answers: usize,
    log_body_bytes: u32,
) -> (Delivery, Arc<OneFile>) {
    Journal::init(directory, &LocalDisk).unwrap();
    let announcer = Announcer::to_nobody();
    let opened = Journal::open(
        directory,
        limits(log_body_bytes),
        Box::new(LocalDisk),
        announcer,
    );
    let (journal, _) = opened.unwrap();
    let store = Arc::new(OneFile {
        is_there: AtomicBool::new(true),
        is_away: AtomicBool::new(false),
        lookups: AtomicUsize::new(0),
        contents: AtomicUsize::new(0),
        answers: Semaphore::new(answers),
        questions: Mutex::default(),
    });
    let peers = ClusterConfig::default();
    let peers = Arc::new(Peers::new(1, &peers).unwrap());
    let seen = Arc::clone(&store);
    let reach: StoreCheck = Box::new(move || {
        if seen.is_away.load(Ordering::Relaxed) {
            Reach::Away
        } else {
            Reach::Up
        }
    });
    let journal = Arc::new(journal);
    let links = Links::new(journal.clone(), Arc::new(NoMessages), peers.clone());
    let links = Arc::new(links);
    let (files, messages) = (store.clone(), Arc::new(NoMessages));
    let delivery = Delivery::new(journal, files, messages, links, peers, reach, MAX_BYTES);
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
        // A deleted id never means a file again.
        let more = if matches!(key, FileKey::Id(_)) { 0 } else { 3 };
        assert_eq!(store.lookups.load(Ordering::Relaxed), 1 + more);
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
async fn those_who_ask_at_the_same_time_share_a_lookup_but_not_one_that_finds_none() {
    for key in keys() {
        let scratch = tempfile::tempdir().unwrap();
        let (delivery, store) = start(scratch.path(), 0);
        let mut first = Box::pin(delivery.stored(&key));
        assert!(futures::poll!(&mut first).is_pending());
        let mut others = futures::future::join_all((0..9).map(|_| delivery.stored(&key)));
        assert!(futures::poll!(&mut others).is_pending());
        drop(first);
        store.answers.add_permits(1);
        // A caller that asks for itself would wait for an answer of its own.
        assert_eq!(store.lookups.load(Ordering::Relaxed), 1);
        let others = tokio::time::timeout(BOUND, others).await;
        let others = others.expect("an answer for all of them");
        assert!(others.iter().all(|found| matches!(found, Ok(Some(_)))));
        // The others may have come after a commit, and ask anew.
        delivery.forget(&key);
        store.is_there.store(false, Ordering::Relaxed);
        let mut all = futures::future::join_all((0..9).map(|_| delivery.stored(&key)));
        assert!(futures::poll!(&mut all).is_pending());
        store.is_there.store(true, Ordering::Relaxed);
        store.answers.add_permits(2);
        let all = tokio::time::timeout(BOUND, all).await;
        let all = all.expect("two answers for all of them");
        let found = all.into_iter().flatten().flatten().count();
        assert_eq!((found, store.lookups.load(Ordering::Relaxed)), (8, 3));
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

/// Returns files of ours that are due for a new lookup, because the last one is so long ago.
async fn looked_up_long_ago(delivery: &Delivery, store: &OneFile, count: u8) -> Vec<FileKey> {
    let ids = (0..count).map(|number| FileKey::Id(FileId::from_bytes([number; 12])));
    let keys: Vec<_> = ids.collect();
    store.answers.add_permits(keys.len());
    for key in &keys {
        assert!(delivery.stored(key).await.unwrap().is_some());
        delivery.stored.age(key, LIFETIME * 3 / 5);
    }
    keys
}

/// Waits until `is_so` holds for the numbers of files in each question.
async fn until_asked(store: &OneFile, is_so: impl Fn(&[usize]) -> bool) {
    // The clock of these tests jumps ahead whenever all tasks sleep.
    for _ in 0..10_000 {
        if is_so(&store.questions.lock().unwrap()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("asked for {:?}", store.questions.lock().unwrap());
}

fn is_aging(delivery: &Delivery, key: &FileKey) -> Option<bool> {
    delivery.stored.get_aged(key).map(|(_, is_aging)| is_aging)
}

/// Runs everything that is ready.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_are_asked_for_all_the_time_are_looked_up_together_while_nobody_waits() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 0);
    let keys = looked_up_long_ago(&delivery, &store, 200).await;
    // The store does not answer, and every caller gets an answer all the same.
    for key in keys.iter().chain(&keys) {
        assert!(delivery.stored(key).await.unwrap().is_some());
    }
    until_asked(&store, |asked| asked == [128]).await;
    store.answers.add_permits(1);
    until_asked(&store, |asked| asked == [128, 72]).await;
    store.answers.add_permits(1);
    settle().await;
    for key in &keys {
        assert_eq!(is_aging(&delivery, key), Some(false));
        assert!(delivery.stored(key).await.unwrap().is_some());
    }
    assert_eq!(store.lookups.load(Ordering::Relaxed), 200);
    // Once more, by a round of its own.
    delivery.stored.age(&keys[0], LIFETIME * 3 / 5);
    store.answers.add_permits(1);
    tokio::time::sleep(LIFETIME).await;
    assert!(delivery.stored(&keys[0]).await.unwrap().is_some());
    until_asked(&store, |asked| asked == [128, 72, 1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_when_it_is_looked_up_anew_is_found_no_more() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 2);
    let keys = looked_up_long_ago(&delivery, &store, 1).await;
    store.is_there.store(false, Ordering::Relaxed);
    assert!(delivery.stored(&keys[0]).await.unwrap().is_some());
    until_asked(&store, |asked| asked == [1]).await;
    settle().await;
    assert!(delivery.stored(&keys[0]).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_overtakes_a_joint_lookup_is_not_undone_by_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 0);
    let keys = looked_up_long_ago(&delivery, &store, 2).await;
    for key in &keys {
        assert!(delivery.stored(key).await.unwrap().is_some());
    }
    until_asked(&store, |asked| asked == [2]).await;
    assert_eq!(delivery.delete(&keys[0]).await.unwrap(), Deleted::Gone);
    store.answers.add_permits(2);
    settle().await;
    assert!(delivery.stored(&keys[0]).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_changes_nothing_for_files_that_are_young_enough() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 0);
    let keys = looked_up_long_ago(&delivery, &store, 200).await;
    for key in &keys {
        delivery.stored(key).await.unwrap();
    }
    until_asked(&store, |asked| asked == [128]).await;
    store.answers.close();
    settle().await;
    assert!(
        keys.iter()
            .all(|key| is_aging(&delivery, key) == Some(true))
    );
    assert_eq!(*store.questions.lock().unwrap(), [128], "once is enough");
}
