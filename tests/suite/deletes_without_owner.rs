//! Deletes of files whose node is down or frozen: what it has settled long ago is deleted by whoever is
//! asked, and no journal of that node brings it back.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use kit::{Builder, Cluster, Mongo, Uploaded, noise, object_id, wait_until};
use mongodb::bson::{Document, doc};
use serde_json::json;

/// Two kinds of bodies: in the log, and in a file.
const LENGTHS: [usize; 2] = [900, 300_000];

fn cluster(mongo: &Mongo) -> Cluster {
    let builder = Builder::default().set("settled_grace_seconds", 0);
    Cluster::start(3, &builder, mongo)
}

/// Waits until the first node has told the others that all of its files are settled.
pub(crate) fn wait_until_stated(cluster: &Cluster, mongo: &Mongo) {
    cluster.nodes[0].wait_until_empty();
    let now = SystemTime::now();
    let nodes = mongo.database().collection::<Document>("fs.nodes");
    wait_until("its files are stated as settled", || {
        let node =
            doc! { "_id": 1, "settled_before": { "$gt": mongodb::bson::DateTime::from(now) } };
        mongo.count(&nodes, node) == 1
    });
}

fn is_stored(mongo: &Mongo, file: &Uploaded) -> bool {
    let id = object_id(&file.id);
    let chunks = mongo.count(&mongo.chunks(), doc! { "files_id": id });
    mongo.count(&mongo.files(), doc! { "_id": id }) + chunks > 0
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn assert_absent(cluster: &Cluster, place: usize, file: &Uploaded) {
    let client = cluster.nodes[place].client();
    client.get(&file.path).assert_problem(404, "not-found");
    client.delete(&file.path).assert_problem(404, "not-found");
}

#[test]
fn a_long_settled_file_is_deleted_while_its_node_is_down_and_younger_ones_wait_for_it() {
    let mongo = Mongo::start();
    let mut cluster = cluster(&mongo);
    let client = cluster.nodes[0].client();
    let files = LENGTHS.map(|length| client.upload(&noise(1, length)));
    wait_until_stated(&cluster, &mongo);
    mongo.hide_from_sidecars();
    let pending = client.upload(&noise(2, 900));
    cluster.nodes[0].kill_sidecar();
    mongo.heal();
    cluster.wait_until_seen(1, 1, "down");
    let second = cluster.nodes[1].client();
    for file in &files {
        wait_until("the file is found, as MongoDB is back", || {
            second.get(&file.path).status == 200
        });
        assert_eq!(second.delete(&file.path).status, 204);
        assert!(!is_stored(&mongo, file));
        assert_absent(&cluster, 1, file);
        let third = cluster.nodes[2].client();
        wait_until("the third node notices", || {
            third.get(&file.path).status == 404
        });
        assert_absent(&cluster, 2, file);
    }
    for client in cluster.clients().into_iter().skip(1) {
        client
            .delete(&pending.path)
            .assert_problem(503, "unavailable");
    }
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].wait_until_empty();
    for place in 0..3 {
        for file in &files {
            assert_absent(&cluster, place, file);
        }
    }
    assert!(is_stored(&mongo, &pending));
    cluster.wait_until_seen(1, 1, "up");
    assert_eq!(second.delete(&pending.path).status, 204);
}

#[test]
fn a_frozen_node_is_asked_for_its_young_files_and_learns_of_its_deleted_ones() {
    let mongo = Mongo::start();
    let cluster = cluster(&mongo);
    let client = cluster.nodes[0].client();
    let old = client.upload(&noise(1, 300_000));
    wait_until_stated(&cluster, &mongo);
    mongo.hide_from_sidecars();
    let young = client.upload(&noise(2, 300_000));
    cluster.nodes[0].freeze();
    mongo.heal();
    cluster.wait_until_seen(1, 1, "down");
    let second = cluster.nodes[1].client();
    wait_until("MongoDB is back", || second.get(&old.path).status == 200);
    assert_eq!(second.delete(&old.path).status, 204);
    second
        .delete(&young.path)
        .assert_problem(503, "unavailable");
    cluster.nodes[0].thaw();
    wait_until("the owner deletes it", || {
        second.delete(&young.path).status == 204
    });
    cluster.nodes[0].wait_until_empty();
    for file in [&old, &young] {
        assert!(!is_stored(&mongo, file));
        (0..3).for_each(|place| assert_absent(&cluster, place, file));
    }
}

#[test]
fn a_file_of_a_message_is_not_deleted_without_its_message_or_its_node() {
    let mongo = Mongo::start();
    let mut cluster = cluster(&mongo);
    let part = cluster.nodes[0].client().upload(&noise(1, 900));
    let second = cluster.nodes[1].client();
    let body =
        json!({ "message": "see", "from": "ann", "to": "bob", "parts": [{ "file": part.id }] });
    let kind = ("Content-Type", "application/json");
    let sent = second.post("/messages", &[kind], body.to_string().as_bytes());
    assert_eq!(sent.status, 201, "{sent:?}");
    wait_until_stated(&cluster, &mongo);
    cluster.nodes[0].kill_sidecar();
    cluster.wait_until_seen(1, 1, "down");
    second.delete(&part.path).assert_problem(409, "linked");
    assert_eq!(second.get(&part.path).status, 200);
}

#[test]
fn an_old_copy_of_its_journal_brings_no_deleted_file_back() {
    let mongo = Mongo::start();
    let mut cluster = cluster(&mongo);
    // The copy has some files that wait for their commit, and some that are settled.
    cluster.nodes[0].reconfigure(|builder| builder.set("settled_grace_seconds", 3600));
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].start_sidecar();
    let client = cluster.nodes[0].client();
    let settled = LENGTHS.map(|length| client.upload(&noise(1, length)));
    cluster.nodes[0].wait_until_committed();
    mongo.hide_from_sidecars();
    let waiting = LENGTHS.map(|length| client.upload(&noise(2, length)));
    cluster.nodes[0].kill_sidecar();
    let data = cluster.nodes[0].data_dir();
    let (journal, old) = (data.join("journal"), data.join("old"));
    copy(&journal, &old);
    mongo.heal();
    cluster.nodes[0].reconfigure(|builder| builder.set("settled_grace_seconds", 0));
    cluster.nodes[0].start_sidecar();
    wait_until_stated(&cluster, &mongo);
    cluster.nodes[0].kill_sidecar();
    std::fs::remove_dir_all(&journal).unwrap();
    copy(&old, &journal);
    cluster.wait_until_seen(1, 1, "down");
    let second = cluster.nodes[1].client();
    let files = || settled.iter().chain(&waiting);
    for file in files() {
        assert_eq!(second.delete(&file.path).status, 204);
    }
    cluster.nodes[0].reconfigure(|builder| builder.set("settled_grace_seconds", 3600));
    cluster.nodes[0].start_sidecar();
    for file in files() {
        wait_until("the owner has heard of it", || {
            client.get(&file.path).status == 404
        });
    }
    cluster.nodes[0].wait_until_committed();
    for file in files() {
        (0..3).for_each(|place| assert_absent(&cluster, place, file));
        assert!(!is_stored(&mongo, file));
    }
}
