//! Idempotency keys hold for the cluster: a request may come again through any node.

pub(crate) mod kinds;
mod partitions;
mod two_nodes;

use std::collections::HashSet;
use std::sync::Barrier;

use kinds::KINDS;
use kit::{Answer, Builder, Client, Cluster, Mongo, Site, eventually, noise};
use mongodb::bson::doc;
use serde_json::Value;

use crate::upload_routing::{TUS, append, file_of, offset};

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

fn without_state(json: &mut Value) {
    if let Some(members) = json.as_object_mut() {
        members.remove("state");
    }
    let files = json.get_mut("files").and_then(Value::as_array_mut);
    files.into_iter().flatten().for_each(without_state);
}

/// The lasting parts of an answer: its address, its tag, and its JSON without the states.
pub(crate) fn lasting(answer: &Answer) -> (String, String, String) {
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut json = serde_json::from_slice(&answer.body).unwrap_or_default();
    without_state(&mut json);
    let header = |name| answer.header(name).to_owned();
    (header("location"), header("etag"), json.to_string())
}

pub(crate) fn put(client: &Client, key: &str, body: &[u8]) -> Answer {
    client.post("/files", &[TEXT, ("Idempotency-Key", key)], body)
}

/// Sends until nodes are sure, and none is still at work under the key.
pub(crate) fn until_sure(client: &Client, key: &str, body: &[u8]) -> Answer {
    eventually("enough nodes answer", || {
        let answer = put(client, key, body);
        (![409, 503].contains(&answer.status)).then_some(answer)
    })
}

#[test]
fn a_retry_through_any_other_node_gets_the_first_answer_of_every_kind_of_request() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let clients = cluster.clients();
    for kind in &KINDS {
        // Whichever node comes first, it may be a witness of its key or not, of four nodes or three.
        for first in 0..3 {
            let key = first.to_string();
            let answer = lasting(&kind.send(&clients[first], &key));
            for again in [1, 2, 0, 1] {
                let client = &clients[(first + again) % 3];
                assert_eq!(
                    lasting(&kind.send(client, &key)),
                    answer,
                    "{kind:?} {again}"
                );
            }
        }
    }
    let entries = cluster.nodes.iter().map(|node| node.entries("incoming"));
    // A small file, a large one, a form of two and a message.
    assert_eq!(entries.sum::<u64>(), 3 * 5);
}

#[test]
fn an_upload_goes_on_at_its_node_after_it_was_found_through_another() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let clients = cluster.clients();
    let content = noise(1, 300_000);
    let length = content.len().to_string();
    let begin = |client: &Client, body: &[u8]| {
        let kind = ("Content-Type", "application/offset+octet-stream");
        let headers = [
            TUS,
            kind,
            ("Upload-Length", &length),
            ("Idempotency-Key", "k"),
        ];
        let answer = client.post("/uploads", &headers, body);
        assert_eq!(answer.status, 201, "{answer:?}");
        let offset: usize = answer.header("upload-offset").parse().unwrap();
        (answer.header("location").to_owned(), offset)
    };
    let (path, _) = begin(&clients[0], b"");
    // The first bytes that come to another node are not kept there.
    assert_eq!(begin(&clients[1], &content[..1000]), (path.clone(), 0));
    assert_eq!(append(&clients[2], &path, 0, &content[..1000]).status, 204);
    assert_eq!(begin(&clients[1], &content[..1000]), (path.clone(), 1000));
    assert_eq!(offset(&clients[1], &path), 1000);
    assert_eq!(
        append(&clients[1], &path, 1000, &content[1000..]).status,
        204
    );
    assert_eq!(begin(&clients[2], b""), (path.clone(), content.len()));
    assert!(clients[2].get(&file_of(&path)).body == content);
    assert_eq!(cluster.nodes[0].entries("incoming"), 1);
}

#[test]
fn other_content_under_a_key_is_refused_through_every_node_and_changes_nothing() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let clients = cluster.clients();
    for length in [100, 300_000] {
        let (key, body) = (length.to_string(), noise(1, length));
        let first = lasting(&put(&clients[0], &key, &body));
        for client in &clients {
            let other = put(client, &key, &body[1..]);
            other.assert_problem(422, "idempotency-key-reused");
        }
        for client in &clients {
            assert_eq!(lasting(&put(client, &key, &body)), first);
        }
    }
}

#[test]
fn the_answer_stays_after_commit_delete_and_every_kill() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let builder = Builder::default().set("settled_grace_seconds", 0);
    let mut cluster = Cluster::start(3, &builder, &mongo);
    let bodies = [noise(1, 100), noise(2, 300_000)];
    let send = |cluster: &Cluster, node: usize| {
        let client = cluster.nodes[node].client();
        bodies
            .each_ref()
            .map(|body| put(&client, &body.len().to_string(), body))
    };
    let first = send(&cluster, 0).map(|answer| lasting(&answer));
    let assert_same = |cluster: &Cluster, case: &str, state: &str| {
        for node in 0..3 {
            let answers = send(cluster, node);
            for (answer, first) in answers.iter().zip(&first) {
                assert_eq!(answer.json()["state"], state, "{case}");
                assert_eq!(&lasting(answer), first, "{case}: node {node}");
            }
        }
    };
    assert_same(&cluster, "pending", "pending");
    mongo.heal();
    // A retry through another node may wait for the commit, too.
    for (body, first) in bodies.iter().zip(&first) {
        let key = ("Idempotency-Key", &*body.len().to_string());
        let waits = cluster.nodes[1].client();
        let waited = waits.post("/files", &[TEXT, key, ("Prefer", "wait=60")], body);
        assert_eq!(waited.json()["state"], "committed");
        assert_eq!(&lasting(&waited), first);
    }
    cluster.nodes[0].wait_until_empty();
    assert_same(&cluster, "committed", "committed");
    for (path, _, _) in &first {
        assert_eq!(cluster.nodes[1].client().delete(path).status, 204);
    }
    cluster.nodes[0].wait_until_empty();
    for node in &mut cluster.nodes {
        node.kill_sidecar();
        node.start_sidecar();
    }
    let client = cluster.nodes[2].client();
    for body in &bodies {
        let _ = until_sure(&client, &body.len().to_string(), body);
    }
    for node in 0..3 {
        let answers = send(&cluster, node).map(|answer| lasting(&answer));
        assert_eq!(answers, first, "deleted and killed");
    }
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
}

/// Whether each of these nodes sees the others as they are.
fn settle(cluster: &Cluster, down: usize) {
    for from in (0..3).filter(|from| *from != down) {
        cluster.wait_until_seen(from, u64::try_from(down).unwrap() + 1, "down");
    }
}

#[test]
fn while_the_owner_is_away_a_retry_is_refused_and_afterwards_gets_the_first_answer() {
    let mut cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let clients = cluster.clients();
    let bodies = [noise(1, 100), noise(2, 300_000)];
    let key = |body: &[u8]| format!("k{}", body.len());
    let first = bodies
        .each_ref()
        .map(|body| lasting(&put(&clients[0], &key(body), body)));
    cluster.nodes[0].kill_sidecar();
    for client in &clients[1..] {
        for body in &bodies {
            let refused = put(client, &key(body), body);
            refused.assert_problem(503, "key-unsure");
            assert!(!refused.header("retry-after").is_empty());
        }
    }
    for node in &cluster.nodes[1..] {
        assert_eq!(node.entries("incoming"), 0, "nothing of it is kept");
    }
    // A witness is away, too; two others are enough for what is new.
    settle(&cluster, 0);
    let new = lasting(&put(&clients[1], "new", b"new"));
    assert_eq!(lasting(&put(&clients[2], "new", b"new")), new);
    cluster.nodes[0].start_sidecar();
    for client in &clients[1..] {
        for (body, first) in bodies.iter().zip(&first) {
            assert_eq!(&lasting(&until_sure(client, &key(body), body)), first);
        }
    }
    assert_eq!(lasting(&put(&clients[0], "new", b"new")), new);
}

#[test]
fn without_a_majority_a_keyed_upload_is_refused_or_accepted_as_the_setting_says() {
    for (word, status) in [("refuse", 503), ("accept", 201)] {
        let builder = Builder::default().set("idempotency_when_unsure", word);
        let mut cluster = Cluster::start_without_mongodb(3, &builder);
        cluster.nodes[1].kill_sidecar();
        cluster.nodes[2].kill_sidecar();
        let client = cluster.nodes[0].client();
        for length in [100, 300_000] {
            let body = noise(1, length);
            let key = length.to_string();
            let answer = put(&client, &key, &body);
            assert_eq!(answer.status, status, "{answer:?}");
            if status == 503 {
                answer.assert_problem(503, "key-unsure");
            } else {
                // This node knows its own answers.
                assert_eq!(lasting(&put(&client, &key, &body)), lasting(&answer));
            }
            assert_eq!(client.post("/files", &[TEXT], &body).status, 201);
        }
    }
}

#[test]
fn a_vote_for_an_upload_that_failed_is_taken_over_through_any_node() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let clients = cluster.clients();
    for (first, length) in (0..6).zip([100, 300_000].into_iter().cycle()) {
        let (key, body) = (first.to_string(), noise(first, length));
        let first = usize::try_from(first).unwrap() % 3;
        // Its node has no such part, which it sees when it has the votes.
        let parts = format!("final;/uploads/65a00000{:04x}000001000001", first + 1);
        let concat = [TUS, ("Upload-Concat", &*parts), ("Idempotency-Key", &key)];
        let failed = clients[first].post("/uploads", &concat, b"");
        assert!((400..500).contains(&failed.status), "{failed:?}");
        assert_ne!(failed.status, 422, "{failed:?}");
        let answer = lasting(&until_sure(&clients[(first + 1) % 3], &key, &body));
        for client in &clients {
            assert_eq!(lasting(&until_sure(client, &key, &body)), answer);
        }
    }
}

#[test]
fn the_same_request_through_all_nodes_at_once_makes_one_file() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::default());
    for (round, length) in (0..12).zip([100, 300_000].into_iter().cycle()) {
        let (key, body) = (round.to_string(), noise(round, length));
        let barrier = Barrier::new(3);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let sending: Vec<_> = cluster
                .clients()
                .into_iter()
                .map(|client| {
                    let (key, body, barrier) = (&key, &body, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        eventually("an answer", || {
                            let answer = put(&client, key, body);
                            assert!([201, 409].contains(&answer.status), "{answer:?}");
                            (answer.status == 201).then_some(answer)
                        })
                    })
                })
                .collect();
            sending.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let found: HashSet<_> = answers.iter().map(lasting).collect();
        assert_eq!(found.len(), 1, "{found:?}");
    }
    let entries = cluster.nodes.iter().map(|node| node.entries("incoming"));
    assert_eq!(entries.sum::<u64>(), 12);
}

#[test]
fn clients_that_retry_anywhere_until_they_are_answered_make_no_file_twice_whatever_is_killed() {
    let mongo = Mongo::start();
    let builder = Builder::default().set("settled_grace_seconds", 0);
    let mut cluster = Cluster::start(3, &builder, &mongo);
    let mut answered = 0;
    for round in 0..12_usize {
        let body = noise(u64::try_from(round).unwrap(), 1 + round % 2 * 200_000);
        let key = round.to_string();
        let clients = cluster.clients();
        let victim = &mut cluster.nodes[round % 3];
        let ids: HashSet<_> = std::thread::scope(|scope| {
            let (key, body) = (&key, &body);
            let sending: Vec<_> = (0..3)
                .map(|from| {
                    let clients = clients.clone();
                    scope.spawn(move || {
                        let mut turn = clients.iter().cycle().skip(from);
                        eventually("an answer", || {
                            let headers = [TEXT, ("Idempotency-Key", key.as_str())];
                            let answer = turn.next()?.try_post("/files", &headers, body).ok()?;
                            let known = [201, 409, 502, 503, 504].contains(&answer.status);
                            assert!(known, "{answer:?}");
                            (answer.status == 201).then(|| answer.json()["id"].to_string())
                        })
                    })
                })
                .collect();
            victim.kill_sidecar();
            victim.start_sidecar();
            sending.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1, "round {round}: {ids:?}");
        answered += 1;
    }
    cluster.nodes.iter().for_each(Site::wait_until_empty);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), answered);
}
