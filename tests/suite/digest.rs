//! The digest of a file is known from its commit on, on every route of its body.

use kit::{Answer, Builder, Client, Cluster, Mongo, Routes, Site, eventually, noise};
use serde_json::Value;
use sha2::Digest as _;

/// The digest in `Repr-Digest`, and in a file's description.
fn digests(body: &[u8]) -> (String, Value) {
    use base64::Engine as _;
    let digest = sha2::Sha256::digest(body);
    let base64 = base64::engine::general_purpose::STANDARD.encode(digest);
    let digits = gridspool::store::Sha256(digest.into()).to_string();
    (format!("sha-256=:{base64}:"), digits.into())
}

/// Every kind of answer that has a file's bytes, or could have.
fn answers(client: &Client, path: &str) -> [(u16, Answer); 3] {
    [
        (200, client.get(path)),
        (206, client.get_with(path, &[("Range", "bytes=1-2")])),
        (200, client.head(path)),
    ]
}

/// Asserts that every answer about a file or its description states the digest.
fn assert_told(client: &Client, path: &str, body: &[u8]) {
    let (told, known) = digests(body);
    for (status, answer) in answers(client, path) {
        assert_eq!(answer.status, status);
        let values: Vec<_> = answer.headers.get_all("Repr-Digest").iter().collect();
        assert_eq!(values, [&told], "{path}: {:?}", answer.headers);
    }
    let meta = client.get(&format!("{path}/meta")).json();
    assert_eq!(meta["sha256"], known, "{meta}");
}

/// Asserts that no answer states it.
fn assert_untold(client: &Client, path: &str) {
    for (status, answer) in answers(client, path) {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("Repr-Digest"), "", "{path}");
    }
    let meta = client.get(&format!("{path}/meta")).json();
    assert_eq!(meta["sha256"], Value::Null, "{meta}");
}

/// Sends a file, and a form of two. Returns the address and the bytes of each.
fn send(client: &Client) -> Vec<(String, Vec<u8>)> {
    let bodies = [1, 2, 3].map(|seed| noise(seed, 100_000));
    let [alone, first, second] = &bodies;
    let mut paths = vec![client.upload(alone).path];
    paths.extend(client.upload_form([first, second]));
    assert_eq!(paths.len(), bodies.len());
    paths.into_iter().zip(bodies).collect()
}

#[test]
fn it_is_told_with_every_answer_from_the_commit_on() {
    let routes = Routes::start();
    let sent = send(&routes.site.client());
    let mut is_committed = false;
    routes.both(|client| {
        for (path, body) in &sent {
            // Slices that nginx cached before the commit do not hide the digest after it.
            if is_committed {
                assert_told(client, path, body);
                assert_told(client, path, body);
            } else {
                assert_untold(client, path);
            }
        }
        is_committed = true;
    });
}

#[test]
fn it_is_told_while_the_body_is_still_in_the_journal() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut site = Builder::without_log().start(&mongo);
    let client = site.client();
    let sent = send(&client);
    for (path, _) in &sent {
        assert_untold(&client, path);
    }
    mongo.heal();
    site.wait_until_committed();
    let assert_all_told = |site: &Site| {
        assert_eq!(site.entries("settled"), 3);
        for (path, body) in &sent {
            assert_told(&client, path, body);
        }
    };
    assert_all_told(&site);
    site.kill_sidecar();
    site.start_sidecar();
    eventually("the sidecar sees MongoDB", || {
        (site.status()["mongodb"]["state"] == "up").then_some(())
    });
    assert_all_told(&site);
}

#[test]
fn it_is_told_by_other_nodes_also_without_mongodb() {
    let mongo = Mongo::start();
    let cluster = Cluster::start(2, &Builder::without_log(), &mongo);
    let [owner, other] = [0, 1].map(|place| cluster.nodes[place].client());
    let sent = send(&owner);
    cluster.nodes[0].wait_until_committed();
    for (path, body) in &sent {
        assert_told(&other, path, body);
    }
    let second = send(&owner);
    cluster.nodes[0].wait_until_committed();
    mongo.hide_from_sidecars();
    for (path, body) in &second {
        assert_told(&other, path, body);
    }
}
