//! Lists of receivers: read while they are written, from a replica set that changes its primary.

mod plans;

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
use kit::{Host, Mongo, eventually, object_id};
use mongodb::bson::{Bson, doc};

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

/// Enters a message again and again until it succeeds, as a committer does. Some attempts are cut
/// before, and some commits are repeated.
async fn enter(bucket: &Bucket, committer: u16, number: u16) {
    let receivers = Receivers::read(receivers_of(committer, number)).unwrap();
    let id = message(committer, number);
    if number.is_multiple_of(3) {
        let cut = Duration::from_millis(u64::from(number % 8) * 3);
        let attempt = bucket.enter(id, 1000, &receivers);
        tokio::time::timeout(cut, attempt).await.ok();
        // Readers meet some of the unsure entries, and the retry comes before them to others.
        let pause = if number.is_multiple_of(15) { 1500 } else { 50 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let mut times = 1 + number % 2;
    loop {
        match bucket.enter(id, 1000, &receivers).await {
            Ok(()) if times == 1 => return,
            Ok(()) => times -= 1,
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
fn a_reader_who_pages_all_the_while_finds_each_message_once_though_the_primary_changes() {
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
        assert_eq!(found.len(), distinct.len(), "{receiver}: some come twice");
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
    assert_eq!(found.len(), expected.len(), "each once");
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), expected);
    cut_before_they_are_sure(mongo, bucket);
}

/// Cuts commits between the insert and the write that makes places sure. A list ends before an unsure entry. A reader
/// goes on with a cut commit, and its retry changes nothing then.
fn cut_before_they_are_sure(mongo: &Mongo, bucket: &Bucket) {
    let eve = &party("eve");
    let only_eve = &Receivers::read(["eve"]).unwrap();
    let id = |number| message(2, number);
    let enter = |number| mongo.block_on(bucket.enter(id(number), 1, only_eve));
    let refuse_updates = |mode: Bson| {
        let inbox = "gridspool.fs.inbox";
        let data = doc! { "failCommands": ["update"], "namespace": inbox, "errorCode": 13 };
        mongo.fail_sidecars(mode, data);
    };
    let cut = |number| {
        refuse_updates(doc! { "times": 1 }.into());
        enter(number).unwrap_err();
    };
    let page = |after| mongo.block_on(bucket.page(eve, after, 10)).unwrap();
    let unsure = || {
        let is_unsure = doc! { "u": { "$exists": true } };
        mongo.find("fs.inbox", is_unsure).len()
    };
    enter(0).unwrap();
    cut(1);
    enter(2).unwrap();
    assert_eq!(unsure(), 1);
    refuse_updates("alwaysOn".into());
    let mut cursor = Cursor::BEGIN;
    let last = mongo.find("fs.inbox", doc! { "m": object_id(&id(2).to_string()) });
    let last = last[0].get_timestamp("ts").unwrap();
    let last = Cursor(u64::from(last.time) << 32 | u64::from(last.increment));
    let mut found = Vec::new();
    eventually("lists go beyond all three", || {
        mongo.insert_chunk("0123456789abcdef01234567", 0, b"x");
        mongo.block_on(async { mongo.chunks().delete_many(doc! {}).await.unwrap() });
        let read = page(cursor);
        found.extend(read.entries.iter().map(|entry| entry.message));
        cursor = read.next;
        let news = bucket.news(std::slice::from_ref(eve), Cursor::BEGIN);
        let news = mongo.block_on(news).unwrap();
        assert!(news.of.len() <= 1);
        (news.until >= last).then_some(())
    });
    let read = page(cursor);
    assert_eq!((&*found, read.entries.len()), (&[id(0)][..], 0));
    assert!(read.next < last, "nothing is passed over");
    mongo.heal();
    let mut read_until = |count| {
        eventually("they are listed", || {
            let read = page(cursor);
            found.extend(read.entries.iter().map(|entry| entry.message));
            cursor = read.next;
            (found.len() >= count).then(|| found.clone())
        })
    };
    assert_eq!(read_until(3), [id(0), id(2), id(1)]);
    assert_eq!(unsure(), 0);
    // Its node is back.
    enter(1).unwrap();
    // A delivery by its id takes an unsure message; one up to a cursor does not.
    cut(3);
    mongo.block_on(bucket.delivered(eve, vec![id(3)])).unwrap();
    assert_eq!(unsure(), 0);
    cut(4);
    let all = bucket.delivered_through(eve, Cursor(u64::MAX));
    mongo.block_on(all).unwrap();
    assert_eq!(unsure(), 1);
    // This time the node comes back before a reader does.
    cut(5);
    for number in [3, 5, 5] {
        enter(number).unwrap();
    }
    assert_eq!(unsure(), 1);
    let listed = read_until(5);
    assert_eq!(listed[..3], [id(0), id(2), id(1)]);
    let rest: HashSet<_> = listed[3..].iter().copied().collect();
    assert_eq!(rest, HashSet::from([id(4), id(5)]));
    cut(6);
    mongo.block_on(bucket.leave(id(6), only_eve)).unwrap();
    enter(7).unwrap();
    assert_eq!(read_until(6)[5..], [id(7)]);
    assert_eq!(unsure(), 0);
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
        [0, 1, 5].map(|place| whole.entries[place].clone())
    );
    mongo
        .block_on(bucket.delivered_through(&bob, whole.entries[9].cursor))
        .unwrap();
    assert_eq!(page(Cursor::BEGIN, 1).entries, whole.entries[10..11]);
    let delivered = mongo.find("fs.inbox", doc! { "ts": { "$exists": false } });
    assert_eq!(delivered.len(), 10);
    assert!(
        delivered
            .iter()
            .all(|entry| entry.get_datetime("d").is_ok())
    );

    // A repeated commit brings no delivered message back, and leaves the others in their places.
    let again = whole.entries[10].message;
    let only_bob = Receivers::read(["bob"]).unwrap();
    for message in [whole.entries[0].message, again] {
        mongo
            .block_on(bucket.enter(message, 1000, &only_bob))
            .unwrap();
    }
    assert_eq!(page(Cursor::BEGIN, 10_000).entries, whole.entries[10..]);
    mongo.block_on(bucket.leave(again, &only_bob)).unwrap();
    assert_eq!(page(Cursor::BEGIN, 10_000).entries, whole.entries[11..]);
    let stranger = party("nobody");
    let nothing = mongo
        .block_on(bucket.page(&stranger, Cursor::BEGIN, 5))
        .unwrap();
    assert!(nothing.entries.is_empty() && nothing.next > Cursor::BEGIN);
}
