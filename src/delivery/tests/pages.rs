//! Pages of lists, from a store that answers when it is told to.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::super::lists::MOST_PAGES;
use super::*;
use crate::config::ListConfig;
use crate::message::{Cursor, Party};
use crate::store::{Inbox, ListedMessage, News, Page, Waiting};

/// Lists without entries. A question answers when it gets a permit.
struct Crowd {
    asked: AtomicUsize,
    answers: Semaphore,
}

impl Inbox for Crowd {
    fn page<'a>(
        &'a self,
        _: &'a Party,
        after: Cursor,
        _: u32,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.answers.acquire().await.unwrap().forget();
            Ok(Page {
                entries: Vec::new(),
                next: after,
            })
        }
        .boxed()
    }

    fn enter<'a>(
        &'a self,
        _: FileId,
        _: u64,
        _: &'a crate::message::Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!()
    }

    fn strike<'a>(&'a self, _: &'a Party, _: FileId) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!()
    }

    fn news<'a>(&'a self, _: &'a [Party], _: Cursor) -> BoxFuture<'a, Result<News, StoreError>> {
        unreachable!()
    }

    fn messages(&self, _: Vec<FileId>) -> BoxFuture<'_, Result<Vec<ListedMessage>, StoreError>> {
        unreachable!()
    }

    fn count_each<'a>(
        &'a self,
        _: &'a [Party],
    ) -> BoxFuture<'a, Result<Vec<(usize, u64)>, StoreError>> {
        unreachable!()
    }

    fn count<'a>(&'a self, _: &'a Party, _: u32) -> BoxFuture<'a, Result<Waiting, StoreError>> {
        unreachable!()
    }

    fn delivered<'a>(
        &'a self,
        _: &'a Party,
        _: Vec<FileId>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!()
    }

    fn delivered_through<'a>(
        &'a self,
        _: &'a Party,
        _: Cursor,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        unreachable!()
    }
}

#[tokio::test]
async fn few_pages_are_in_memory_at_once_and_a_waiting_receiver_has_none() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, _) = start(scratch.path(), 0);
    let crowd = Arc::new(Crowd {
        asked: AtomicUsize::new(0),
        answers: Semaphore::new(0),
    });
    let config = ListConfig {
        max_waiting: 100,
        receiver_max_waiting: 0,
        cache_bytes: 0,
    };
    let lists = &Lists::new(Arc::new(delivery), crowd.clone(), &config);
    let bob = &Party::try_from("bob".to_owned()).unwrap();
    let page = |patience| lists.page(bob, Cursor::BEGIN, 10, patience);
    let asked = || crowd.asked.load(Ordering::Relaxed);
    // Receivers that wait hold no permit.
    crowd.answers.add_permits(10);
    let mut waiting: FuturesUnordered<_> = (0..10).map(|_| page(BOUND)).collect();
    assert!(waiting.next().now_or_never().is_none());
    assert_eq!((lists.waiting(), asked()), (10, 10));
    let mut pages: FuturesUnordered<_> =
        (0..3 * MOST_PAGES).map(|_| page(Duration::ZERO)).collect();
    assert!(pages.next().now_or_never().is_none());
    assert_eq!(asked(), 10 + MOST_PAGES);
    crowd.answers.add_permits(1000);
    let held: Vec<_> = pages.by_ref().take(MOST_PAGES).collect().await;
    assert!(held.iter().all(Result::is_ok));
    assert!(pages.next().now_or_never().is_none(), "until they are sent");
    assert_eq!(asked(), 10 + MOST_PAGES);
    drop(held);
    let rest = pages.map(|page| page.unwrap().messages.len());
    assert_eq!(rest.collect::<Vec<_>>().await, vec![0; 2 * MOST_PAGES]);
}
