//! MongoDB away, slow or faulty: promises are made all the same, and kept once, when it is back.

use mongodb::bson::{Document, doc};
use serde_json::json;

use crate::support::{Builder, CHUNK, Ledger, Mongo, Site, wait_until};

/// Lengths around everything that is cut: chunks, and the batches that chunks are sent in.
const LENGTHS: [usize; 8] = [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 700_000, 3_000_000];

fn upload_all_lengths(site: &Site, ledger: &Ledger, rounds: u64) {
    let client = site.client();
    for round in 0..rounds {
        for (seed, length) in (round * 100..).zip(LENGTHS) {
            ledger.upload(&client, seed, length);
        }
    }
}

/// A site that keeps no body longer than it must, and does not wait long for MongoDB.
fn impatient() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 1500)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 500)
}

#[test]
fn without_mongodb_from_the_start_uploads_and_downloads_go_on_and_the_backlog_drains_later() {
    let mut mongo = Mongo::start();
    mongo.stop();
    let site = impatient().start(&mongo);
    let client = site.client();
    let ledger = Ledger::default();
    upload_all_lengths(&site, &ledger, 2);
    ledger.assert_readable(&client);
    assert_eq!(client.get("/healthz").status, 200);
    let ready = client.get("/readyz");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["mongodb"], "down");
    wait_until("a first look for MongoDB has failed", || {
        site.status()["mongodb"]["error"].is_string()
    });
    let status = site.status();
    assert_eq!(status["mongodb"]["state"], "down");
    assert_eq!(status["journal"]["writable"], true);
    assert_eq!(status["journal"]["rooms"]["incoming"]["entries"], 16);
    assert_eq!(status["commit"]["committed_entries"], 0);

    mongo.restart();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&client);
    assert_eq!(client.get("/readyz").status, 200);
    assert_eq!(site.status()["mongodb"]["state"], "up");
}

#[test]
fn a_mongod_killed_in_the_midst_of_commits_holds_every_file_once_in_the_end() {
    let mut mongo = Mongo::start();
    let site = impatient().start(&mongo);
    let ledger = Ledger::default();
    mongo.hide_from_sidecars();
    upload_all_lengths(&site, &ledger, 5);
    // Slow enough that the kill finds some files done, some begun and some not.
    let slow = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 200 };
    mongo.fail_sidecars("alwaysOn", slow);
    wait_until("commits are under way", || {
        site.status()["commit"]["committed_entries"].as_u64() >= Some(5)
    });
    mongo.kill();
    assert!(site.entries("incoming") > 0, "the kill came too late");
    mongo.restart();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&site.client());
}

#[test]
fn a_mongod_that_freezes_holds_up_no_upload_and_gets_every_file_once_after_it() {
    let mongo = Mongo::start();
    let site = impatient().start(&mongo);
    let ledger = Ledger::default();
    upload_all_lengths(&site, &ledger, 2);
    mongo.freeze();
    upload_all_lengths(&site, &ledger, 1);
    wait_until("the sidecar has noticed", || {
        site.status()["mongodb"]["state"] == "down"
    });
    upload_all_lengths(&site, &ledger, 1);
    assert!(site.entries("incoming") >= 8);
    mongo.thaw();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

/// Commits files while MongoDB has a fault that hits at least `hits` commands, and asserts that
/// each is there once, whole, and that none was held or deferred for what is MongoDB's fault.
fn assert_survived(mode: Document, hits: i32, data: Document) {
    let mongo = Mongo::start();
    let site = impatient().start(&mongo);
    let client = site.client();
    let ledger = Ledger::default();
    // The indexes are there when the fault begins.
    ledger.upload(&client, 1000, CHUNK);
    site.wait_until_committed();
    mongo.fail_sidecars(mode, data);
    upload_all_lengths(&site, &ledger, 1);
    wait_until("all is committed", || site.entries("incoming") == 0);
    let hit = mongo.heal();
    assert!(hit >= hits, "the fault hit {hit} commands");
    site.wait_until_empty();
    for blame in ["; deferred", "; held", "moved to corrupt"] {
        assert!(!site.log().contains(blame), "{blame}");
    }
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&client);
}

#[test]
fn connections_that_break_in_the_midst_of_inserts_lose_and_double_nothing() {
    // The driver itself tries each command twice.
    let data = doc! { "failCommands": ["insert"], "closeConnection": true };
    assert_survived(doc! { "times": 12 }, 12, data);
}

#[test]
fn chunks_that_are_written_and_reported_as_failed_are_found_there() {
    let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let data = doc! {
        "failCommands": ["insert"],
        "writeConcernError": error,
        "namespace": "gridspool.fs.chunks",
    };
    assert_survived(doc! { "times": 4 }, 4, data);
}

#[test]
fn a_file_document_that_is_written_and_reported_as_failed_is_found_there() {
    let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let data = doc! {
        "failCommands": ["insert"],
        "writeConcernError": error,
        "namespace": "gridspool.fs.files",
    };
    assert_survived(doc! { "times": 4 }, 4, data);
}

#[test]
fn a_primary_that_steps_down_again_and_again_gets_every_file_once() {
    let data = doc! { "failCommands": ["insert", "find", "aggregate"], "errorCode": 10107 };
    assert_survived(doc! { "times": 6 }, 6, data);
}

#[test]
fn a_primary_that_steps_down_while_it_writes_gets_every_file_once() {
    let data = doc! { "failCommands": ["insert"], "errorCode": 189 };
    assert_survived(doc! { "times": 12 }, 12, data);
}

#[test]
fn writes_that_are_carried_out_after_their_time_out_double_nothing() {
    let data = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 2500 };
    assert_survived(doc! { "times": 4 }, 4, data);
}

#[test]
fn errors_of_no_known_kind_are_never_held_against_a_file() {
    // 8000 stands for whatever a hosted MongoDB may say.
    let data = doc! { "failCommands": ["insert"], "errorCode": 8000 };
    assert_survived(doc! { "times": 12 }, 12, data);
}

#[test]
fn a_file_that_mongodb_refuses_is_held_with_the_reason_until_an_admin_says_retry() {
    let mongo = Mongo::start();
    let rule = doc! { "filename": { "$ne": "forbidden.txt" } };
    mongo.run(doc! { "create": "fs.files", "validator": rule });
    let mut site = impatient().start(&mongo);
    let client = site.client();
    let content = b"of no use to anybody";
    let file = crate::support::Uploaded::read(&client.put("/files/forbidden.txt", content));
    let others = Ledger::default();
    upload_all_lengths(&site, &others, 1);
    wait_until("it is held", || site.entries("hold") == 1);
    site.wait_until_committed();
    let record = site.data_dir().join("journal/hold");
    let record = std::fs::read_to_string(record.join(format!("{}.json", file.id))).unwrap();
    assert!(record.contains("Document failed validation"), "{record}");
    assert!(client.get(&file.path).body == content);
    let files = mongo.find("fs.files", doc! {});
    assert_eq!(files.len(), others.len());

    // A restart changes nothing, and a retry without a remedy brings it back here.
    site.stop_sidecar();
    site.start_sidecar();
    assert_eq!(site.entries("hold"), 1);
    let retried = |site: &Site| {
        let (status, body) = site.ask_admin("POST", "/hold/retry");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    assert_eq!(retried(&site), json!({ "retried": [file.id] }));
    wait_until("it is held again", || {
        site.entries("hold") == 1 && site.status()["commit"]["in_flight"] == 0
    });

    mongo.run(doc! { "collMod": "fs.files", "validator": {} });
    assert_eq!(retried(&site), json!({ "retried": [file.id] }));
    site.wait_until_empty();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 9);
    assert!(client.get(&file.path).body == content);
    assert_eq!(retried(&site), json!({ "retried": [] }));
}
