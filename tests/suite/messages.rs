//! Messages: a package and its parts, promised together, and read on every node before and after the commit.

mod again;
mod deletes;
mod forward;
mod forward_kills;
mod grammar;
mod in_pieces;
mod long_in_pieces;
mod races;
mod returning_owner;
mod rights;
mod unlinked;

use kit::{Answer, Builder, Client, Cluster, Mongo, Routes, eventually, noise, object_id, sha256};
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");
const JSON: (&str, &str) = ("Content-Type", "application/json");

const PACKAGE: &str = r#"{"text": "grüße", "where":[1.50, 2e3]}"#;

/// Makes a form with the boundary `b`. Each part has the lines of its head behind `form-data; `,
/// and its bytes.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, data) in parts {
        let head = format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        body.extend([head.as_bytes(), data, b"\r\n"].concat());
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

/// A message with a clip and a picture, as a platform sends it.
fn sent(id: &str, clip: &[u8], picture: &[u8]) -> Vec<u8> {
    let parts = br#"[{"duration_ms":3200,"waveform":[0,7,255]},
        {"name":"view","width":640,"height":480,"blurhash":"LEHV6nWB2yk8pyo0adR*.7kCMdnj"}]"#;
    form(&[
        ("name=\"id\"", id.as_bytes()),
        ("name=\"from\"", b"alice"),
        ("name=\"to\"", b"bob"),
        ("name=\"to\"", br#"["eve","bob"]"#),
        (
            "name=\"message\"; filename=\"blob\"\r\nContent-Type: application/json",
            PACKAGE.as_bytes(),
        ),
        (
            "name=\"clip\"; filename=\"a 1.ogg\"\r\nContent-Type: audio/ogg",
            clip,
        ),
        (
            "name=\"f\"; filename=\"b.png\"\r\nContent-Type: image/png",
            picture,
        ),
        ("name=\"parts\"", parts),
    ])
}

fn post(client: &Client, kind: (&str, &str), body: &[u8]) -> Answer {
    client.post("/messages", &[kind], body)
}

/// Returns the JSON of the answer to a message that was taken.
fn taken(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{answer:?}");
    let json = answer.json();
    assert_eq!(answer.header("Location"), text(&json, "url"));
    assert_eq!(answer.header("Content-Type"), "application/json");
    json
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {json}"))
}

/// Returns a message as its readers see it, without the state, which changes.
fn told(client: &Client, url: &str, state: &str) -> Value {
    let answer = client.get(url);
    assert_eq!(answer.status, 200, "{url}: {answer:?}");
    answer.assert_harmless();
    let is_lasting = answer.header("Cache-Control").contains("immutable");
    assert_eq!(is_lasting, state == "committed", "{answer:?}");
    let head = client.head(url);
    assert_eq!(head.header("Content-Length"), answer.body.len().to_string());
    let mut json = answer.json();
    let found = json.as_object_mut().unwrap().remove("state").unwrap();
    assert_eq!(found, state);
    json
}

fn assert_part(client: &Client, part: &Value, content: &[u8]) {
    let (url, length) = (text(part, "url"), content.len());
    let whole = client.get(url);
    assert_eq!(whole.status, 200, "{part}");
    assert!(whole.body == content, "{part}: other bytes");
    assert_eq!(whole.header("Content-Type"), text(part, "content_type"));
    let same = client.get(&format!("/files/{}", text(part, "id")));
    assert_eq!(same.header("ETag"), whole.header("ETag"));
    let range = format!("bytes={}-", length - 5);
    let tag = whole.header("ETag");
    let rest = client.get_with(url, &[("Range", &range), ("If-Range", tag)]);
    assert_eq!(rest.status, 206, "{part}");
    assert!(rest.body == content[length - 5..], "{part}");
    let known = client.get_with(url, &[("If-None-Match", tag)]);
    assert_eq!(known.status, 304, "{part}");
}

#[test]
fn a_message_is_the_same_before_and_after_its_commit_and_for_other_drivers() {
    let routes = Routes::start();
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let message = taken(&post(
        &routes.site.client(),
        FORM,
        &sent("m 1", &clip, &picture),
    ));
    assert_eq!(message["state"], "pending");
    assert_eq!(message["client_id"], "m 1");
    let url = text(&message, "url").to_owned();
    let id = text(&message, "id").to_owned();
    assert_eq!(url, format!("/messages/{id}"));
    let parts = &message["parts"];
    let ids = [text(&parts[0], "id"), text(&parts[1], "id")];
    assert_eq!(
        *parts,
        json!([
            {
                "part": 1, "name": "clip", "id": ids[0], "url": format!("{url}/1"),
                "filename": "a 1.ogg", "content_type": "audio/ogg", "length": 30_000,
                "sha256": sha256(&clip), "kind": "audio", "duration_ms": 3200, "waveform": [0, 7, 255],
            },
            {
                "part": 2, "name": "view", "id": ids[1], "url": format!("{url}/2"),
                "filename": "b.png", "content_type": "image/png", "length": 300_000,
                "sha256": sha256(&picture), "kind": "image", "width": 640, "height": 480,
                "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
            },
        ])
    );
    let mut state = ["pending", "committed"].into_iter();
    let [before, after] = routes.both(|client| {
        let told = told(client, &url, state.next().unwrap());
        assert_part(client, &told["parts"][0], &clip);
        assert_part(client, &told["parts"][1], &picture);
        for path in ["/0", "/3", "/01", "/+1", "/x"] {
            client
                .get(&format!("{url}{path}"))
                .assert_problem(404, "not-found");
        }
        for file in [id.as_str(), ids[0]] {
            let refused = client.delete(&format!("/files/{file}"));
            refused.assert_problem(409, "linked");
        }
        let package = client.get(&format!("/files/{id}"));
        assert_eq!(package.body, PACKAGE.as_bytes());
        assert_eq!(package.header("Content-Type"), "application/json");
        told
    });
    assert_eq!(before, after);
    assert_eq!(
        before["message"],
        json!({ "text": "grüße", "where": [1.5, 2000.0] })
    );
    assert_eq!(before["parts"], *parts);
    assert_eq!(before["to"], json!(["bob", "eve"]));
    assert_eq!(before["from"], "alice");
    assert_documents(&routes.mongo, &id, ids, [&clip, &picture]);
}

/// Asserts that package and parts are files of GridFS, with documents that describe the message.
fn assert_documents(mongo: &Mongo, id: &str, parts: [&str; 2], contents: [&[u8]; 2]) {
    let find = |id: &str| -> Document {
        let found = mongo.find("fs.files", doc! { "_id": object_id(id) });
        found.into_iter().next().unwrap()
    };
    let package = find(id);
    assert_eq!(mongo.whole(&package), PACKAGE.as_bytes());
    let metadata = package.get_document("metadata").unwrap();
    assert_eq!(metadata.get_str("from").unwrap(), "alice");
    assert_eq!(metadata.get_str("client_id").unwrap(), "m 1");
    let to: Vec<Bson> = vec!["bob".into(), "eve".into()];
    assert_eq!(*metadata.get_array("to").unwrap(), to);
    let described = metadata.get_array("parts").unwrap();
    for ((part, content), described) in parts.into_iter().zip(contents).zip(described) {
        let file = find(part);
        assert_eq!(mongo.whole(&file), content);
        let metadata = file.get_document("metadata").unwrap();
        assert_eq!(metadata.get_object_id("message").unwrap(), object_id(id));
        let links: Vec<Bson> = vec![object_id(id).into()];
        assert_eq!(*metadata.get_array("links").unwrap(), links);
        let described = described.as_document().unwrap();
        assert_eq!(described.get_object_id("file").unwrap(), object_id(part));
        assert_eq!(described.get_str("sha256").unwrap(), sha256(content));
    }
}

#[test]
fn every_node_has_a_message_from_its_answer_on() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let cluster = Cluster::start(3, &Builder::without_log(), &mongo);
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let message = taken(&post(
        &cluster.nodes[0].client(),
        FORM,
        &sent("m 1", &clip, &picture),
    ));
    let url = text(&message, "url");
    let all = |state: &str| -> Vec<Value> {
        let clients = cluster.clients();
        let told = clients
            .iter()
            .map(|client| told(client, url, state))
            .collect();
        for client in clients {
            assert_part(&client, &message["parts"][0], &clip);
            assert_part(&client, &message["parts"][1], &picture);
            let unknown = format!("{url}/3");
            client.get(&unknown).assert_problem(404, "not-found");
        }
        told
    };
    let pending = all("pending");
    assert!(
        pending.iter().all(|told| *told == pending[0]),
        "{pending:?}"
    );
    // While the owner is away, no other node can answer, and a 404 would be wrong.
    cluster.nodes[0].freeze();
    let answer = cluster.nodes[1].client().get(url);
    answer.assert_problem(503, "unavailable");
    cluster.nodes[0].thaw();
    mongo.heal();
    cluster.nodes[0].wait_until_committed();
    let committed = all("committed");
    assert!(
        committed.iter().all(|told| *told == pending[0]),
        "{committed:?}"
    );
    let none = "/messages/0123456789abcdef01234567";
    cluster
        .agree(|client| client.get(none))
        .assert_problem(404, "not-found");
}

#[test]
fn a_part_that_has_lost_its_last_link_does_not_come_back_with_the_next_attempt() {
    let mongo = Mongo::start();
    // Documents are written, but no commit can be proven.
    let commands = ["find", "aggregate"];
    let data = doc! { "failCommands": commands.as_slice(), "errorCode": 13 };
    mongo.fail_sidecars("alwaysOn", data);
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let (clip, picture) = (noise(1, 30_000), noise(2, 300_000));
    let client = site.client();
    let message = taken(&post(&client, FORM, &sent("m 1", &clip, &picture)));
    let url = text(&message, "url");
    let lost = object_id(text(&message["parts"][0], "id"));
    let is_lost = doc! { "_id": lost };
    eventually("it is written", || {
        (mongo.count(&mongo.files(), doc! {}) == 3).then_some(())
    });
    let change = doc! { "$set": { "metadata.links": [], "metadata.dying": true } };
    let files = mongo.files();
    let changed = mongo.block_on(async { files.update_one(is_lost.clone(), change).await });
    assert_eq!(changed.unwrap().modified_count, 1);
    mongo.heal();
    site.wait_until_empty();
    for path in [format!("{url}/1"), format!("/files/{}", lost.to_hex())] {
        client.get(&path).assert_problem(404, "not-found");
    }
    assert_part(&client, &message["parts"][1], &picture);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 2);
    let chunks = doc! { "files_id": lost };
    assert_eq!(mongo.count(&mongo.chunks(), chunks), 0);
    assert_eq!(mongo.find("fs.gone", is_lost).len(), 1);
}
