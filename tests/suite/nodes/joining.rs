//! Nodes that come: the others find their files without a restart and without settings.

use std::net::TcpListener;

use kit::{Uploaded, noise, wait_until};
use mongodb::bson::doc;

use super::{Cluster, kill, order, wait_for_word};
use crate::upload_routing::{append, begin, file_of, offset};

#[test]
fn the_files_of_a_node_that_joins_are_found_at_once_through_nodes_that_never_heard_of_it() {
    let cluster = Cluster::start();
    let nodes = cluster.add_all(&[1, 2]);
    cluster.stop_commits();
    let third = cluster.add(3);
    let client = third.client();
    // Its first answers are refusals: others might not know it.
    let mut refused = 0;
    let first = loop {
        let answer = client.post("/files", &[], &noise(1, 50_000));
        if answer.status == 201 {
            break Uploaded::read(&answer);
        }
        answer.assert_problem(503, "not-listed");
        refused += 1;
        std::thread::yield_now();
    };
    assert!(refused > 0, "it did not wait until it was known");
    for node in &nodes {
        assert!(node.client().get(&first.path).body == noise(1, 50_000));
        assert_eq!(node.client().head(&first.path).status, 200);
    }
    let [one, other] = [&nodes[0], &nodes[1]].map(kit::Site::client);
    let upload = begin(&client, 10);
    assert_eq!(append(&one, &upload, 0, b"01234").status, 204);
    assert_eq!(append(&other, &upload, 5, b"56789").status, 204);
    assert!(client.get(&file_of(&upload)).body == b"0123456789");
    assert_eq!(other.delete(&first.path).status, 204);
    assert_eq!(client.get(&first.path).status, 404);
    // It knows the others, too.
    let theirs = one.upload(b"theirs");
    assert!(client.get(&theirs.path).body == b"theirs");
}

#[test]
fn an_id_of_a_node_that_is_away_is_unavailable_and_one_of_no_node_is_not_found() {
    let mut cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2]);
    cluster.stop_commits();
    let [file, upload] = [
        nodes[1].client().upload(b"content").path,
        begin(&nodes[1].client(), 10),
    ];
    let client = nodes[0].client();
    assert_eq!(offset(&client, &upload), 0);
    wait_until("the list has its load", || {
        let record = cluster.record(2);
        let tells = |field: &str| record.get_i64(field).is_ok_and(|count| count == 1);
        tells("files") && tells("uploads")
    });
    kill(&mut nodes[1]);
    let unknown = "/files/6500000000770102030405ff";
    for _ in 0..20 {
        client.get(&file).assert_problem(503, "unavailable");
        client.delete(&file).assert_problem(503, "unavailable");
        assert_eq!(append(&client, &upload, 0, b"0").status, 503);
        client.get(unknown).assert_problem(404, "not-found");
        client.delete(unknown).assert_problem(404, "not-found");
    }
    // The admin learns what is at stake.
    wait_for_word(&nodes[0], 2, "the load is told", |peer| {
        let told = &peer["registered"];
        peer["state"] == "down" && told["pending_files"] == 1 && told["open_uploads"] == 1
    });
    let metrics = kit::Metrics::of(&nodes[0]);
    assert_eq!(metrics.value("peer_pending_files{node=\"2\"}"), 1);
    assert_eq!(metrics.value("peer_pending_bytes{node=\"2\"}"), 7);
    let refused = order(&nodes[0], &["remove", "99"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let forced = order(&nodes[0], &["remove", "2", "--force"]);
    assert!(forced.status.success(), "{forced:?}");
    wait_until("it is no longer expected", || {
        client.get(&file).status == 404
    });
    // Without MongoDB nobody knows whether there is a node with that number.
    cluster.mongo.stop();
    wait_until("nobody knows", || client.get(unknown).status == 503);
    assert_eq!(append(&client, &upload, 0, b"0").status, 503);
}

#[test]
fn an_id_without_a_file_costs_one_question_at_first_and_then_none() {
    let cluster = Cluster::start();
    let nodes = cluster.add_all(&[1, 2]);
    let client = nodes[0].client();
    let finds = || {
        let counters = cluster.mongo.admin(doc! { "serverStatus": 1 });
        let metrics = counters.get_document("metrics").unwrap();
        let find = metrics.get_document("commands").unwrap();
        let total = find.get_document("find").unwrap().get_i64("total");
        total.unwrap()
    };
    // The list is read all the time, so the least of several differences is that of the question itself.
    let cost = |path: &str| {
        let costs = (0..10).map(|_| {
            let before = finds();
            assert_eq!(client.get(path).status, 404);
            finds() - before
        });
        costs.min().unwrap()
    };
    let old = "/files/6500000000020102030405ff";
    assert_eq!(client.get(old).status, 404);
    assert_eq!(cost(old), 0, "a repetition");
    let unknown = "/files/6500000000770102030405ff";
    assert!(cost(unknown) <= 2, "{}", cost(unknown));
    // Such an id may still get a file: it is asked for again, here and at its node, and here once more, as the file may
    // have been committed and have left its node between the two.
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let young = format!("/files/{now:08x}00020102030405ff");
    assert!(cost(&young) <= 4, "{}", cost(&young));
    let asked = || kit::Metrics::of(&nodes[1]).value("requests_total");
    let hops = (0..10).map(|_| {
        let before = asked();
        assert_eq!(client.get(&young).status, 404);
        asked() - before
    });
    assert_eq!(hops.min(), Some(1));
}

#[test]
fn an_address_that_no_node_has_signed_is_not_gone_to() {
    let cluster = Cluster::start();
    let nodes = cluster.add_all(&[1]);
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let address = format!("http://{}", stranger.local_addr().unwrap());
    let real = cluster.record(1);
    for (number, signature) in [(8, ""), (9, real.get_str("signature").unwrap())] {
        let record = doc! {
            "_id": i32::try_from(number).unwrap(), "journal": "x", "instance": "x", "address": &address,
            "signature": signature,
        };
        cluster.mongo.insert("fs.nodes", record);
        let id = format!("65000000{number:04x}0102030405ff");
        for path in [format!("/files/{id}"), format!("/uploads/{id}")] {
            wait_until("its number is known", || {
                nodes[0].client().head(&path).status == 503
            });
        }
        wait_for_word(&nodes[0], number, "it has no address", |peer| {
            peer["state"] == "down" && peer["url"] == ""
        });
    }
    let asked = stranger.accept();
    assert!(asked.is_err(), "a stranger was asked: {asked:?}");
}
