//! Messages with parts that exist already: no byte of them moves, and each stays as long as a
//! message has it.

use kit::{Answer, Builder, Client, Cluster, Keys, Mongo, eventually, noise, object_id, sha256};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, doc};
use serde_json::{Value, json};

use super::{FORM, JSON, PACKAGE, assert_part, form, post, sent, taken, text, told};

/// Returns a site that removes links at once.
pub(super) fn builder() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("delete_watch_seconds", 0)
}

pub(super) fn send(client: &Client, body: &Value) -> Answer {
    post(client, JSON, body.to_string().as_bytes())
}

/// Makes a message that forwards parts of another one.
pub(super) fn forwarding(message: &Value, parts: &[u32]) -> Value {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| json!({ "message": text(message, "id"), "part": part }))
        .collect();
    json!({ "message": { "forwarded": true }, "to": "eve", "parts": parts })
}

/// Returns the messages that a stored file belongs to.
pub(super) fn links(mongo: &Mongo, file: &Value) -> Vec<String> {
    let found = mongo.find("fs.files", doc! { "_id": object_id(text(file, "id")) });
    let links = found
        .first()
        .map(|file| file.get_document("metadata").unwrap());
    let links = links.and_then(|metadata| metadata.get_array("links").ok());
    let links = links.into_iter().flatten().filter_map(Bson::as_object_id);
    let mut links: Vec<_> = links.map(ObjectId::to_hex).collect();
    links.sort();
    links
}

fn ids(messages: &[&Value]) -> Vec<String> {
    let mut ids: Vec<_> = messages
        .iter()
        .map(|message| text(message, "id").to_owned())
        .collect();
    ids.sort();
    ids
}

/// Returns the part as another message describes it.
fn described(part: &Value, message: &Value, number: u32) -> Value {
    let mut part = part.clone();
    part["part"] = number.into();
    part["url"] = format!("{}/{number}", text(message, "url")).into();
    part
}

#[test]
fn parts_are_sent_on_before_and_after_their_commit_and_mixed_with_new_ones() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = builder().start(&mongo);
    let client = site.client();
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let first = taken(&post(&client, FORM, &sent("m 1", &clip, &picture)));
    let plain = client.upload(&noise(3, 70_000));
    let plain_id = plain.id;
    // MongoDB is away: parts that wait here are forwarded all the same.
    let second = taken(&send(&client, &forwarding(&first, &[2, 1])));
    assert_eq!(
        second["parts"][0],
        described(&first["parts"][1], &second, 1)
    );
    assert_eq!(
        second["parts"][1],
        described(&first["parts"][0], &second, 2)
    );
    let parts = json!([
        { "message": text(&second, "id"), "part": 1, "name": "mine", "width": 3, "height": 4 },
        {},
        { "file": plain_id },
    ]);
    let own = noise(4, 50_000);
    let mixed = form(&[
        ("name=\"to\"", b"eve"),
        ("name=\"parts\"", parts.to_string().as_bytes()),
        ("name=\"own\"; filename=\"own\"", &own),
        ("name=\"last\"; filename=\"last\"", b"the last one"),
        ("name=\"message\"", PACKAGE.as_bytes()),
    ]);
    let third = taken(&post(&client, FORM, &mixed));
    let of_third = third["parts"].as_array().unwrap().clone();
    assert_eq!(of_third.len(), 4);
    assert_eq!(of_third[0]["id"], first["parts"][1]["id"]);
    assert_eq!(
        (
            &of_third[0]["name"],
            &of_third[0]["width"],
            &of_third[0]["blurhash"]
        ),
        (
            &json!("mine"),
            &json!(3),
            &json!("LEHV6nWB2yk8pyo0adR*.7kCMdnj")
        ),
        "what the new sender does not state stays"
    );
    assert_eq!(of_third[2]["id"], plain_id);
    assert_eq!(of_third[2]["sha256"], sha256(&noise(3, 70_000)));
    let contents = [&picture[..], &own, &noise(3, 70_000), b"the last one"];
    for (part, content) in of_third.iter().zip(contents) {
        assert_part(&client, part, content);
    }
    mongo.heal();
    site.wait_until_empty();
    // Three packages, two parts, the plain file, and two new parts.
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 8);
    // This one comes from the store.
    let fourth = taken(&send(&client, &forwarding(&third, &[1, 3])));
    site.wait_until_empty();
    for (part, messages) in [
        (&first["parts"][0], &[&first, &second][..]),
        (&first["parts"][1], &[&first, &second, &third, &fourth]),
        (&of_third[1], &[&third]),
        (&of_third[2], &[&third, &fourth]),
    ] {
        assert_eq!(links(&mongo, part), ids(messages), "{part}");
    }
    let told = told(&client, text(&fourth, "url"), "committed");
    assert_eq!(told["parts"], fourth["parts"]);
    assert_part(&client, &told["parts"][0], &picture);
    assert_part(&client, &told["parts"][1], &noise(3, 70_000));
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 9);
}

#[test]
fn a_refused_message_ties_nothing_and_a_retry_ties_nothing_twice() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let mut site = keys.guard(builder()).start(&mongo);
    let client = site.client();
    let bearer = |options: &[&str]| keys.bearer(&[&["--scope", "message"], options].concat());
    let (alice, eve) = (bearer(&["--sub", "alice"]), bearer(&["--sub", "eve"]));
    let post = |client: &Client, bearer: &str, kind, body: &[u8]| {
        client.post("/messages", &[kind, ("Authorization", bearer)], body)
    };
    let send = |client: &Client, bearer: &str, body: &Value| {
        post(client, bearer, JSON, body.to_string().as_bytes())
    };
    let (clip, picture) = (noise(1, 30_000), noise(2, 90_000));
    let first = taken(&post(&client, &alice, FORM, &sent("m 1", &clip, &picture)));
    let plain = keys.bearer(&["--scope", "upload", "--sub", "alice"]);
    let plain = client.post("/files", &[("Authorization", &plain)], b"a plain file");
    let plain = text(&plain.json(), "id").to_owned();
    site.wait_until_empty();
    // The answers about files of others and about missing files are the same.
    let of_file = |id: &str| json!({ "to": "bob", "parts": [{ "file": id }] });
    let none = "0123456789abcdef01234567";
    for (bearer, body) in [
        (&eve, forwarding(&first, &[1])),
        (&eve, of_file(&plain)),
        (&eve, of_file(text(&first["parts"][0], "id"))),
        (&alice, of_file(none)),
        (&alice, of_file(text(&first, "id"))),
        (&alice, forwarding(&first, &[3])),
        (
            &alice,
            json!({ "to": "bob", "parts": [{ "message": none, "part": 1 }] }),
        ),
    ] {
        send(&client, bearer, &body).assert_problem(404, "no-such-part");
    }
    // Receivers forward messages to them; readers of everything may forward everything.
    let bob = bearer(&["--from", "bob"]);
    let by_bob = taken(&send(&client, &bob, &forwarding(&first, &[1])));
    let reader = keys.bearer(&["--scope", "message download"]);
    let by_reader = taken(&send(&client, &reader, &forwarding(&first, &[1])));
    let pictures = bearer(&["--sub", "alice", "--type", "image/*"]);
    send(&client, &pictures, &forwarding(&first, &[1])).assert_problem(415, "type-not-allowed");
    // A repeated message is the same, even after its parts have gone.
    let mut again = forwarding(&first, &[1, 2]);
    again["id"] = "again".into();
    let mut with_own = json!({ "id": "own", "to": "bob", "parts": [{ "file": plain }] });
    let told =
        [&again, &with_own].map(|body| text(&taken(&send(&client, &alice, body)), "id").to_owned());
    site.kill_sidecar();
    site.start_sidecar();
    let client = site.client();
    let files = mongo.files();
    let lost = doc! { "_id": object_id(&plain) };
    let change = doc! { "$set": { "metadata.dying": true } };
    let changed = mongo.block_on(async { files.update_one(lost, change).await });
    assert_eq!(changed.unwrap().modified_count, 1);
    let once_more =
        [&again, &with_own].map(|body| text(&taken(&send(&client, &alice, body)), "id").to_owned());
    assert_eq!(once_more, told);
    with_own["parts"][0]["name"] = "other".into();
    send(&client, &alice, &with_own).assert_problem(422, "idempotency-key-reused");
    // One file is being removed, and one has the most links.
    let first_part = object_id(text(&first["parts"][0], "id"));
    let before = links(&mongo, &first["parts"][0]);
    assert_eq!(before.len(), 4, "{by_bob} {by_reader}");
    let second_part = doc! { "_id": object_id(text(&first["parts"][1], "id")) };
    let full: Vec<Bson> = (0..1000)
        .map(|number: u32| {
            let mut bytes = [0; 12];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            ObjectId::from_bytes(bytes).into()
        })
        .collect();
    for (change, code) in [
        (doc! { "metadata.links": full }, "too-many-links"),
        (doc! { "metadata.dying": true }, "part-gone"),
    ] {
        let change = doc! { "$set": change };
        mongo
            .block_on(async { files.update_one(second_part.clone(), change).await })
            .unwrap();
        send(&client, &alice, &forwarding(&first, &[1, 2])).assert_problem(409, code);
        eventually("its links are undone", || {
            (links(&mongo, &first["parts"][0]) == before).then_some(())
        });
    }
    // MongoDB goes away between the links: they are undone when it is back.
    let commands = doc! { "failCommands": ["findAndModify", "find"], "errorCode": 13 };
    mongo.fail_sidecars("alwaysOn", commands);
    let refused = send(&client, &alice, &forwarding(&first, &[1]));
    assert!(matches!(refused.status, 500 | 503), "{refused:?}");
    mongo.heal();
    eventually("its links are undone", || {
        (links(&mongo, &first["parts"][0]) == before).then_some(())
    });
    site.wait_until_empty();
    assert_eq!(mongo.count(&files, doc! { "_id": first_part }), 1);
}

#[test]
fn a_file_that_waits_at_another_node_is_sent_on_by_any_node() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut cluster = Cluster::start(2, &builder(), &mongo);
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let [owner, other] = [0, 1].map(|node: usize| cluster.nodes[node].client());
    let first = taken(&post(&owner, FORM, &sent("m 1", &clip, &picture)));
    let plain = owner.upload(&noise(3, 40_000));
    let plain_id = plain.id;
    let mut body = forwarding(&first, &[1, 2]);
    let file = json!({ "file": plain_id });
    body["parts"].as_array_mut().unwrap().push(file);
    let second = taken(&send(&other, &body));
    assert_eq!(second["parts"][2]["sha256"], sha256(&noise(3, 40_000)));
    // Without the owner no node can answer, and nothing is promised.
    cluster.nodes[0].freeze();
    send(&other, &body).assert_problem(503, "unavailable");
    cluster.nodes[0].thaw();
    // A node without the key is not believed, and may not ask.
    let id = text(&second["parts"][0], "id");
    let hop = format!("/_gridspool/hop/files/{id}/links/{}", text(&second, "id"));
    for method in ["POST", "DELETE"] {
        let pass = [("X-Gridspool-Pass", "1-00")];
        owner
            .ask(method, &hop, &pass)
            .assert_problem(403, "forbidden");
    }
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].start_sidecar();
    mongo.heal();
    for node in &cluster.nodes {
        node.wait_until_empty();
    }
    for part in second["parts"].as_array().unwrap() {
        let messages = if text(part, "id") == plain_id {
            ids(&[&second])
        } else {
            ids(&[&first, &second])
        };
        assert_eq!(links(&mongo, part), messages, "{part}");
    }
    let told = told(&owner, text(&second, "url"), "committed");
    assert_eq!(told["parts"], second["parts"]);
    // The store has it, and this node did not take it.
    let third = taken(&send(&other, &forwarding(&first, &[1])));
    assert_eq!(
        links(&mongo, &first["parts"][0]),
        ids(&[&first, &second, &third])
    );
}

#[test]
fn a_file_is_read_for_a_message_only_if_its_sender_may_refer_to_it() {
    let (mongo, keys) = (Mongo::start(), Keys::make());
    mongo.hide_from_sidecars();
    let cluster = Cluster::start(2, &keys.guard(Builder::without_log()), &mongo);
    let of = |sub: &str| keys.bearer(&["--scope", "upload message", "--sub", sub]);
    let (alice, eve) = (of("alice"), of("eve"));
    let owner = cluster.nodes[0].client();
    let file = owner.post("/files", &[("Authorization", &alice)], &noise(1, 40_000));
    let id = text(&file.json(), "id").to_owned();
    let send = |client: &Client, bearer: &str, places: usize| {
        let parts = vec![json!({ "file": id }); places];
        let body = json!({ "message": "m", "to": "bob", "parts": parts }).to_string();
        client.post(
            "/messages",
            &[JSON, ("Authorization", bearer)],
            body.as_bytes(),
        )
    };
    for client in cluster.clients() {
        let message = taken(&send(&client, &alice, 256));
        let parts = message["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 256);
        assert!(
            parts
                .iter()
                .all(|part| part["sha256"] == sha256(&noise(1, 40_000)))
        );
    }
    // A file that cannot be read tells whether somebody tries.
    let body = cluster.nodes[0].data_dir().join("journal/body").join(&id);
    std::fs::remove_file(body).unwrap();
    for client in cluster.clients() {
        assert!(send(&client, &alice, 1).status >= 500);
        send(&client, &eve, 1).assert_problem(404, "no-such-part");
        let nobody = keys.bearer(&["--scope", "message"]);
        send(&client, &nobody, 1).assert_problem(404, "no-such-part");
    }
}
