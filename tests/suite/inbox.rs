//! Lists of receivers: read while they are written, from a replica set that changes its primary.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use gridspool::bucket::Bucket;
use gridspool::config::Config;
use gridspool::file::FileId;
use gridspool::message::{Cursor, Party, Receivers};
use gridspool::store::{Inbox as _, Messages as _, StoreError};
use kit::{Host, Mongo, eventually};
use mongodb::bson::doc;

/// The number of committers at once, and of the messages of each.
const COMMITTERS: u16 = 16;
const MESSAGES: u16 = 60;

/// Receivers with lists that are read all the while. Each message goes to two of them.
const RECEIVERS: [&str; 4] = ["bob", "eve", "größe@example.org", "+49 170"];

fn bucket(mongo: &Mongo) -> Bucket {
    let uri = mongo.uri();
    let arguments = ["gridspool", "--insecure-no-auth", "--mongodb-uri", &uri];
    let arguments = arguments.map(OsString::from);
    let (_, config) = Config::load(arguments, |_| None, |_| Ok(())).unwrap();
    let made = Bucket::new(&config.bucket, &config.data_dir);
    mongo.block_on(made).unwrap()
}

fn party(name: &str) -> Party {
    Party::try_from(name.to_owned()).unwrap()
}

/// Ids do not rise with the time of their commit.
fn message(committer: u16, number: u16) -> FileId {
    let [high, low] = number.wrapping_mul(40_503).to_be_bytes();
    let [node, other] = committer.to_be_bytes();
    FileId::from_bytes([9, 9, high, low, node, other, 0, 0, 1, 2, 3, 4])
}

fn receivers_of(committer: u16, number: u16) -> [&'static str; 2] {
    let first = usize::from(committer + number) % RECEIVERS.len();
    [RECEIVERS[first], RECEIVERS[(first + 1) % RECEIVERS.len()]]
}

/// Enters a message again and again until it succeeds, as a committer does.
async fn enter(bucket: &Bucket, committer: u16, number: u16) {
    let receivers = Receivers::read(receivers_of(committer, number)).unwrap();
    let id = message(committer, number);
    loop {
        match bucket.enter(id, 1000, &receivers).await {
            Ok(()) => return,
            Err(StoreError::Unavailable(_) | StoreError::TimedOut(_) | StoreError::Failed(_)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(err) => panic!("{err}"),
        }
    }
}

/// Reads a list until everything is written and nothing more comes.
async fn read_all(bucket: &Bucket, receiver: &Party, is_over: &AtomicBool) -> Vec<FileId> {
    let (mut cursor, mut found) = (Cursor::BEGIN, Vec::new());
    let mut last = None;
    loop {
        let was_over = is_over.load(Ordering::SeqCst);
        let Ok(page) = bucket.page(receiver, cursor, 7).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        assert!(page.entries.len() <= 7);
        assert!(page.entries.iter().map(|entry| entry.cursor).is_sorted());
        assert!(
            page.entries
                .iter()
                .all(|entry| entry.cursor > cursor && entry.cursor <= page.next)
        );
        assert!(page.next >= cursor, "no cursor goes back");
        found.extend(page.entries.iter().map(|entry| entry.message));
        cursor = page.next;
        // This page was asked for after the last write, and goes beyond it.
        if was_over && page.entries.is_empty() {
            match last {
                None => last = Some(tokio::time::Instant::now()),
                Some(since) if since.elapsed() > Duration::from_secs(3) => return found,
                Some(_) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The messages that each receiver has to find.
fn expected() -> HashMap<&'static str, HashSet<FileId>> {
    let mut expected: HashMap<_, HashSet<_>> = HashMap::new();
    for committer in 0..COMMITTERS {
        for number in 0..MESSAGES {
            for receiver in receivers_of(committer, number) {
                expected
                    .entry(receiver)
                    .or_default()
                    .insert(message(committer, number));
            }
        }
    }
    expected
}

#[test]
fn a_reader_who_pages_all_the_while_misses_no_message_though_the_primary_changes() {
    let mongo = Mongo::start_on(&[Host::default(), Host::default(), Host::default()]);
    let bucket = &bucket(&mongo);
    let is_over = &AtomicBool::new(false);
    let entered = &AtomicU32::new(0);
    let writes = (0..COMMITTERS).map(|committer| async move {
        for number in 0..MESSAGES {
            enter(bucket, committer, number).await;
            entered.fetch_add(1, Ordering::SeqCst);
            let pause = u64::from(number.wrapping_mul(7919).wrapping_add(committer * 31) % 40);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    });
    let all = u32::from(COMMITTERS) * u32::from(MESSAGES);
    let parties = RECEIVERS.map(party);
    let lists = std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("a third is entered", || {
                (entered.load(Ordering::SeqCst) > all / 3).then_some(())
            });
            mongo.elect_another();
        });
        let work = async {
            let reading = join_all(parties.iter().map(|party| read_all(bucket, party, is_over)));
            let writing = async {
                join_all(writes).await;
                is_over.store(true, Ordering::SeqCst);
            };
            futures::future::join(writing, reading).await.1
        };
        mongo.block_on(work)
    });
    let expected = expected();
    for (receiver, found) in RECEIVERS.into_iter().zip(&lists) {
        let distinct: HashSet<_> = found.iter().copied().collect();
        assert_eq!(distinct, expected[receiver], "{receiver}");
        // Messages that met a step-down may come twice, and no others.
        let twice = found.len() - distinct.len();
        assert!(
            twice <= usize::from(COMMITTERS) * 4,
            "{receiver}: {twice} twice"
        );
    }
    deliver(&mongo, bucket, expected["bob"].len());
}

#[test]
fn an_entry_that_waits_for_a_lock_behind_its_time_is_missed_by_no_reader() {
    let mongo = &Mongo::start();
    let bucket = &bucket(mongo);
    let bob = &party("bob");
    let only_bob = &Receivers::read(["bob"]).unwrap();
    let enter = |number| {
        mongo
            .block_on(bucket.enter(message(1, number), 1, only_bob))
            .unwrap();
    };
    enter(0);
    let is_over = &AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        let reader = scope.spawn(|| mongo.block_on(read_all(bucket, bob, is_over)));
        // One entry is quick enough, and one gets another time.
        for (number, millis) in [(1, 600), (2, 2000)] {
            let held = scope.spawn(move || {
                let sleep = doc! { "sleep": 1, "millis": millis, "lock": "w", "lockTarget": "gridspool.fs.inbox" };
                mongo.admin(sleep);
            });
            eventually("the lock is held", || {
                let running = mongo.admin(doc! { "currentOp": 1, "command.sleep": 1 });
                let running = running.get_array("inprog").unwrap();
                (!running.is_empty()).then_some(())
            });
            let entering = scope.spawn(move || enter(number));
            // The cluster's time goes on meanwhile.
            while !held.is_finished() {
                mongo.insert_chunk("0123456789abcdef01234567", i32::from(number), b"x");
                mongo.block_on(async {
                    let all = mongo.chunks();
                    all.delete_many(doc! {}).await.unwrap();
                });
            }
            held.join().unwrap();
            entering.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    });
    let expected: HashSet<_> = (0..3).map(|number| message(1, number)).collect();
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), expected);
}

/// Checks the list of one receiver after all writes: each message once, in one order; delivered
/// ones leave it.
fn deliver(mongo: &Mongo, bucket: &Bucket, messages: usize) {
    let bob = party("bob");
    let page = |after, most| mongo.block_on(bucket.page(&bob, after, most)).unwrap();
    let whole = page(Cursor::BEGIN, 10_000);
    assert_eq!(whole.entries.len(), messages);
    let count = |most| mongo.block_on(bucket.count(&bob, most)).unwrap();
    let entries = u64::try_from(whole.entries.len()).unwrap();
    let counted = count(10_000);
    assert_eq!(
        (counted.messages, counted.bytes, counted.has_more),
        (entries, 1000 * entries, false)
    );
    let counted = count(10);
    assert_eq!(
        (counted.messages, counted.bytes, counted.has_more),
        (10, 10_000, true)
    );
    let some = whole.entries[2..5]
        .iter()
        .map(|entry| entry.message)
        .collect();
    mongo.block_on(bucket.delivered(&bob, some)).unwrap();
    assert_eq!(
        page(Cursor::BEGIN, 3).entries,
        [whole.entries[0], whole.entries[1], whole.entries[5]]
    );
    mongo
        .block_on(bucket.delivered_through(&bob, whole.entries[9].cursor))
        .unwrap();
    assert_eq!(page(Cursor::BEGIN, 1).entries, [whole.entries[10]]);
    let delivered = mongo.find("fs.inbox", doc! { "ts": { "$exists": false } });
    assert_eq!(delivered.len(), 10);
    assert!(
        delivered
            .iter()
            .all(|entry| entry.get_datetime("d").is_ok())
    );

    // A repeated commit brings no delivered message back, and gives the others a later place.
    let again = whole.entries[10].message;
    let only_bob = Receivers::read(["bob"]).unwrap();
    for message in [whole.entries[0].message, again] {
        mongo
            .block_on(bucket.enter(message, 1000, &only_bob))
            .unwrap();
    }
    let after = eventually("the later place is reached", || {
        let page = page(whole.entries[10].cursor, 10_000);
        (page.entries.last()?.message == again).then_some(page)
    });
    assert_eq!(after.entries.len(), whole.entries.len() - 10);
    mongo.block_on(bucket.leave(again, &only_bob)).unwrap();
    assert_eq!(
        page(whole.entries[10].cursor, 10_000).entries.len(),
        whole.entries.len() - 11
    );
    let stranger = party("nobody");
    let nothing = mongo
        .block_on(bucket.page(&stranger, Cursor::BEGIN, 5))
        .unwrap();
    assert!(nothing.entries.is_empty() && nothing.next > Cursor::BEGIN);
}
