//! The indexes by which MongoDB finds the entries of lists.

use gridspool::message::{Cursor, Receivers};
use gridspool::store::{Inbox as _, Messages as _};
use kit::{Mongo, eventually};
use mongodb::bson::{Document, doc};

use super::{bucket, message, party};

/// The index of the lists, and that of the ids.
const MEANT: [&str; 2] = ["IXSCAN { r: 1, ts: 1 }", "IXSCAN { _id: 1 }"];

#[test]
fn every_question_about_lists_takes_the_index_that_it_is_meant_for() {
    let mongo = Mongo::start();
    let bucket = &bucket(&mongo);
    let parties = ["bob", "eve"].map(party);
    let both = Receivers::read(["bob", "eve"]).unwrap();
    let enter = |number| {
        let entered = bucket.enter(message(1, number), 1, &both);
        mongo.block_on(entered).unwrap();
    };
    (0..20).for_each(enter);
    // MongoDB may take these as well. An admin may have made them, or the shard key.
    let others = [
        doc! { "r": 1 },
        doc! { "ts": 1 },
        doc! { "r": 1, "_id": 1 },
        doc! { "_id": 1, "ts": 1 },
        doc! { "r": 1, "ts": 1, "m": 1 },
    ];
    let others = (0..).zip(others);
    let others = others.map(|(number, key)| doc! { "key": key, "name": format!("o{number}") });
    let others: Vec<_> = others.collect();
    mongo.run(doc! { "createIndexes": "fs.inbox", "indexes": others });
    mongo.run(doc! { "profile": 2 });
    let page = eventually("all are listed", || {
        let page = bucket.page(&parties[0], Cursor::BEGIN, 50);
        let page = mongo.block_on(page).unwrap();
        (page.entries.len() == 20).then_some(page)
    });
    let counted = mongo.block_on(bucket.count(&parties[0], 50)).unwrap();
    assert_eq!(counted.messages, 20);
    let counts = mongo.block_on(bucket.count_each(&parties)).unwrap();
    assert_eq!(counts.len(), 2);
    // Most of these have no list, and few entries are new, so another index would do better here.
    let many = (0..100).map(|number| party(&format!("r{number}")));
    let many: Vec<_> = many.chain(parties.clone()).collect();
    let news = bucket.news(&many, page.entries[18].cursor);
    assert!(!mongo.block_on(news).unwrap().of.is_empty());
    // Entries that are there already get places.
    enter(19);
    let one = bucket.delivered(&parties[0], vec![message(1, 0)]);
    mongo.block_on(one).unwrap();
    // No entry has these ids. MongoDB would learn to read the whole list instead.
    let unknown = (0..500).map(|number| message(2, number)).collect();
    let unknown = bucket.delivered(&parties[0], unknown);
    mongo.block_on(unknown).unwrap();
    let through = bucket.delivered_through(&parties[0], page.entries[5].cursor);
    mongo.block_on(through).unwrap();
    mongo.block_on(bucket.leave(message(1, 7), &both)).unwrap();
    mongo.run(doc! { "profile": 0 });
    let seen = mongo.find("system.profile", doc! { "ns": "gridspool.fs.inbox" });
    let is_question = |seen: &&Document| {
        let command = seen.get_document("command").unwrap();
        // The samples of the cluster's time read anything.
        seen.contains_key("planSummary") && command.get_i32("limit").ok() != Some(1)
    };
    let questions: Vec<_> = seen.iter().filter(is_question).collect();
    assert!(questions.len() >= 8, "{}", questions.len());
    for question in questions {
        let plan = question.get_str("planSummary").unwrap();
        assert!(MEANT.contains(&plan), "{plan} for {question}");
    }
}
