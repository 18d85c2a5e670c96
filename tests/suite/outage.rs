//! MongoDB is away, slow or faulty: promises are still made, and kept exactly once when it is back.

use std::process::Command;

use kit::{Builder, CHUNK, Keys, Ledger, Mongo, Site, Uploaded, finish, wait_until};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::mongodb_tls::assert_no_dump;

/// Lengths around all boundaries: of chunks, and of the batches in which chunks are sent.
const LENGTHS: [usize; 8] = [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 700_000, 3_000_000];

fn upload_all_lengths(site: &Site, ledger: &Ledger, rounds: u64) {
    let client = site.client();
    for round in 0..rounds {
        for (seed, length) in (round * 100..).zip(LENGTHS) {
            ledger.upload(&client, seed, length);
        }
    }
}

/// A site that evicts bodies at once, and does not wait long for MongoDB.
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
    let error = status["mongodb"]["error"].as_str().unwrap();
    let expected = "the store is not available: no server is fit for this (127.0.0.1:";
    assert!(error.starts_with(expected) && error.len() < 300, "{error}");
    assert_no_dump(&site);
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
    // The commits are slow enough that the kill finds some files done, some begun, and some untouched.
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

/// Commits files while MongoDB has a fault that hits at least `hits` commands. Asserts that each file
/// is there once and whole, and that none was held or deferred for MongoDB's fault.
fn assert_survived(mode: Document, hits: i32, data: Document) {
    let site = assert_all_arrive(mode, hits, data);
    assert!(!site.log().contains("; deferred"));
}

/// The same, but a file may be deferred; none may be held.
fn assert_all_arrive(mode: Document, hits: i32, data: Document) -> Site {
    let mongo = Mongo::start();
    let site = impatient().start(&mongo);
    let client = site.client();
    let ledger = Ledger::default();
    // The indexes exist before the fault begins.
    ledger.upload(&client, 1000, CHUNK);
    site.wait_until_committed();
    mongo.fail_sidecars(mode, data);
    upload_all_lengths(&site, &ledger, 1);
    wait_until("all is committed", || {
        site.entries("incoming") + site.entries("deferred") == 0
    });
    let hit = mongo.heal();
    assert!(hit >= hits, "the fault hit {hit} commands");
    site.wait_until_empty();
    for blame in ["; held", "moved to corrupt"] {
        assert!(!site.log().contains(blame), "{blame}");
    }
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&client);
    assert_no_dump(&site);
    site
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
    // MongoDB answers pings all the time, so each failure counts against its file.
    assert_all_arrive(doc! { "times": 4 }, 4, data);
}

#[test]
fn no_word_of_mongodb_about_a_question_makes_a_file_of_ours_absent() {
    let mongo = Mongo::start();
    let site = impatient().start(&mongo);
    let client = site.client();
    let file = client.upload(b"there");
    site.wait_until_empty();
    // BadValue: for a key of another driver it means that there is no such file.
    let data = doc! { "failCommands": ["find"], "errorCode": 2 };
    mongo.fail_sidecars("alwaysOn", data);
    for answer in [client.get(&file.path), client.delete(&file.path)] {
        assert!(answer.status >= 500, "{answer:?}");
    }
    mongo.heal();
    assert_eq!(client.get(&file.path).body, b"there");
    assert_eq!(client.delete(&file.path).status, 204);
}

/// A script's exit code and output.
fn script(site: &Site, name: &str, words: &[&str]) -> (i32, String) {
    let path = format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
    let socket = site.admin_socket();
    let socket = ["--socket", socket.to_str().unwrap()];
    let ended = finish(Command::new(path).args(words).args(socket));
    let said = [ended.stdout, ended.stderr].concat();
    (
        ended.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// The list of waiting entries shows reasons and attempts, page by page; a wrong id is a clear error.
fn see_why_it_is_held(site: &Site, id: &str) {
    let (code, list) = script(site, "status", &["--waiting"]);
    assert_eq!(code, 0, "{list}");
    let list: Value = serde_json::from_str(&list).unwrap();
    let expected = json!({ "waiting": [{
        "id": id, "length": 20, "room": "hold", "attempts": 1,
        "reason": "the store refuses the file: 121 DocumentValidationFailure: Document failed validation",
        "next_attempt": null,
    }], "next": null });
    assert_eq!(list, expected);
    let (status, one) = site.ask_admin("GET", &format!("/waiting/{id}"));
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_str::<Value>(&one).unwrap(),
        expected["waiting"][0]
    );
    let (_, page) = site.ask_admin("GET", "/waiting?limit=1");
    assert_eq!(serde_json::from_str::<Value>(&page).unwrap()["next"], id);
    let (_, page) = site.ask_admin("GET", &format!("/waiting?after={id}"));
    assert_eq!(page, r#"{"next":null,"waiting":[]}"#);
    // This site asks for no tokens, so nobody counts as an admin.
    let meta = site.client().get(&format!("/files/{id}/meta")).json();
    assert_eq!(
        (&meta["state"], &meta["waiting"]),
        (&json!("pending"), &Value::Null)
    );
    let unknown = "000000000000000000000000";
    let (code, said) = script(site, "retry", &[unknown]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("Nothing waits here under the id 000000000000000000000000"),
        "{said}"
    );
    assert_eq!(site.ask_admin("POST", "/waiting/a.txt/retry").0, 400);
    for query in ["after=a.txt", "limit=many", "limit=1&limit=2"] {
        let (status, said) = site.ask_admin("GET", &format!("/waiting?{query}"));
        assert_eq!(status, 400);
        assert!(said.contains("urn:gridspool:problem:bad-"), "{said}");
    }
    assert_eq!(site.client().get("/waiting").status, 404);
}

#[test]
fn a_file_that_was_put_off_shows_its_reason_to_admins_and_is_tried_again_when_one_says_so() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let long = 600_000;
    let site = keys.guard(
        impatient()
            .set("retry_first_ms", long)
            .set("retry_max_ms", long),
    );
    let site = site.start(&mongo);
    // BadValue counts as the entry's own fault.
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "errorCode": 2 },
    );
    let client = site.client();
    let ask = |method: &str, path: &str, scope: &str| {
        let token = keys.bearer(&["--scope", scope]);
        client.ask(method, path, &[("Authorization", &token)])
    };
    let token = keys.bearer(&["--scope", "upload"]);
    let file = client.post("/files", &[("Authorization", &token)], b"put off");
    let file = Uploaded::read(&file);
    wait_until("it is put off", || site.entries("deferred") == 1);
    let path = format!("{}/meta", file.path);
    let why = &ask("GET", &path, "admin").json()["waiting"];
    assert_eq!(
        (&why["room"], &why["attempts"]),
        (&json!("deferred"), &json!(1))
    );
    let reason = why["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the store did not take the file: 2 BadValue"),
        "{reason}"
    );
    assert!(
        why["next_attempt"].as_str().unwrap().ends_with('Z'),
        "{why}"
    );
    let for_users = ask("GET", &path, "download").json();
    assert_eq!(
        (&for_users["state"], &for_users["waiting"]),
        (&json!("pending"), &Value::Null)
    );
    // It gives access to no file, and to nothing else.
    ask("GET", &file.path, "admin").assert_problem(403, "insufficient-scope");
    ask("DELETE", &file.path, "admin").assert_problem(403, "insufficient-scope");
    ask("POST", "/files", "admin").assert_problem(403, "insufficient-scope");
    mongo.heal();
    let (code, said) = script(&site, "retry", &[&file.id]);
    assert_eq!(code, 0, "{said}");
    site.wait_until_empty();
    assert_eq!(ask("GET", &path, "admin").json()["state"], "committed");
    let (code, said) = script(&site, "retry", &[&file.id]);
    assert!(code == 1 && said.contains("committed"), "{said}");
}

#[test]
fn a_file_that_mongodb_refuses_is_held_with_the_reason_until_an_admin_says_retry() {
    let mongo = Mongo::start();
    let rule = doc! { "filename": { "$ne": "forbidden.txt" } };
    mongo.run(doc! { "create": "fs.files", "validator": rule });
    let mut site = impatient().start(&mongo);
    let client = site.client();
    let content = b"of no use to anybody";
    let file = Uploaded::read(&client.put("/files/forbidden.txt", content));
    let others = Ledger::default();
    upload_all_lengths(&site, &others, 1);
    wait_until("it is held", || site.entries("hold") == 1);
    site.wait_until_committed();
    let reason = site.reason_of(&file.id);
    assert!(reason.contains("Document failed validation"), "{reason}");
    assert!(client.get(&file.path).body == content);
    let files = mongo.find("fs.files", doc! {});
    assert_eq!(files.len(), others.len());

    // A restart changes nothing, and a retry without a remedy leads to the same state.
    site.stop_sidecar();
    site.start_sidecar();
    assert_eq!(site.entries("hold"), 1);
    let retried = |site: &Site| {
        let (status, body) = site.ask_admin("POST", "/hold/retry");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(retried(&site), json!({ "retried": [file.id] }));
    wait_until("it is held again", || {
        site.entries("hold") == 1 && site.status()["commit"]["in_flight"] == 0
    });
    see_why_it_is_held(&site, &file.id);
    assert_no_dump(&site);

    mongo.run(doc! { "collMod": "fs.files", "validator": {} });
    let (code, said) = script(&site, "retry", &[&file.id]);
    assert_eq!(code, 0, "{said}");
    site.wait_until_empty();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 9);
    assert!(client.get(&file.path).body == content);
    assert_eq!(retried(&site), json!({ "retried": [] }));
}
