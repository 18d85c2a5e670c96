//! A number belongs to a journal.

use std::collections::HashSet;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use kit::{Builder, Mongo, Site, Uploaded, finish, wait_until};
use mongodb::bson::doc;

use super::Cluster;

/// The exit status for settings that cannot work.
const CONFIGURATION: i32 = 78;

fn instance(site: &Site) -> String {
    let status = site.status();
    status["cluster"]["instance"].as_str().unwrap().to_owned()
}

fn finds_twin(site: &Site) -> bool {
    !site.status()["cluster"]["number_used_twice_by"].is_null()
}

#[test]
fn another_journal_with_the_same_number_does_not_start_and_says_who_has_it() {
    let mongo = Mongo::start();
    let first = Site::start(&mongo);
    let mut second = Site::without_mongodb();
    second.stop_sidecar();
    second.reconfigure(|builder| builder.set("mongodb_uri", mongo.uri()));
    let refused = second.command().output().unwrap();
    assert_eq!(refused.status.code(), Some(CONFIGURATION), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("number 1 belongs to the node"), "{told}");
    assert!(told.contains(&instance(&first)), "{told}");
    assert!(
        told.contains("last seen 0") || told.contains("seconds ago"),
        "{told}"
    );
    second.reconfigure(|builder| builder.set("node", 2));
    second.start_sidecar();
    second.client().upload(b"content");
    assert!(!finds_twin(&first), "nobody has taken anything from it");
}

#[test]
fn a_start_that_fails_at_its_socket_does_not_take_a_number() {
    let mongo = Mongo::start();
    let mut site = Site::without_mongodb();
    site.stop_sidecar();
    site.reconfigure(|builder| builder.set("mongodb_uri", mongo.uri()));
    std::fs::remove_file(site.socket()).unwrap_or_default();
    let other = UnixListener::bind(site.socket()).unwrap();
    let refused = site.command().output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("another process answers there"), "{told}");
    assert!(mongo.find("fs.nodes", doc! {}).is_empty());
    // The socket of a process that was killed is replaced.
    drop(other);
    site.start_sidecar();
    wait_until("it has its number", || {
        mongo.find("fs.nodes", doc! { "_id": 1 }).len() == 1
    });
}

#[test]
fn a_node_that_learns_too_late_that_its_number_is_taken_turns_red_and_keeps_its_files() {
    let mut mongo = Mongo::start();
    let first = Site::start(&mongo);
    mongo.stop();
    let second = Site::start(&mongo);
    let file = second.client().upload(b"content");
    mongo.restart();
    mongo.wait_for_primary();
    wait_until("the second one learns it", || {
        second.client().get("/healthz").status == 503
    });
    for length in [10, 100_000] {
        let answer = second.client().post("/files", &[], &vec![1; length]);
        answer.assert_problem(503, "not-listed");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
    assert_eq!(second.client().get("/healthz?for=read").status, 200);
    assert_eq!(second.client().get("/readyz").status, 503);
    let status = second.status();
    let told = status["cluster"]["takes_no_uploads"].as_str().unwrap();
    assert!(told.contains(&instance(&first)), "{told}");
    assert_eq!(status["uploads"]["refused_for"][0], "number");
    assert!(second.client().get(&file.path).body == b"content");
    second.wait_until_committed();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
    first.client().upload(b"content");
    assert_eq!(first.client().get("/healthz").status, 200);
}

#[test]
fn a_node_that_was_killed_takes_its_own_number_back_at_once_and_also_without_mongodb() {
    let mut cluster = Cluster::start();
    let mut site = cluster.add(7);
    site.wait_until_open();
    let journal = cluster.record(7).get_str("journal").unwrap().to_owned();
    wait_until("the next start need not wait", || {
        site.data_dir().join("journal/number").exists()
    });
    for is_away in [false, true] {
        if is_away {
            cluster.mongo.stop();
        }
        site.kill_sidecar();
        site.start_sidecar();
        assert_eq!(site.client().get("/healthz").status, 200);
        Uploaded::read(&site.client().post("/files", &[], b"content"));
    }
    cluster.mongo.restart();
    cluster.mongo.wait_for_primary();
    assert_eq!(cluster.record(7).get_str("journal").unwrap(), journal);
    assert!(!finds_twin(&site), "it is its own twin");
}

/// Copies a data directory.
fn copy(site: &Site, to: &Path) {
    let mut copying = Command::new("cp");
    copying.arg("-a").args([&site.data_dir(), to]);
    assert!(copying.status().unwrap().success());
}

#[test]
fn a_copy_of_a_journal_does_not_start_beside_it_and_serves_when_it_has_ended() {
    let mongo = Mongo::start();
    let mut site = Site::start(&mongo);
    let scratch = tempfile::tempdir().unwrap();
    let [early, late] = ["early", "late"].map(|name| scratch.path().join(name));
    copy(&site, &early);
    site.kill_sidecar();
    copy(&site, &late);
    site.start_sidecar();
    // It takes its number back at once, as often as it starts.
    site.client().upload(b"before");
    let beside = |data: &Path| {
        let mut builder = Builder::default().set("mongodb_uri", mongo.uri());
        builder.data = Some(data.to_owned());
        let mut other = builder.start_with_uri("mongodb://127.0.0.1:1/");
        other.stop_sidecar();
        other.reconfigure(|builder| builder.set("mongodb_uri", mongo.uri()));
        other
    };
    let others = [&early, &late].map(|data| beside(data));
    let starts = others.each_ref().map(|other| {
        let mut command = other.command();
        thread::spawn(move || finish(&mut command))
    });
    for start in starts {
        let refused = start.join().unwrap();
        assert_eq!(refused.status.code(), Some(CONFIGURATION), "{refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("is a copy of this one"), "{told}");
        assert!(told.contains(&instance(&site)), "{told}");
    }
    assert!(!finds_twin(&site) && site.client().get("/healthz").status == 200);
    // The machine of this node is gone: after a while the copy of its disk serves.
    site.kill_sidecar();
    let [_, mut other] = others;
    other.start_sidecar();
    other.wait_until_open();
    other.client().upload(b"after");
}

#[test]
fn of_two_copies_of_a_journal_one_turns_red_and_their_ids_differ() {
    let mut mongo = Mongo::start();
    let mut site = Site::start(&mongo);
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("copy");
    site.kill_sidecar();
    copy(&site, &data);
    // Nobody can tell them apart without the list.
    mongo.stop();
    site.start_sidecar();
    let mut builder = Builder::default();
    builder.data = Some(data);
    let other = builder.start(&mongo);
    let sites = [&site, &other];
    let contents = [b"one", b"two"];
    let files = [0, 1].map(|at| {
        let upload = |_| sites[at].client().upload(contents[at]);
        (0..20).map(upload).collect::<Vec<_>>()
    });
    let ids = files.iter().flatten().map(|file| &file.id);
    assert_eq!(ids.collect::<HashSet<_>>().len(), 40);
    mongo.restart();
    mongo.wait_for_primary();
    let health = || sites.map(|site| site.client().get("/healthz").status);
    wait_until("one of them has turned red", || {
        health().into_iter().filter(|&status| status == 503).count() == 1
    });
    let red = health().iter().position(|&status| status == 503).unwrap();
    let refused = sites[red].client().post("/files", &[], b"content");
    refused.assert_problem(503, "not-listed");
    sites[1 - red].client().upload(b"content");
    // What both have promised comes into the store.
    for (site, (files, content)) in sites.into_iter().zip(files.iter().zip(contents)) {
        site.wait_until_committed();
        for file in files {
            assert!(site.client().get(&file.path).body == content);
        }
    }
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 41);
}
