//! Deletes of messages: a message is gone on every node and every route, together with each part
//! that belongs to no other message, after a cut at any moment.

use kit::{Builder, Client, Cluster, Mongo, eventually, noise, object_id, wait_until};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};

use super::{FORM, JSON, assert_part, post, sent, taken, text};

/// Every address of a message and of its files.
fn addresses(message: &Value) -> Vec<String> {
    let url = text(message, "url");
    let parts = message["parts"].as_array().unwrap();
    let of_parts = parts.iter().flat_map(|part| {
        let id = text(part, "id");
        [
            text(part, "url").to_owned(),
            format!("/files/{id}"),
            format!("/files/{id}/meta"),
        ]
    });
    let package = format!("/files/{}", text(message, "id"));
    [url.to_owned(), package]
        .into_iter()
        .chain(of_parts)
        .collect()
}

/// Asks for everything of a message until each answer is a 404.
fn wait_until_gone(client: &Client, message: &Value) {
    for path in addresses(message) {
        eventually("it is gone", || {
            let answer = client.get(&path);
            assert!(matches!(answer.status, 200 | 404), "{path}: {answer:?}");
            (answer.status == 404).then_some(())
        });
    }
}

fn assert_gone(client: &Client, message: &Value) {
    for path in addresses(message) {
        client.get(&path).assert_problem(404, "not-found");
    }
    let again = client.delete(text(message, "url"));
    again.assert_problem(404, "not-found");
}

fn delete(client: &Client, message: &Value) {
    let answer = client.delete(text(message, "url"));
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    answer.assert_harmless();
}

/// The ids on the list of one of the receivers.
fn listed(client: &Client) -> Vec<String> {
    // A process that has begun just now does not know whether MongoDB is there.
    let answer = eventually("there is a list", || {
        let answer = client.get("/receivers/bob/messages");
        (answer.status == 200).then_some(answer)
    });
    let messages = answer.json()["messages"].clone();
    let messages = messages.as_array().unwrap().iter();
    messages
        .map(|message| text(message, "id").to_owned())
        .collect()
}

fn count(mongo: &Mongo, part: &str, filter: Document) -> u64 {
    mongo.count(&mongo.database().collection(part), filter)
}

/// Waits until only closed tombstones are left of all messages.
fn wait_until_bucket_is_empty(mongo: &Mongo) {
    wait_until("nothing is left", || {
        let parts = ["fs.files", "fs.chunks", "fs.inbox"];
        parts.iter().all(|part| count(mongo, part, doc! {}) == 0)
            && count(mongo, "fs.gone", doc! { "cleared": false }) == 0
    });
}

#[test]
fn a_message_is_deleted_on_any_node_for_all_before_and_after_its_commit() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut cluster = Cluster::start(3, &Builder::without_log(), &mongo);
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let form = |id: &str| sent(id, &clip, &picture);
    let post_form = |cluster: &Cluster, id: &str| {
        let client = cluster.nodes[0].client();
        taken(&post(&client, FORM, &form(id)))
    };
    let [mut early, late] = ["m 1", "m 2"].map(|id| post_form(&cluster, id));
    let parts = json!([{ "message": early["id"], "part": 1 }]);
    let body = json!({ "message": "sent on", "to": "eve", "parts": parts }).to_string();
    let sent_on = taken(&post(&cluster.nodes[2].client(), JSON, body.as_bytes()));
    let clip_id = text(&sent_on["parts"][0], "id");
    let clip_address = format!("/files/{clip_id}");
    delete(&cluster.nodes[1].client(), &early);
    // Its clip belongs to another message, so it is no part of this one any more.
    for client in cluster.clients() {
        let part = text(&early["parts"][0], "url");
        client.get(part).assert_problem(404, "not-found");
        assert!(client.get(&clip_address).body == clip);
    }
    early["parts"].as_array_mut().unwrap().remove(0);
    for client in cluster.clients() {
        assert_gone(&client, &early);
    }
    // No commit had begun, and a start brings nothing back.
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].start_sidecar();
    for client in cluster.clients() {
        assert_gone(&client, &early);
        assert_part(&client, &sent_on["parts"][0], &clip);
        client
            .delete(text(&late["parts"][0], "url"))
            .assert_problem(405, "method-not-allowed");
        let part = format!("/files/{}", text(&late["parts"][0], "id"));
        client.delete(&part).assert_problem(409, "linked");
    }
    mongo.heal();
    for node in &cluster.nodes {
        node.wait_until_committed();
    }
    wait_until("all entries are there", || {
        count(&mongo, "fs.inbox", doc! {}) == 3
    });
    assert_eq!(count(&mongo, "fs.files", doc! {}), 5);
    // Every nginx has all of it in its cache, and the owner's journal still has it.
    let mut clients = cluster.clients();
    clients.swap(1, 2);
    for client in clients {
        for _ in 0..3 {
            assert_part(&client, &late["parts"][0], &clip);
            assert_part(&client, &late["parts"][1], &picture);
        }
    }
    for client in cluster.clients() {
        assert_eq!(client.get(text(&late, "url")).status, 200);
        wait_until("it is in the lists", || {
            listed(&client).iter().any(|id| id == text(&late, "id"))
        });
    }
    delete(&cluster.nodes[1].client(), &late);
    for client in cluster.clients() {
        assert!(!listed(&client).iter().any(|id| id == text(&late, "id")));
    }
    for place in [1, 0] {
        assert_gone(&cluster.nodes[place].client(), &late);
    }
    let third = cluster.nodes[2].client();
    wait_until_gone(&third, &late);
    assert_eq!(count(&mongo, "fs.inbox", doc! {}), 1);
    assert_eq!(count(&mongo, "fs.files", doc! {}), 2);
    assert_eq!(count(&mongo, "fs.gone", doc! { "cleared": true }), 3);
    assert_gone(&third, &late);
    // The sender's id still belongs to the deleted message.
    for (id, deleted) in [("m 1", &early), ("m 2", &late)] {
        let again = post_form(&cluster, id);
        assert_eq!(again["state"], "deleted");
        assert_eq!(again["id"], deleted["id"]);
    }
    delete_while_the_owner_is_away(&mongo, &cluster, &sent_on);
}

/// Deletes messages of a node that is away: one with a part there, one that MongoDB has, and one that it
/// does not have.
fn delete_while_the_owner_is_away(mongo: &Mongo, cluster: &Cluster, sent_on: &Value) {
    let form = |id: &str| sent(id, &noise(1, 30_000), &noise(2, 300_000));
    let post_form = |id: &str| taken(&post(&cluster.nodes[0].client(), FORM, &form(id)));
    let third = cluster.nodes[2].client();
    let clip_id = text(&sent_on["parts"][0], "id");
    // While the owner is away, MongoDB's package is enough; without one no node knows the message.
    let last = post_form("m 3");
    cluster.nodes[0].wait_until_committed();
    let no_file = doc! {
        "failCommands": ["insert"], "namespace": "gridspool.fs.files", "errorCode": 8000,
    };
    mongo.fail_sidecars("alwaysOn", no_file);
    let pending = post_form("m 4");
    cluster.nodes[0].freeze();
    cluster.wait_until_seen(2, 1, "down");
    // The message waits as a note until the owner of its part has heard of the delete.
    delete(&third, sent_on);
    third
        .get(text(sent_on, "url"))
        .assert_problem(404, "not-found");
    let refused = third.delete(text(&pending, "url"));
    refused.assert_problem(503, "unavailable");
    delete(&third, &last);
    for place in [1, 2] {
        let client = cluster.nodes[place].client();
        client
            .get(text(&last, "url"))
            .assert_problem(404, "not-found");
    }
    let is_note = doc! { "metadata.dying": { "$exists": true } };
    assert_eq!(count(mongo, "fs.files", is_note), 2);
    stuck_ones_keep_nothing_waiting(mongo);
    // The owner's journal may have a link that MongoDB does not have, so nobody else takes a part away.
    for part in [clip_id, text(&last["parts"][0], "id")] {
        assert_eq!(count(mongo, "fs.files", doc! { "_id": object_id(part) }), 1);
    }
    // The owner's journal drops its copies when it is back, before it evicts them.
    cluster.nodes[0].thaw();
    mongo.heal();
    wait_until_gone(&cluster.nodes[0].client(), &last);
    delete(&third, &pending);
    wait_until_bucket_is_empty(mongo);
    for client in cluster.clients() {
        for message in [sent_on, &last, &pending] {
            assert_gone(&client, message);
        }
    }
}

/// Asserts that a sweep comes to a file behind more messages than a page has, although their node is
/// away.
fn stuck_ones_keep_nothing_waiting(mongo: &Mongo) {
    let sha256 = kit::sha256(b"");
    let file = |id: ObjectId, metadata: Document| {
        let uploaded = 1_700_000_000_000;
        let sealed = format!("{id} 0 10 {uploaded} {sha256}");
        let mut all =
            doc! { "gridspool": &kit::sha256(sealed.as_bytes())[..16], "sha256": &sha256 };
        all.extend(metadata);
        doc! {
            "_id": id, "length": 0_i64, "chunkSize": 10, "metadata": all,
            "uploadDate": DateTime::from_millis(uploaded),
        }
    };
    let id = |node: u16, number: u32| object_id(&format!("65500000{node:04x}{number:012x}"));
    let stuck = (0..1100).map(|number| {
        let id = id(1, number);
        let old = DateTime::from_millis(1_700_000_000_000);
        file(
            id,
            doc! { "message": id, "to": ["bob"], "parts": [], "dying": old },
        )
    });
    let files = mongo.files();
    let inserted = async { files.insert_many(stuck.collect::<Vec<_>>()).await };
    mongo.block_on(inserted).unwrap();
    let behind = id(3, 0);
    let metadata = doc! { "links": [], "dying": DateTime::now() };
    mongo.insert("fs.files", file(behind, metadata));
    wait_until("what is behind them goes", || {
        count(mongo, "fs.gone", doc! { "_id": behind, "cleared": true }) == 1
    });
    let is_stuck = doc! { "metadata.to": "bob", "metadata.parts": [] };
    assert_eq!(count(mongo, "fs.files", is_stuck.clone()), 1100);
    let removed = async { files.delete_many(is_stuck).await };
    mongo.block_on(removed).unwrap();
}

#[test]
fn a_delete_that_is_cut_anywhere_goes_on() {
    let mongo = Mongo::start();
    let builder = Builder::without_log().set("delete_watch_seconds", 1);
    let mut site = builder.start(&mongo);
    let client = site.client();
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let send = |id: &str| taken(&post(&client, FORM, &sent(id, &clip, &picture)));
    let fail = |commands: &[&str]| {
        let data = doc! { "failCommands": commands, "errorCode": 13 };
        mongo.fail_sidecars("alwaysOn", data);
    };
    // Three cuts: the package is marked, and nothing more is done; a part is marked, and nothing of
    // it is removed; the document of a part is removed, and its chunks stay.
    for (id, commands) in [
        ("before the lists", &["delete"][..]),
        ("before the tombstones", &["update"]),
    ] {
        let message = send(id);
        site.wait_until_committed();
        fail(commands);
        delete(&client, &message);
        client
            .get(text(&message, "url"))
            .assert_problem(404, "not-found");
        assert!(count(&mongo, "fs.chunks", doc! {}) > 0);
        // Its entries may be there, with its words: nobody is told of it, nor by a process that has not
        // deleted it.
        assert!(!listed(&client).iter().any(|id| id == text(&message, "id")));
        site.kill_sidecar();
        site.start_sidecar();
        assert!(!listed(&client).iter().any(|id| id == text(&message, "id")));
        site.kill_sidecar();
        mongo.heal();
        site.start_sidecar();
        wait_until_gone(&client, &message);
        wait_until_bucket_is_empty(&mongo);
        assert_gone(&client, &message);
    }
    // The package cannot enter the lists, and waits; its parts are in the store.
    let lists = format!("{}.fs.inbox", mongo.database().name());
    let data = doc! { "failCommands": ["insert"], "namespace": lists, "errorCode": 13 };
    mongo.fail_sidecars("alwaysOn", data);
    let message = send("in the store by half");
    let state = |path: &str| client.get(path).json()["state"].clone();
    wait_until("its parts are settled", || {
        let parts = message["parts"].as_array().unwrap();
        let mut metas = parts
            .iter()
            .map(|part| format!("/files/{}/meta", text(part, "id")));
        metas.all(|meta| state(&meta) == "committed")
    });
    assert_eq!(state(text(&message, "url")), "pending");
    delete(&client, &message);
    wait_until_gone(&client, &message);
    mongo.heal();
    wait_until_bucket_is_empty(&mongo);
    site.wait_until_empty();
    // Documents are written, but no commit is proven.
    for is_killed in [false, true] {
        fail(&["find", "aggregate"]);
        let message = send(&format!("in a commit {is_killed}"));
        eventually("it is written", || {
            (count(&mongo, "fs.files", doc! {}) == 3).then_some(())
        });
        delete(&client, &message);
        if is_killed {
            site.kill_sidecar();
        }
        mongo.heal();
        if is_killed {
            site.start_sidecar();
        }
        wait_until_gone(&client, &message);
        wait_until_bucket_is_empty(&mongo);
        site.wait_until_empty();
        assert_gone(&client, &message);
    }
}
