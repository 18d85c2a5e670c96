//! Deletes: a file in any state is gone on every route, and stays gone.

use std::io::Write as _;

use kit::{Builder, CHUNK, Client, Mongo, Site, Uploaded, noise, object_id, wait_until};
use mongodb::bson::{Bson, doc};

/// Asserts that every request finds a file gone, and that it cannot be deleted again.
fn assert_gone(client: &Client, file: &Uploaded) {
    assert_absent(client, file);
    client.delete(&file.path).assert_problem(404, "not-found");
}

fn assert_absent(client: &Client, file: &Uploaded) {
    let range: &[_] = &[("Range", "bytes=0-1")];
    let if_range: &[_] = &[("Range", "bytes=0-1"), ("If-Range", file.etag.as_str())];
    let if_none_match: &[_] = &[("If-None-Match", file.etag.as_str())];
    for headers in [&[], range, if_range, if_none_match] {
        for path in [&file.path, &format!("{}/a.txt", file.path)] {
            let answer = client.get_with(path, headers);
            answer.assert_problem(404, "not-found");
        }
    }
    assert_eq!(client.head(&file.path).status, 404);
}

fn assert_deleted(client: &Client, path: &str) {
    let answer = client.delete(path);
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
    answer.assert_harmless();
}

/// Asserts that the bucket holds this many files with these many chunks.
fn assert_bucket_has(mongo: &Mongo, files: u64, chunks: u64) {
    assert_eq!(mongo.count(&mongo.files(), doc! {}), files);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), chunks);
}

/// Waits until the bucket holds neither a file nor a chunk.
fn wait_until_bucket_is_empty(mongo: &Mongo) {
    wait_until("file and chunks are gone", || {
        let all = [mongo.files(), mongo.chunks()];
        all.iter().all(|part| mongo.count(part, doc! {}) == 0)
    });
}

/// A site with an empty journal, and a committed file of two chunks.
fn site_with_committed(mongo: &Mongo) -> (Site, Uploaded) {
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(mongo);
    let file = site.client().upload(&noise(1, 2 * CHUNK));
    site.wait_until_empty();
    (site, file)
}

#[test]
fn a_pending_file_that_is_deleted_never_reaches_gridfs() {
    let mut mongo = Mongo::start();
    let mut site = Site::start(&mongo);
    mongo.stop();
    let client = site.client();
    let kept = client.upload(&noise(1, CHUNK + 1));
    let named = client.upload(&noise(2, CHUNK + 1));
    let plain = client.upload(&noise(3, 0));
    assert_deleted(&client, &plain.path);
    assert_deleted(&client, &format!("{}/any%20name", named.path));
    assert_absent(&client, &named);
    assert_absent(&client, &plain);
    assert_eq!(site.entries("incoming") + site.entries("deferred"), 1);
    site.kill_sidecar();
    site.start_sidecar();
    assert_absent(&client, &named);
    assert_absent(&client, &plain);
    mongo.restart();
    mongo.wait_for_primary();
    site.wait_until_committed();
    assert_bucket_has(&mongo, 1, 2);
    assert_gone(&client, &named);
    assert_gone(&client, &plain);
    assert!(client.get(&kept.path).body == noise(1, CHUNK + 1));
}

#[test]
fn a_settled_file_that_is_deleted_is_gone_from_the_journal_and_gridfs() {
    let mongo = Mongo::start();
    let site = Builder::without_log().start(&mongo);
    let client = site.client();
    let (kept, file) = (client.upload(b"kept"), client.upload(&noise(1, 2 * CHUNK)));
    site.wait_until_committed();
    assert_eq!(site.entries("settled"), 2);
    assert_deleted(&client, &file.path);
    assert_gone(&client, &file);
    assert_eq!(site.names("journal/body"), [kept.id.as_str()]);
    assert_bucket_has(&mongo, 1, 1);
    assert!(client.get(&kept.path).body == b"kept");
}

#[test]
fn a_committed_file_that_is_deleted_is_gone_even_from_nginxs_cache() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let (kept, file) = (client.upload(b"kept"), client.upload(&noise(1, 2 * CHUNK)));
    site.wait_until_empty();
    for _ in 0..2 {
        assert!(client.get(&file.path).body == noise(1, 2 * CHUNK));
    }
    assert_deleted(&client, &file.path);
    assert_gone(&client, &file);
    assert_bucket_has(&mongo, 1, 1);
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
    assert_gone(&client, &file);
    assert!(client.get(&kept.path).body == b"kept");
}

#[test]
fn a_delete_whose_client_goes_away_leaves_no_chunk() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let file = site.client().upload(&noise(1, 2 * CHUNK));
    site.wait_until_empty();
    mongo.fail_sidecars(
        doc! { "times": 1 },
        doc! {
            "failCommands": ["delete"],
            "namespace": "gridspool.fs.files",
            "blockConnection": true,
            "blockTimeMS": 3000,
        },
    );
    let mut connection = site.connect();
    let request = format!("DELETE {} HTTP/1.1\r\nHost: a\r\n\r\n", file.path);
    connection.write_all(request.as_bytes()).unwrap();
    wait_until("the document is being deleted", || {
        mongo.running("delete", &["fs.files"]) == 1
    });
    drop(connection);
    wait_until_bucket_is_empty(&mongo);
}

#[test]
fn a_delete_that_outlives_its_time_out_leaves_no_chunk() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 2000)
        .start(&mongo);
    let client = site.client();
    let file = client.upload(&noise(1, 100));
    site.wait_until_empty();
    let slow = doc! { "failCommands": ["delete"], "blockConnection": true, "blockTimeMS": 4000 };
    mongo.fail_sidecars(doc! { "times": 1 }, slow);
    client.delete(&file.path).assert_problem(503, "unavailable");
    wait_until_bucket_is_empty(&mongo);
}

#[test]
fn chunks_that_cannot_be_removed_with_their_file_are_removed_soon_after() {
    let mongo = Mongo::start();
    let (site, file) = site_with_committed(&mongo);
    let client = site.client();
    // A primary that steps down between the two steps answers this: code 10107.
    let refused = doc! {
        "failCommands": ["delete"],
        "errorCode": 10107,
        "namespace": "gridspool.fs.chunks",
    };
    mongo.fail_sidecars(doc! { "times": 2 }, refused);
    assert_eq!(client.delete(&file.path).status, 204);
    client.get(&file.path).assert_problem(404, "not-found");
    wait_until_bucket_is_empty(&mongo);
    assert_eq!(mongo.heal(), 2);
}

#[test]
fn a_delete_that_is_carried_out_and_answered_with_an_error_leaves_no_chunk() {
    let mongo = Mongo::start();
    let (site, file) = site_with_committed(&mongo);
    let client = site.client();
    // A primary that steps down before a majority has the delete answers this: the document is gone.
    let unconfirmed = doc! {
        "failCommands": ["delete"],
        "namespace": "gridspool.fs.files",
        "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" },
    };
    mongo.fail_sidecars(doc! { "times": 1 }, unconfirmed);
    client.delete(&file.path).assert_problem(503, "unavailable");
    wait_until_bucket_is_empty(&mongo);
    assert_eq!(mongo.heal(), 1);
    assert_gone(&client, &file);
}

#[test]
fn a_delete_that_is_refused_once_is_carried_out_soon_after() {
    let mongo = Mongo::start();
    let (site, file) = site_with_committed(&mongo);
    let client = site.client();
    // The driver does not repeat a command after BadValue.
    let refused = doc! {
        "failCommands": ["delete"], "namespace": "gridspool.fs.files", "errorCode": 2,
    };
    mongo.fail_sidecars(doc! { "times": 1 }, refused);
    client.delete(&file.path).assert_problem(503, "unavailable");
    wait_until_bucket_is_empty(&mongo);
    assert_eq!(mongo.heal(), 1);
    wait_until("no reader finds it", || {
        client.get(&file.path).status == 404
    });
    assert_gone(&client, &file);
}

#[test]
fn a_file_that_another_driver_deletes_is_soon_gone_though_nginx_has_it_cached() {
    let mongo = Mongo::start();
    let (site, file) = site_with_committed(&mongo);
    let client = site.client();
    assert!(client.get(&file.path).body == noise(1, 2 * CHUNK));
    let deleted = mongo.block_on(async {
        let bucket = mongo.database().gridfs_bucket(None);
        bucket.delete(Bson::from(object_id(&file.id))).await
    });
    deleted.unwrap();
    wait_until("the file is gone", || client.get(&file.path).status == 404);
    assert_gone(&client, &file);
}

#[test]
fn what_is_not_there_cannot_be_deleted_and_what_others_wrote_can() {
    let mut mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    for id in ["000000000000000000000000", "x", "%7B%22%24ne%22%3A1%7D"] {
        let answer = client.delete(&format!("/files/{id}"));
        answer.assert_problem(404, "not-found");
    }
    for id in ["theirs", "others"] {
        mongo.block_on(async {
            let bucket = mongo.database().gridfs_bucket(None);
            let opened = bucket
                .open_upload_stream("a")
                .id(Bson::String(id.to_owned()));
            let mut stream = opened.await.unwrap();
            let bytes = noise(1, 3 * CHUNK);
            futures::AsyncWriteExt::write_all(&mut stream, &bytes)
                .await
                .unwrap();
            futures::AsyncWriteExt::close(&mut stream).await.unwrap();
        });
    }
    assert_deleted(&client, "/files/theirs");
    client.get("/files/theirs").assert_problem(404, "not-found");
    client
        .delete("/files/theirs")
        .assert_problem(404, "not-found");
    assert_bucket_has(&mongo, 1, 3);
    assert!(client.get("/files/others").body == noise(1, 3 * CHUNK));
    mongo.stop();
    let answer = client.delete("/files/others");
    answer.assert_problem(503, "unavailable");
}

/// A site with one upload of three chunks. Its commit is blocked in MongoDB for a while, at an insert
/// into this collection.
fn in_mid_commit(mongo: &Mongo, collection: &str, builder: Builder) -> (Site, Uploaded) {
    at_insert(mongo, collection, 1, builder, 3)
}

/// The same with this many chunks, blocked at this many inserts.
fn at_insert(
    mongo: &Mongo,
    collection: &str,
    inserts: usize,
    builder: Builder,
    chunks: usize,
) -> (Site, Uploaded) {
    let site = builder
        .set("settled_grace_seconds", 0)
        // This is longer than the insert is blocked.
        .set("delete_watch_seconds", 12)
        .start(mongo);
    wait_until("the sidecar is connected", || {
        site.client().get("/readyz").status == 200
    });
    mongo.fail_sidecars(
        doc! { "times": i64::try_from(inserts).unwrap() },
        doc! {
            "failCommands": ["insert"],
            "namespace": format!("gridspool.{collection}"),
            "blockConnection": true,
            "blockTimeMS": 10_000,
        },
    );
    let file = site.client().upload(&noise(1, chunks * CHUNK));
    wait_until("the inserts stand still", || {
        mongo.running("insert", &[collection]) == inserts
    });
    (site, file)
}

/// Waits until nothing of a deleted file is left anywhere, and asserts that nothing comes back.
fn assert_nothing_comes_back(mongo: &Mongo, site: &mut Site, file: &Uploaded) {
    wait_until("MongoDB has carried out all that it was asked", || {
        mongo.running("insert", &["fs.chunks", "fs.files"]) == 0
    });
    site.wait_until_empty();
    assert_absent(&site.client(), file);
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
    assert_gone(&site.client(), file);
    assert_bucket_has(mongo, 0, 0);
}

/// Deletes a file of this many chunks while MongoDB is frozen in as many of its inserts. Returns the
/// number of documents that were written since.
fn assert_not_undone_by_an_insert_into(collection: &str, inserts: usize, chunks: usize) -> i64 {
    let mongo = Mongo::start();
    let written = || {
        let status = mongo.admin(doc! { "serverStatus": 1 });
        let documents = status.get_document("metrics").unwrap();
        let documents = documents.get_document("document").unwrap();
        documents.get_i64("inserted").unwrap()
    };
    let patient = Builder::default().set("mongodb_timeout_ms", 60_000);
    let (mut site, file) = at_insert(&mongo, collection, inserts, patient, chunks);
    let before = written();
    mongo.freeze();
    assert_deleted(&site.client(), &file.path);
    assert_gone(&site.client(), &file);
    assert_eq!(site.status()["commit"]["in_flight"], 1);
    mongo.thaw();
    assert_nothing_comes_back(&mongo, &mut site, &file);
    written() - before
}

#[test]
fn a_delete_is_not_undone_by_a_commit_that_is_writing_chunks_and_ends_it() {
    // Two batches on their way, and one that may have been read.
    let written = assert_not_undone_by_an_insert_into("fs.chunks", 2, 200);
    assert!(written < 60, "{written} documents of 200 chunks");
}

#[test]
fn a_delete_is_not_undone_by_a_commit_that_is_writing_the_files_document() {
    assert_not_undone_by_an_insert_into("fs.files", 1, 3);
}

#[test]
fn a_delete_is_not_undone_by_a_write_that_outlives_its_time_out() {
    let mongo = Mongo::start();
    let impatient = Builder::default().set("mongodb_timeout_ms", 500);
    let (mut site, file) = in_mid_commit(&mongo, "fs.files", impatient);
    assert_deleted(&site.client(), &file.path);
    wait_until("the sidecar gives the write up", || {
        site.status()["commit"]["failures"] != 0
    });
    assert_nothing_comes_back(&mongo, &mut site, &file);
}

#[test]
fn a_delete_is_not_undone_by_a_write_of_a_sidecar_that_was_killed() {
    let mongo = Mongo::start();
    let (mut site, file) = in_mid_commit(&mongo, "fs.files", Builder::default());
    assert_deleted(&site.client(), &file.path);
    site.kill_sidecar();
    site.start_sidecar();
    assert_absent(&site.client(), &file);
    assert_nothing_comes_back(&mongo, &mut site, &file);
}
