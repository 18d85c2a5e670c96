//! Links in a store that counts what is asked of it at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::sweep::{Stuck, Swept};
use super::*;
use crate::config::{ClusterConfig, Config};
use crate::file::UnixMillis;
use crate::journal::{Announcer, LocalDisk};
use crate::message::links::Removed;
use crate::message::{Message, Receivers};
use crate::store::{
    DyingPage, ExpiredPage, MessageInStore, OwnerlessDelete, StoredPart, SweepPlace,
};

/// Each unlink answers when it gets a permit; that of the first file fails.
#[derive(Debug)]
struct Counting {
    unlinking: AtomicUsize,
    answers: Semaphore,
    unlinked: Mutex<Vec<FileId>>,
    /// The most files of the last page of dying files.
    most: AtomicUsize,
}

impl Messages for Counting {
    fn unlink(
        &self,
        file: FileId,
        _: FileId,
        _: Reason,
    ) -> BoxFuture<'_, Result<Unlinked, StoreError>> {
        async move {
            self.unlinking.fetch_add(1, Ordering::Relaxed);
            self.answers.acquire().await.unwrap().forget();
            self.unlinked.lock().unwrap().push(file);
            if file == id(0) {
                return Err(StoreError::Failed("the first".to_owned()));
            }
            Ok(Unlinked::Stays)
        }
        .boxed()
    }

    fn dying<'a>(
        &'a self,
        _: Option<&'a SweepPlace>,
        most: u32,
    ) -> BoxFuture<'a, Result<DyingPage, StoreError>> {
        self.most.store(most.try_into().unwrap(), Ordering::Relaxed);
        let page = DyingPage {
            dying: Vec::new(),
            next: None,
        };
        async move { Ok(page) }.boxed()
    }

    fn link(&self, _: FileId, _: FileId) -> BoxFuture<'_, Result<Linked, StoreError>> {
        unreachable!()
    }

    fn expired<'a>(
        &'a self,
        _: Option<&'a SweepPlace>,
        _: u32,
    ) -> BoxFuture<'a, Result<ExpiredPage, StoreError>> {
        unreachable!()
    }

    fn begin_expiry(&self, _: FileId) -> BoxFuture<'_, Result<bool, StoreError>> {
        unreachable!()
    }

    fn remove_dying(&self, _: FileId, _: Cause) -> BoxFuture<'_, Result<Removed, StoreError>> {
        unreachable!()
    }

    fn begin_delete(&self, _: FileId) -> BoxFuture<'_, Result<Option<Message>, StoreError>> {
        unreachable!()
    }

    fn begin_ownerless_delete(
        &self,
        _: u16,
        _: FileId,
    ) -> BoxFuture<'_, Result<OwnerlessDelete, StoreError>> {
        unreachable!()
    }

    fn count_ownerless_delete(&self, _: u16) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!()
    }

    fn state_settled(&self, _: u16, _: UnixMillis) -> BoxFuture<'_, Result<u64, StoreError>> {
        unreachable!()
    }

    fn removed(&self, _: Vec<FileId>) -> BoxFuture<'_, Result<HashSet<FileId>, StoreError>> {
        unreachable!()
    }

    fn take_over_numbers(&self, _: Vec<u16>, _: u16) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!()
    }

    fn taken_over(&self) -> BoxFuture<'_, Result<BTreeMap<u16, u16>, StoreError>> {
        unreachable!()
    }

    fn leave<'a>(&'a self, _: FileId, _: &'a Receivers) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!()
    }

    fn discard(&self, _: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!()
    }

    fn part(&self, _: FileId) -> BoxFuture<'_, Result<Option<StoredPart>, StoreError>> {
        unreachable!()
    }

    fn message(&self, _: FileId) -> BoxFuture<'_, Result<MessageInStore, StoreError>> {
        unreachable!()
    }
}

fn id(number: u8) -> FileId {
    FileId::from_bytes([number; FileId::BYTES])
}

fn start(directory: &std::path::Path) -> (Links, Arc<Counting>) {
    Journal::init(directory, &LocalDisk).unwrap();
    let words = [
        "gridspool",
        "--insecure-no-auth",
        "--mongodb-uri",
        "mongodb://a",
    ];
    let words = words.map(std::ffi::OsString::from);
    let (_, config) = Config::load(words, |_| None, |_| Ok(())).unwrap();
    let announcer = Announcer::to_nobody();
    let opened = Journal::open(directory, config.journal, Box::new(LocalDisk), announcer);
    let alone = ClusterConfig::default();
    let peers = Arc::new(Peers::new(1, &alone).unwrap());
    let store = Arc::new(Counting {
        unlinking: AtomicUsize::new(0),
        answers: Semaphore::new(0),
        unlinked: Mutex::default(),
        most: AtomicUsize::new(0),
    });
    let journal = Arc::new(opened.unwrap().0);
    (Links::new(journal, store.clone(), peers), store)
}

#[tokio::test]
async fn links_of_one_message_are_taken_away_a_few_at_once_and_a_failure_stops_none() {
    let scratch = tempfile::tempdir().unwrap();
    let (links, store) = start(scratch.path());
    let files: Vec<_> = (0..100).map(id).collect();
    let untying = links.untie_files(id(200), files.clone(), Reason::Deleted);
    let mut untying = std::pin::pin!(untying);
    let all = async {
        // Each step of the work lets one more unlink answer.
        for done in 0..files.len() {
            while store.unlinking.load(Ordering::Relaxed) < (done + 8).min(files.len()) {
                tokio::task::yield_now().await;
            }
            assert!(store.unlinking.load(Ordering::Relaxed) <= done + 8);
            store.answers.add_permits(1);
            while store.unlinked.lock().unwrap().len() <= done {
                tokio::task::yield_now().await;
            }
        }
    };
    let (untied, ()) = futures::join!(untying.as_mut(), all);
    assert!(matches!(
        untied,
        Err(LinkError::Store(StoreError::Failed(_)))
    ));
    let mut unlinked = store.unlinked.lock().unwrap().clone();
    unlinked.sort();
    assert_eq!(unlinked, files);
}

#[tokio::test]
async fn a_sweep_reads_few_packages_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let (links, store) = start(scratch.path());
    links
        .sweep(Swept::Dying, &mut Stuck::default())
        .await
        .unwrap();
    assert!((1..=32).contains(&store.most.load(Ordering::Relaxed)));
}
