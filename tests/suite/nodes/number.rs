//! A number belongs to a journal.

use std::os::unix::net::UnixListener;
use std::process::Command;

use kit::{Builder, Mongo, Site, Uploaded, wait_until};
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

#[test]
fn a_copy_of_a_journal_beside_it_is_found_out() {
    let mongo = Mongo::start();
    let first = Site::start(&mongo);
    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("data");
    let mut copying = Command::new("cp");
    copying.arg("-r").args([&first.data_dir(), &copy]);
    assert!(copying.status().unwrap().success());
    let mut builder = Builder::default();
    builder.data = Some(copy);
    let second = builder.start(&mongo);
    for site in [&first, &second] {
        wait_until("the twin is found out", || finds_twin(site));
        assert!(site.log().contains("is used twice"));
    }
}
