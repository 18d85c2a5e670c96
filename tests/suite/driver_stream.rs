//! Chunks and documents that a commit finds in the bucket: the driver's own upload stream would lose
//! files there; ours keeps its own data and those of all others.

use futures::AsyncWriteExt as _;
use kit::{Builder, CHUNK, Ledger, Mongo, Site, noise, object_id, wait_until};
use mongodb::bson::{Bson, doc};
use mongodb::gridfs::{GridFsBucket, GridFsUploadStream};

fn drivers_bucket(mongo: &Mongo) -> GridFsBucket {
    mongo.database().gridfs_bucket(None)
}

async fn stream(bucket: &GridFsBucket, id: &Bson, content: &[u8]) -> GridFsUploadStream {
    let opened = bucket.open_upload_stream("theirs").id(id.clone()).await;
    let mut stream = opened.unwrap();
    stream.write_all(content).await.unwrap();
    stream
}

/// The insert of a file's document is answered with an error, and the document is written all the same.
fn lose_the_answer_about_the_document(mongo: &Mongo) {
    let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    mongo.fail_command(
        doc! { "times": 1 },
        doc! {
            "failCommands": ["insert"],
            "writeConcernError": error,
            "namespace": "gridspool.fs.files",
        },
    );
}

#[test]
fn a_lost_answer_makes_the_drivers_stream_destroy_the_file_and_ours_keep_it() {
    let mongo = Mongo::start();
    let bucket = drivers_bucket(&mongo);
    let theirs = Bson::String("theirs".to_owned());
    let mut stream = mongo.block_on(stream(&bucket, &theirs, &noise(1, 3 * CHUNK)));
    lose_the_answer_about_the_document(&mongo);
    mongo.block_on(async { stream.close().await }).unwrap_err();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 0);

    let site = Site::start(&mongo);
    wait_until("the sidecar is connected", || {
        site.client().get("/readyz").status == 200
    });
    lose_the_answer_about_the_document(&mongo);
    let ours = site.client().upload(&noise(1, 3 * CHUNK));
    site.wait_until_committed();
    assert_eq!(mongo.heal(), 2, "one of theirs, one of ours");
    let file = mongo.find("fs.files", doc! { "_id": object_id(&ours.id) });
    assert!(mongo.whole(&file[0]) == noise(1, 3 * CHUNK));
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 3);
}

#[test]
fn a_second_write_makes_the_drivers_stream_destroy_the_file_and_ours_keep_it() {
    let mongo = Mongo::start();
    let bucket = drivers_bucket(&mongo);
    let theirs = Bson::String("theirs".to_owned());
    mongo.block_on(async {
        let content = noise(1, 3 * CHUNK);
        stream(&bucket, &theirs, &content)
            .await
            .close()
            .await
            .unwrap();
        let mut second = stream(&bucket, &theirs, &content).await;
        second.close().await.unwrap_err();
    });
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 0);
    mongo.run(doc! { "dropDatabase": 1 });

    mongo.hide_from_sidecars();
    let mut site = Builder::without_log().start(&mongo);
    let ledger = Ledger::default();
    let lengths = [0, 1, CHUNK, 3 * CHUNK, 3_000_000, 150 * CHUNK];
    for (seed, length) in (1..).zip(lengths) {
        ledger.upload(&site.client(), seed, length);
    }
    site.stop_sidecar();
    let log = site.data_dir().join("journal/wal");
    let as_promised = site.names("journal/wal").into_iter().map(|name| {
        let path = log.join(name);
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    });
    let as_promised: Vec<_> = as_promised.collect();
    mongo.heal();
    site.start_sidecar();
    site.wait_until_committed();
    // The state after a kill between the last write and the record of the commit.
    site.stop_sidecar();
    for name in site.names("journal/wal") {
        std::fs::remove_file(log.join(name)).unwrap();
    }
    for (path, bytes) in as_promised {
        std::fs::write(path, bytes).unwrap();
    }
    // The state if another program, or an older one, had written two of them.
    for promise in ledger.promises() {
        if [3 * CHUNK, 150 * CHUNK].contains(&promise.content().len()) {
            rewrite_chunks(&mongo, &promise.id, &promise.content());
        }
    }
    mongo.run(doc! { "profile": 2, "filter": { "appName": "gridspool" } });
    site.start_sidecar();
    site.wait_until_committed();
    assert_eq!(site.status()["commit"]["committed_entries"], 6);
    mongo.run(doc! { "profile": 0 });
    mongo.assert_holds_just(&ledger);
    assert_no_sum_grows_with_its_file(&mongo);
    assert_no_chunk_is_read_to_be_known(&mongo);
}

/// Gives all chunks of a file another `_id`.
fn rewrite_chunks(mongo: &Mongo, id: &str, content: &[u8]) {
    let filter = doc! { "files_id": object_id(id) };
    mongo
        .block_on(async { mongo.chunks().delete_many(filter).await })
        .unwrap();
    for (n, chunk) in (0..).zip(content.chunks(CHUNK)) {
        mongo.insert_chunk(id, n, chunk);
    }
}

/// Asserts that one chunk of each file with chunks was read; all others were found in indexes.
fn assert_no_chunk_is_read_to_be_known(mongo: &Mongo) {
    let finds = mongo.find("system.profile", doc! { "command.find": "fs.chunks" });
    let (mut known, mut read) = (0, 0);
    for find in &finds {
        let examined = find.get_i32("docsExamined").unwrap();
        if find.get_str("planSummary").unwrap() == "IXSCAN { _id: 1 }" {
            known += find.get_i32("keysExamined").unwrap();
            assert_eq!(examined, 0, "{find}");
        }
        // All other reads ask for numbers, or measure how long a reader waits.
        let command = find.get_document("command").unwrap();
        if !command.contains_key("projection") {
            read += examined;
        }
    }
    assert_eq!(read, 5, "{finds:?}");
    assert!(known >= 1 + 1 + 12, "{finds:?}");
}

/// Asserts that sizes were summed up, in questions of no more chunks than MongoDB reads in a moment,
/// each with a time bound.
fn assert_no_sum_grows_with_its_file(mongo: &Mongo) {
    let sums = mongo.find("system.profile", doc! { "command.aggregate": "fs.chunks" });
    let sums: Vec<_> = sums
        .iter()
        .map(|sum| sum.get_document("command").unwrap())
        .filter(|sum| format!("{sum}").contains("$binarySize"))
        .collect();
    // For 3 chunks, and for 150 in three slices; the chunks of the other files are known.
    assert_eq!(sums.len(), 1 + 3, "{sums:?}");
    for sum in sums {
        let stages = sum.get_array("pipeline").unwrap();
        let matching = stages[0].as_document().unwrap().get_document("$match");
        let range = matching.unwrap().get_document("n").unwrap();
        let slice = range.get_i64("$lt").unwrap() - range.get_i64("$gte").unwrap();
        assert!(slice <= 64, "{sum}");
        let bound = sum.get("maxTimeMS").and_then(Bson::as_i32).unwrap();
        assert!(bound < 10_000, "{sum}");
    }
}

/// A site with one upload that the sidecar cannot commit yet, while the test itself can write.
fn site_with_pending(mongo: &Mongo, content: &[u8]) -> (Site, kit::Uploaded) {
    mongo.hide_from_sidecars();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(mongo);
    let file = site.client().upload(content);
    (site, file)
}

/// Lets the commit meet the present data, and asserts that it changes none of them.
fn assert_held(mongo: &Mongo, site: &Site, file: &kit::Uploaded, content: &[u8]) {
    let before = (
        mongo.find("fs.files", doc! {}),
        mongo.find("fs.chunks", doc! {}),
    );
    mongo.heal();
    wait_until("it is held", || site.entries("hold") == 1);
    let after = (
        mongo.find("fs.files", doc! {}),
        mongo.find("fs.chunks", doc! {}),
    );
    assert!(before == after, "{before:?}\n{after:?}");
    assert!(site.client().get(&file.path).body == content);
    let reason = site.reason_of(&file.id);
    assert!(reason.contains("the store refuses the file"), "{reason}");
}

#[test]
fn another_file_under_the_same_id_is_never_overwritten() {
    let mongo = Mongo::start();
    let content = noise(1, 2 * CHUNK);
    let (site, file) = site_with_pending(&mongo, &content);
    mongo.insert_chunk(&file.id, 0, &noise(2, CHUNK));
    mongo.insert_chunk(&file.id, 1, &noise(3, CHUNK));
    mongo.insert(
        "fs.files",
        doc! {
            "_id": object_id(&file.id),
            "length": 2 * i64::try_from(CHUNK).unwrap(),
            "chunkSize": i32::try_from(CHUNK).unwrap(),
            "filename": "another",
        },
    );
    assert_held(&mongo, &site, &file, &content);
}

#[test]
fn another_document_without_chunks_under_the_same_id_is_never_overwritten() {
    let mongo = Mongo::start();
    let (site, file) = site_with_pending(&mongo, b"");
    mongo.insert(
        "fs.files",
        doc! {
            "_id": object_id(&file.id),
            "length": 7_i64,
            "chunkSize": i32::try_from(CHUNK).unwrap(),
            "filename": "another",
        },
    );
    assert_held(&mongo, &site, &file, b"");
}

#[test]
fn a_chunk_with_other_bytes_under_the_same_id_is_never_overwritten() {
    let mongo = Mongo::start();
    let content = noise(1, CHUNK);
    let (site, file) = site_with_pending(&mongo, &content);
    mongo.insert_chunk(&file.id, 0, &noise(2, CHUNK));
    assert_held(&mongo, &site, &file, &content);
}

#[test]
fn chunks_that_a_lost_answer_left_are_made_use_of_and_not_doubled() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    let client = site.client();
    // Some of the chunks, or all of them, in one batch or in several.
    for (seed, length, there) in [(1, 3 * CHUNK, 2), (2, CHUNK + 1, 2), (3, 20 * CHUNK, 13)] {
        let promise = ledger.upload(&client, seed, length);
        for (n, chunk) in (0..there).zip(promise.content().chunks(CHUNK)) {
            mongo.insert_chunk(&promise.id, n, chunk);
        }
    }
    mongo.heal();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_plain_index_on_chunks_is_made_unique_and_everything_goes_on() {
    let mongo = Mongo::start();
    mongo.make_plain_chunk_index();
    assert!(!mongo.is_chunk_index_unique());
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    ledger.upload(&site.client(), 1, 3 * CHUNK);
    site.wait_until_empty();
    assert!(mongo.is_chunk_index_unique());
    mongo.assert_holds_just(&ledger);
}

#[test]
fn the_index_that_the_drivers_stream_made_is_made_unique_and_its_file_stays() {
    let mongo = Mongo::start();
    let bucket = drivers_bucket(&mongo);
    let theirs = Bson::String("theirs".to_owned());
    let content = noise(1, 3 * CHUNK);
    mongo.block_on(async {
        let mut stream = stream(&bucket, &theirs, &content).await;
        stream.close().await.unwrap();
    });
    assert!(!mongo.is_chunk_index_unique());
    let site = Site::start(&mongo);
    let ours = site.client().upload(&content);
    site.wait_until_committed();
    assert!(mongo.is_chunk_index_unique());
    let file = mongo.find("fs.files", doc! { "_id": object_id(&ours.id) });
    assert!(mongo.whole(&file[0]) == content);
    assert!(site.client().get("/files/theirs").body == content);
}

#[test]
fn doubled_chunks_of_old_forbid_commits_with_a_word_in_the_status_and_no_upload() {
    let mongo = Mongo::start();
    mongo.make_plain_chunk_index();
    let old = "0123456789abcdef01234567";
    mongo.insert_chunk(old, 0, b"one");
    mongo.insert_chunk(old, 0, b"two");
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    ledger.upload(&site.client(), 1, 3 * CHUNK);
    wait_until("the status says why", || {
        let error = &site.status()["mongodb"]["error"];
        error
            .as_str()
            .is_some_and(|error| error.contains("cannot be converted"))
    });
    ledger.upload(&site.client(), 2, CHUNK);
    ledger.assert_readable(&site.client());
    assert_eq!(site.entries("incoming"), 2);
    let chunks = mongo.find("fs.chunks", doc! {});
    assert_eq!(chunks.len(), 2, "nothing is written beside them");

    // An admin removes them, and the commit goes on by itself.
    let filter = doc! { "files_id": object_id(old) };
    mongo
        .block_on(async { mongo.chunks().delete_many(filter).await })
        .unwrap();
    site.wait_until_empty();
    assert!(mongo.is_chunk_index_unique());
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_collection_that_takes_the_place_of_another_gets_its_unique_index_with_the_first_file() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    site.client().upload(b"before");
    site.wait_until_empty();
    for (round, files) in [(1, 1), (2, 5)] {
        mongo.hide_from_sidecars();
        mongo.run(doc! { "dropDatabase": 1 });
        let ledger = Ledger::default();
        for file in 0..files {
            ledger.upload(&site.client(), round * 10 + file, CHUNK + 1);
        }
        mongo.heal();
        site.wait_until_empty();
        assert!(mongo.is_chunk_index_unique());
        mongo.assert_holds_just(&ledger);
        ledger.assert_readable(&site.client());
    }
    // An index of another driver is noticed soon, even without any file.
    mongo.run(doc! { "dropDatabase": 1 });
    mongo.make_plain_chunk_index();
    wait_until("the index is unique", || mongo.is_chunk_index_unique());
}
