//! Small uploads, with bodies inline in the journal's log: no client sees a difference.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use kit::{Builder, Client, Ledger, Mongo, Site, noise, wait_until};
use mongodb::bson::doc;

/// A site with a MongoDB that does not answer yet.
fn site(mongo: &Mongo) -> Site {
    mongo.hide_from_sidecars();
    Builder::default()
        .set("settled_grace_seconds", 0)
        .start(mongo)
}

fn assert_is_in_the_log(site: &Site) {
    assert!(site.names("journal/body").is_empty());
    assert!(site.entries("incoming") > 0);
}

/// Flips a bit of a body in the log. Returns its place in the log's file.
fn rot(site: &Site, content: &[u8]) -> usize {
    let directory = site.data_dir().join("journal/wal");
    let mut logs = site.names("journal/wal").into_iter().map(|name| {
        let log = directory.join(name);
        let bytes = std::fs::read(&log).unwrap();
        (log, bytes)
    });
    let found = logs.find_map(|(log, bytes)| {
        let at = memchr::memmem::find(&bytes, content)?;
        Some((log, bytes, at + 5000))
    });
    let (log, bytes, at) = found.expect("its body is in the log");
    let segment = File::options().write(true).open(&log).unwrap();
    let other = [bytes[at] ^ 1];
    segment
        .write_all_at(&other, at.try_into().unwrap())
        .unwrap();
    at
}

#[test]
fn a_small_file_is_the_same_before_and_after_its_commit() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let client = site.client();
    let content = noise(1, 8192);
    let path = client.upload(&content).path;
    let probe = |client: &Client| {
        let range = client.get_with(&path, &[("Range", "bytes=8000-9000")]);
        assert_eq!(range.status, 206);
        assert!(range.body == content[8000..]);
        let whole = client.get(&path);
        assert!(whole.body == content);
        let tag = whole.header("ETag").to_owned();
        let known = client.get_with(&path, &[("If-None-Match", &tag)]);
        assert_eq!(known.status, 304);
        [range, whole, known, client.head(&path)].map(|answer| answer.lasting_headers())
    };
    assert_is_in_the_log(&site);
    let pending = probe(&client);
    mongo.heal();
    site.wait_until_empty();
    assert_eq!(pending, probe(&client));
}

#[test]
fn small_files_outlive_a_kill_and_are_committed_once() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let ledger = Ledger::default();
    for (seed, length) in (0..200).zip([0, 1, 300, 8192, 65_536].into_iter().cycle()) {
        ledger.upload(&site.client(), seed, length);
    }
    assert_is_in_the_log(&site);
    for _ in 0..3 {
        site.kill_sidecar();
        site.start_sidecar();
        ledger.assert_readable(&site.client());
    }
    mongo.heal();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    // Nothing comes back of what the log still contains.
    site.kill_sidecar();
    site.start_sidecar();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&site.client());
}

#[test]
fn a_small_file_that_was_deleted_stays_deleted() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let [pending, committed] = [1, 2].map(|seed| site.client().upload(&noise(seed, 1000)));
    assert_eq!(site.client().delete(&pending.path).status, 204);
    assert_eq!(site.client().get(&pending.path).status, 404);
    mongo.heal();
    site.wait_until_committed();
    assert_eq!(site.client().delete(&committed.path).status, 204);
    site.kill_sidecar();
    site.start_sidecar();
    site.wait_until_empty();
    for file in [&pending, &committed] {
        assert_eq!(site.client().get(&file.path).status, 404);
    }
    wait_until("nothing of them is left", || {
        mongo.count(&mongo.files(), doc! {}) == 0
    });
}

#[test]
fn a_small_file_that_rots_before_its_commit_is_set_aside_and_nothing_of_it_is_committed() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let ledger = Ledger::default();
    ledger.upload(&site.client(), 1, 8192);
    let content = noise(2, 8192);
    let rotten = site.client().upload(&content);
    ledger.upload(&site.client(), 3, 8192);
    assert_is_in_the_log(&site);
    let at = rot(&site, &content);

    mongo.heal();
    site.wait_until_committed();
    mongo.assert_holds_just(&ledger);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 2);
    assert_eq!(site.client().get(&rotten.path).status, 404);
    assert_eq!(site.names("journal/corrupt").len(), 1);
    let kept = std::fs::read(site.data_dir().join("journal/corrupt/wal-1")).unwrap();
    assert_eq!(kept[at], content[5000] ^ 1);
    ledger.assert_readable(&site.client());
}

#[test]
fn a_small_file_that_rots_after_its_commit_comes_from_gridfs() {
    let mongo = Mongo::start();
    let mut site = Site::start(&mongo);
    let content = noise(1, 8192);
    let file = site.client().upload(&content);
    site.wait_until_committed();
    rot(&site, &content);
    // Its bytes are not in memory any more.
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
    assert_eq!(site.entries("settled"), 1);
    let answer = site.client().get(&file.path);
    assert_eq!(answer.status, 200);
    assert!(answer.body == content);
}

#[test]
fn a_small_body_needs_no_spool_file() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let client = site.client();
    let spool = site.data_dir().join("spool");
    let aside = site.data_dir().join("spool.aside");
    std::fs::rename(&spool, &aside).unwrap();
    let small = noise(1, 31_999);
    let path = client.upload(&small).path;
    let large = client.put("/files/large", &noise(2, 32_000));
    std::fs::rename(&aside, &spool).unwrap();
    // This place does not show the room that bodies on their way take.
    large.assert_problem(503, "unavailable");
    assert!(client.get(&path).body == small);
    mongo.heal();
    site.wait_until_empty();
    assert!(client.get(&path).body == small);
}
