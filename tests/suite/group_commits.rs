//! Small files are committed together: fast as a group, and as safe as each alone.

use kit::{Builder, CHUNK, Client, Ledger, Mongo, Site, Uploaded, eventually, noise, wait_until};
use mongodb::bson::{Document, doc};

/// A site that evicts bodies at once, and forms groups without delay.
fn builder() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 500)
}

/// A site with this many small files that wait for their first attempt.
fn site_with_backlog(mongo: &Mongo, ledger: &Ledger, files: u64) -> Site {
    mongo.hide_from_sidecars();
    let site = builder().start(mongo);
    upload_small(&site.client(), ledger, files);
    site
}

/// Lengths from nothing to a whole chunk.
fn upload_small(client: &Client, ledger: &Ledger, files: u64) {
    for (seed, length) in (0..files).zip([0, 1, 300, 8192, CHUNK, 9000].into_iter().cycle()) {
        ledger.upload(client, seed, length);
    }
}

/// The number of inserts that mongod has received.
fn inserts(mongo: &Mongo) -> i64 {
    sent(mongo, "insert")
}

fn sent(mongo: &Mongo, command: &str) -> i64 {
    let status = mongo.admin(doc! { "serverStatus": 1 });
    let commands = status.get_document("metrics").unwrap();
    let commands = commands.get_document("commands").unwrap();
    let command = commands.get_document(command).unwrap();
    command.get_i64("total").unwrap()
}

fn assert_nobody_was_blamed(site: &Site) {
    for blame in ["; deferred", "; held", "moved to corrupt"] {
        assert!(!site.log().contains(blame), "{blame}");
    }
}

#[test]
fn a_backlog_of_small_files_takes_few_inserts_and_all_of_it_is_there_once() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    let site = site_with_backlog(&mongo, &ledger, 120);
    let before = [inserts(&mongo), sent(&mongo, "aggregate")];
    mongo.heal();
    site.wait_until_empty();
    let needed = inserts(&mongo) - before[0];
    // 120 files would take 220 inserts.
    assert!(needed <= 60, "{needed} inserts");
    // A file that is proven alone has its chunks counted in this way.
    let alone = sent(&mongo, "aggregate") - before[1];
    assert!(alone <= 30, "{alone} proven alone");
    mongo.assert_holds_just(&ledger);
    assert_nobody_was_blamed(&site);
    assert_eq!(site.status()["commit"]["committed_entries"], 120);
}

#[test]
fn what_was_pending_at_a_start_goes_in_groups_too_and_no_chunk_is_read_for_it() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    let mut site = site_with_backlog(&mongo, &ledger, 60);
    site.kill_sidecar();
    site.start_sidecar();
    let before = inserts(&mongo);
    mongo.run(doc! { "profile": 2 });
    mongo.heal();
    site.wait_until_empty();
    let needed = inserts(&mongo) - before;
    assert!(needed <= 30, "{needed} inserts");
    let profile = mongo.database().collection::<Document>("system.profile");
    // A single one is read from time to time, to measure how long a reader waits.
    let read = doc! { "ns": "gridspool.fs.chunks", "docsExamined": { "$gt": 1 } };
    assert_eq!(mongo.count(&profile, read), 0, "MongoDB knows what it took");
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_member_that_mongodb_refuses_is_held_and_all_others_are_committed() {
    let mongo = Mongo::start();
    let rule = doc! { "filename": { "$ne": "forbidden.txt" } };
    mongo.run(doc! { "create": "fs.files", "validator": rule });
    let ledger = Ledger::default();
    let site = site_with_backlog(&mongo, &ledger, 20);
    let refused = site.client().put("/files/forbidden.txt", b"refused");
    let refused = Uploaded::read(&refused);
    upload_small(&site.client(), &ledger, 20);
    mongo.heal();
    wait_until("it is held", || site.entries("hold") == 1);
    site.wait_until_committed();
    assert!(site.client().get(&refused.path).body == b"refused");
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 40);
    ledger.assert_readable(&site.client());
}

#[test]
fn a_member_whose_body_is_cut_short_is_set_aside_and_all_others_are_committed() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    mongo.hide_from_sidecars();
    let site = builder().set("log_body_bytes", 0).start(&mongo);
    upload_small(&site.client(), &ledger, 20);
    let cut = site.client().upload(&noise(1, 5000));
    upload_small(&site.client(), &ledger, 20);
    let body = site.data_dir().join(format!("journal/body/{}", cut.id));
    std::fs::write(body, noise(1, 4999)).unwrap();
    mongo.heal();
    wait_until("it is set aside", || {
        site.status()["journal"]["corrupt_files"] != 0
    });
    site.wait_until_committed();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_member_with_a_chunk_that_is_there_is_compared_and_the_others_do_not_wait() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    let site = site_with_backlog(&mongo, &ledger, 10);
    let promise = ledger.upload(&site.client(), 77, 8192);
    mongo.insert_chunk(&promise.id, 0, &promise.content());
    let other = site.client().upload(&noise(78, 8192));
    mongo.insert_chunk(&other.id, 0, &noise(79, 8192));
    upload_small(&site.client(), &ledger, 10);
    mongo.heal();
    wait_until("one is held", || site.entries("hold") == 1);
    site.wait_until_committed();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 21);
    ledger.assert_readable(&site.client());
    let reason = site.reason_of(&other.id);
    assert!(reason.contains("with other bytes"), "{reason}");
}

#[test]
fn a_sidecar_killed_amid_groups_loses_and_doubles_nothing() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    let mut site = site_with_backlog(&mongo, &ledger, 60);
    for collection in ["fs.chunks", "fs.files"] {
        let namespace = format!("gridspool.{collection}");
        let slow = doc! {
            "failCommands": ["insert"],
            "namespace": &namespace,
            "blockConnection": true,
            "blockTimeMS": 2000,
        };
        // No sidecar runs while the fault changes, as it would commit everything in between.
        site.kill_sidecar();
        mongo.fail_sidecars("alwaysOn", slow);
        site.start_sidecar();
        wait_until("a group is being inserted", || {
            mongo.running("insert", &[collection]) > 0
        });
    }
    site.kill_sidecar();
    mongo.heal();
    site.start_sidecar();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&site.client());
}

/// Commits a group while MongoDB has a fault that hits it. Asserts that each file is there once, and
/// that none was held or deferred.
fn assert_group_survives(hits: i32, data: Document) {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    let mut site = site_with_backlog(&mongo, &ledger, 30);
    // No sidecar runs while the fault changes, as it would commit some of them in between.
    site.kill_sidecar();
    let before = mongo.heal();
    mongo.fail_sidecars(doc! { "times": hits }, data);
    site.start_sidecar();
    site.wait_until_empty();
    // Data that were written are not sent again, though their answer was lost: the first commit is then
    // the only one.
    let hit = mongo.heal() - before;
    assert!((1..=hits).contains(&hit), "the fault hit {hit} times");
    mongo.assert_holds_just(&ledger);
    assert_nobody_was_blamed(&site);
    ledger.assert_readable(&site.client());
}

#[test]
fn an_insert_of_a_group_that_fails_for_no_known_reason_makes_each_member_try_alone() {
    assert_group_survives(1, doc! { "failCommands": ["insert"], "errorCode": 8000 });
}

#[test]
fn an_insert_of_a_group_that_speaks_of_a_document_makes_each_member_try_alone() {
    let data = doc! {
        "failCommands": ["insert"],
        "errorCode": 2,
        "namespace": "gridspool.fs.chunks",
    };
    assert_group_survives(1, data);
}

#[test]
fn chunks_of_a_group_whose_answer_was_lost_are_found_there() {
    let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let data = doc! {
        "failCommands": ["insert"],
        "writeConcernError": error,
        "namespace": "gridspool.fs.chunks",
    };
    assert_group_survives(2, data);
}

#[test]
fn documents_of_a_group_whose_answer_was_lost_are_found_there() {
    let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let data = doc! {
        "failCommands": ["insert"],
        "writeConcernError": error,
        "namespace": "gridspool.fs.files",
    };
    assert_group_survives(2, data);
}

#[test]
fn proofs_of_a_group_that_cannot_be_read_are_read_later() {
    let data = doc! {
        "failCommands": ["find"],
        "errorCode": 10107,
        "namespace": "gridspool.fs.chunks",
    };
    assert_group_survives(3, data);
}

#[test]
fn a_member_that_is_deleted_while_its_group_is_inserted_is_gone_and_the_others_are_there() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    let site = site_with_backlog(&mongo, &ledger, 10);
    let deleted = site.client().upload(&noise(1, 5000));
    upload_small(&site.client(), &ledger, 10);
    mongo.heal();
    mongo.fail_sidecars(
        doc! { "times": 1 },
        doc! {
            "failCommands": ["insert"],
            "namespace": "gridspool.fs.files",
            "blockConnection": true,
            "blockTimeMS": 3000,
        },
    );
    wait_until("a group is being inserted", || {
        mongo.running("insert", &["fs.files"]) > 0
    });
    mongo.freeze();
    let answer = site.client().delete(&deleted.path);
    assert_eq!(answer.status, 204);
    mongo.thaw();
    site.wait_until_empty();
    assert_eq!(site.client().get(&deleted.path).status, 404);
    mongo.assert_holds_just(&ledger);
    assert_nobody_was_blamed(&site);
}

/// Only one commit at the store at a time.
fn one_by_one() -> Builder {
    builder()
        .set("commit_pace", "fixed")
        .set("commit_entries", 1)
}

#[test]
fn with_little_memory_and_one_commit_at_once_all_goes_the_same_way() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    mongo.hide_from_sidecars();
    // Room for two chunks: a batch of a large file, and the group that is read meanwhile.
    let site = one_by_one()
        .set("memory", "low")
        .set("commit_bytes", 2 * CHUNK)
        .start(&mongo);
    let client = site.client();
    for round in 0..3 {
        ledger.upload(&client, 100 + round, 5 * CHUNK + 1);
        for seed in 10 * round..10 * round + 6 {
            ledger.upload(&client, seed, 90_000);
        }
    }
    upload_small(&client, &ledger, 20);
    mongo.heal();
    assert_eq!(site.status()["commit"]["width"], 1);
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn the_next_group_is_made_ready_while_one_is_at_mongodb_but_nothing_of_it_is_sent() {
    let mongo = Mongo::start();
    let ledger = Ledger::default();
    // A group consists of two of these files.
    let site = one_by_one().set("commit_bytes", 2 * CHUNK).start(&mongo);
    let slow = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 500 };
    mongo.fail_sidecars("alwaysOn", slow);
    for seed in 0..6 {
        ledger.upload(&site.client(), seed, 90_000);
    }
    let mut in_flight = 0;
    wait_until("all is committed", || {
        let commit = site.status()["commit"].take();
        in_flight = in_flight.max(commit["in_flight"].as_u64().unwrap());
        // Both in one question: between two questions a group may move from one to the other.
        let running = mongo.running("insert", &["fs.chunks", "fs.files"]);
        assert!(running <= 1, "{running}");
        commit["committed_entries"] == 6
    });
    assert!(in_flight > 2, "no group was made ready: {in_flight}");
    mongo.heal();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn the_reads_that_mongodb_is_watched_by_fetch_no_chunk() {
    let mongo = Mongo::start();
    let site = builder().start(&mongo);
    let client = site.client();
    client.upload(&noise(1, CHUNK));
    site.wait_until_committed();
    mongo.run(doc! { "profile": 2 });
    // It is measured while anything is being committed.
    let slow = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 300 };
    mongo.fail_sidecars("alwaysOn", slow);
    client.upload(b"slow");
    let watching = doc! { "ns": "gridspool.fs.chunks", "op": "query", "command.filter.n": 0 };
    let read = eventually("a read of a first chunk", || {
        mongo.find("system.profile", watching.clone()).pop()
    });
    assert_eq!(read.get_i32("nreturned").ok(), Some(1), "{read}");
    assert!(read.get_i32("responseLength").unwrap() < 1000, "{read}");
    mongo.heal();
}
