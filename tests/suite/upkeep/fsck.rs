//! fsck: it leaves intact data alone, and finds each fault once.

use std::process::Stdio;
use std::thread::ScopedJoinHandle;

use kit::{Builder, CHUNK, Ledger, Mongo, Site, eventually, noise, object_id, wait_until};
use mongodb::bson::{Bson, doc};
use serde_json::Value;

use super::{fsck, gc, insert_old_chunks, old_id, run, site, update};

#[test]
fn fsck_finds_nothing_wrong_with_what_is_whole_whoever_wrote_it() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let ledger = Ledger::default();
    for (seed, length) in [(1, 0), (2, 1), (3, CHUNK), (4, 3 * CHUNK + 1)] {
        ledger.upload(&site.client(), seed, length);
    }
    site.wait_until_empty();
    for id in [Bson::Int64(7), Bson::Null, doc! { "a": 1 }.into()] {
        insert_old_chunks(&mongo, &id, 2);
        mongo.insert(
            "fs.files",
            doc! { "_id": id, "length": 20, "chunkSize": 10.0, "uploadDate": mongodb::bson::DateTime::now() },
        );
    }
    let (code, findings, summary) = fsck(&site, &[]);
    assert_eq!((code, findings), (Some(0), Vec::new()));
    assert_eq!(summary["files"], 7);
    assert_eq!(summary["chunks"], 12);
    assert_eq!(
        gc(&site, &["--remove", "--foreign", "--older-than-days", "0"]),
        Vec::<String>::new()
    );
    let text = run(&site, &["fsck"]);
    assert!(
        str::from_utf8(&text.stdout).unwrap().contains(" 0 wrong"),
        "{text:?}"
    );
}

#[test]
fn fsck_finds_each_kind_of_damage_in_the_bucket() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let ledger = Ledger::default();
    for seed in 0..8 {
        ledger.upload(&site.client(), seed, 3 * CHUNK);
    }
    site.wait_until_empty();
    // A running sidecar makes the index again, and makes a plain one unique.
    site.kill_sidecar();
    mongo.run(doc! { "dropIndexes": "fs.chunks", "index": { "files_id": 1, "n": 1 } });
    mongo.make_plain_chunk_index();
    let ids: Vec<_> = ledger
        .promises()
        .into_iter()
        .map(|promise| promise.id)
        .collect();
    let chunk = |file: usize, n: i32| doc! { "files_id": object_id(&ids[file]), "n": n };
    let delete = |filter| {
        mongo
            .block_on(async { mongo.chunks().delete_one(filter).await })
            .unwrap()
    };
    delete(chunk(0, 1));
    delete(chunk(1, 2));
    mongo.insert_chunk(&ids[2], 1, &noise(2, CHUNK));
    mongo.insert_chunk(&ids[3], 3, b"more");
    let with = |bytes: Vec<u8>| {
        let data = mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes,
        };
        doc! { "$set": { "data": data } }
    };
    update(&mongo, "fs.chunks", chunk(4, 1), with(noise(4, CHUNK - 1)));
    update(&mongo, "fs.chunks", chunk(5, 1), with(noise(99, CHUNK)));
    let file = doc! { "_id": object_id(&ids[6]) };
    update(
        &mongo,
        "fs.files",
        file,
        doc! { "$set": { "length": -1_i64 } },
    );
    // Some drivers end a file with an empty chunk.
    mongo.insert_chunk(&ids[7], 3, b"");
    insert_old_chunks(&mongo, &old_id(1), 3);

    let (code, findings, summary) = fsck(&site, &[]);
    assert_eq!(code, Some(65));
    let mut expected: Vec<_> = ids[..7]
        .iter()
        .map(|id| ("damaged".to_owned(), id.clone()))
        .collect();
    expected.push((
        "orphan".to_owned(),
        old_id(1).as_object_id().unwrap().to_hex(),
    ));
    expected.sort();
    assert_eq!(findings, expected);
    assert_eq!(summary["findings"], 8);
}

#[test]
fn fsck_finds_what_is_wrong_with_the_journal() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    // No settled entry is evicted.
    let site = Builder::without_log().start(&mongo);
    let ledger = Ledger::default();
    let ids: Vec<_> = (0..4)
        .map(|seed| ledger.upload(&site.client(), seed, 100).id)
        .collect();
    mongo.heal();
    site.wait_until_committed();
    assert_eq!(fsck(&site, &[]).1, Vec::new());

    let delete = doc! { "_id": object_id(&ids[0]) };
    mongo
        .block_on(async { mongo.files().delete_one(delete).await })
        .unwrap();
    let other = doc! { "_id": object_id(&ids[1]) };
    update(
        &mongo,
        "fs.files",
        other,
        doc! { "$set": { "length": 99_i64 } },
    );
    site.damage_record(&ids[2]);
    let journal = site.data_dir().join("journal");
    std::fs::write(journal.join("corrupt/something"), b"").unwrap();

    let (code, findings, _) = fsck(&site, &[]);
    assert_eq!(code, Some(65));
    let found = |kind: &str, name: String| (kind.to_owned(), name);
    let mut expected = vec![
        found("lost", ids[0].clone()),
        found("conflict", ids[1].clone()),
        found("damaged", ids[1].clone()),
        // Its record is damaged, and one of its changes has no base.
        found("unreadable", "wal".to_owned()),
        found("unreadable", ids[2].clone()),
        found("unreadable", "corrupt/something".to_owned()),
    ];
    // Its chunks are too young to count as left behind.
    expected.sort();
    assert_eq!(findings, expected);
}

#[test]
fn fsck_tells_of_entries_that_wait_for_an_admin() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = site(&mongo);
    let file = site.client().upload(b"ours");
    mongo.insert_chunk(&file.id, 0, b"another's");
    mongo.heal();
    wait_until("it is held", || site.entries("hold") == 1);
    let (code, findings, summary) = fsck(&site, &["--older-than-days", "0"]);
    assert_eq!(code, Some(65));
    assert_eq!(findings, [("held".to_owned(), file.id)]);
    // Its chunks count as on their way while it is in the journal.
    assert_eq!(summary["waiting"], 1);
}

#[test]
fn a_bucket_of_many_pages_is_seen_whole() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    wait_until("the indexes are there", || {
        site.client().get("/readyz").status == 200
    });
    for number in 0..450 {
        insert_one(&mongo, number);
    }
    // A file larger than a page of chunks, with orphans around and behind it.
    for number in [1000, 1_000_000] {
        insert_old_chunks(&mongo, &old_id(number), 2);
    }
    insert_old_chunks(&mongo, &old_id(2000), 11_000);
    let file = doc! { "_id": old_id(2000), "length": 110_000, "chunkSize": 10 };
    mongo.insert("fs.files", file);
    let (code, findings, summary) = fsck(&site, &[]);
    assert_eq!(code, Some(65));
    let names: Vec<_> = findings.into_iter().map(|(_, name)| name).collect();
    let expected = [1000, 1_000_000].map(|number| old_id(number).as_object_id().unwrap().to_hex());
    assert_eq!(names, expected);
    assert_eq!(summary["files"], 451);
}

/// A file of one chunk.
fn insert_one(mongo: &Mongo, number: u32) {
    let id = old_id(number);
    let hex = id.as_object_id().unwrap().to_hex();
    mongo.insert_chunk(&hex, 0, b"x");
    mongo.insert("fs.files", doc! { "_id": id, "length": 1, "chunkSize": 10 });
}

#[test]
fn a_check_that_was_cut_goes_on_where_it_was_and_the_next_begins_anew() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    wait_until("the indexes are there", || {
        site.client().get("/readyz").status == 200
    });
    for number in 0..450 {
        insert_one(&mongo, number);
    }
    let state = site.run_dir().join("fsck.json");
    let state_text = state.to_str().unwrap();
    let slow = ["fsck", "--state", state_text, "--bytes-per-second", "3000"];
    let mut command = site.command();
    let mut cut = command.args(slow).stdout(Stdio::null()).spawn().unwrap();
    let reached = || {
        let text = std::fs::read_to_string(&state).ok()?;
        let state: Value = serde_json::from_str(&text).ok()?;
        let is_there = state["phase"] == "files" && state["after"].is_string();
        is_there.then_some(state)
    };
    let reached = eventually("it is in the midst", reached);
    cut.kill().unwrap();
    cut.wait().unwrap();
    assert!(reached["files"].as_u64().unwrap() >= 200, "{reached}");
    // This damage is behind the position of the check: this run does not see it, the next one does.
    let first = doc! { "files_id": old_id(0) };
    mongo
        .block_on(async { mongo.chunks().delete_one(first).await })
        .unwrap();
    let (code, findings, summary) = fsck(&site, &["--state", state_text]);
    assert_eq!((code, findings), (Some(0), Vec::new()));
    assert!(summary["files"].as_u64().unwrap() >= 450, "{summary}");
    assert_eq!(fsck(&site, &["--state", state_text]).1.len(), 1);
}

#[test]
fn a_check_beside_uploads_and_deletes_finds_nothing_wrong() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let ledger = Ledger::default();
    std::thread::scope(|scope| {
        let writers = [0, 1, 2].map(|number| {
            let (client, ledger) = (site.client(), &ledger);
            scope.spawn(move || {
                // A slow machine can commit this many in time.
                for seed in (number * 1_000_000..).take(200) {
                    let length = usize::try_from(seed % 7).unwrap() * 90_000;
                    let promise = ledger.upload(&client, seed, length);
                    if seed % 3 == 0 {
                        assert_eq!(client.delete(&promise.path).status, 204);
                        ledger.forget(&promise);
                    }
                }
            })
        });
        let mut rounds = 0;
        while rounds < 2 || !writers.iter().all(ScopedJoinHandle::is_finished) {
            let (code, findings, _) = fsck(&site, &[]);
            assert_eq!((code, findings), (Some(0), Vec::new()));
            assert_eq!(gc(&site, &["--remove"]), Vec::<String>::new());
            rounds += 1;
        }
    });
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}
