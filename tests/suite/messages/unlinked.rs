//! Files that were uploaded plainly, and what becomes of them when a message with them is refused, or when no
//! message takes them within their time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::{
    Builder, Client, Cluster, Keys, Mongo, Site, Uploaded, eventually, noise, object_id, wait_until,
};
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

use super::{FORM, JSON, form, post, taken};
use crate::deletes_without_owner::wait_until_stated;
use crate::indexes::wait_for_indexes;

/// Two kinds of bodies: in the log, and in a file.
const LENGTHS: [usize; 2] = [900, 300_000];

/// Seconds that are soon over, and long enough for a message with the file to be sent before, on a busy machine.
const SOON: &str = "5";

fn builder() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("delete_watch_seconds", 0)
}

/// A message with files that are there already.
fn with(files: &[&str]) -> Value {
    let parts = files.iter().map(|file| json!({ "file": file }));
    json!({ "message": "see", "to": "bob", "parts": parts.collect::<Vec<_>>() })
}

fn send(client: &Client, files: &[&str]) -> kit::Answer {
    post(client, JSON, with(files).to_string().as_bytes())
}

/// The header with the seconds that a file stays without a link.
fn unlinked_expires(seconds: &str) -> String {
    format!("unlinked_expires {}", STANDARD.encode(seconds))
}

fn upload(client: &Client, seconds: &str, body: &[u8]) -> Uploaded {
    let metadata = unlinked_expires(seconds);
    let answer = client.put_with("/files/a", &[("Upload-Metadata", &metadata)], body);
    assert_eq!(answer.status, 201, "{answer:?}");
    Uploaded::read(&answer)
}

fn document(mongo: &Mongo, id: &str) -> Option<Document> {
    let found = mongo.find("fs.files", doc! { "_id": object_id(id) });
    let found = found.into_iter().next();
    found.map(|file| file.get_document("metadata").unwrap().clone())
}

/// Marks a stored file so that messages cannot link to it.
fn make_full(mongo: &Mongo, id: &str) {
    let full: Vec<Bson> = vec![object_id(id).into(); 1000];
    let (files, change) = (mongo.files(), doc! { "$set": { "metadata.links": full } });
    let changed = async {
        files
            .update_one(doc! { "_id": object_id(id) }, change)
            .await
    };
    assert_eq!(mongo.block_on(changed).unwrap().modified_count, 1);
}

fn is_gone(client: &Client, mongo: &Mongo, file: &Uploaded) -> bool {
    let chunks = mongo.count(&mongo.chunks(), doc! { "files_id": object_id(&file.id) });
    let answer = client.get(&file.path);
    let is_gone = document(mongo, &file.id).is_none() && chunks == 0 && answer.status == 404;
    assert!(matches!(answer.status, 200 | 404), "{answer:?}");
    is_gone
}

#[test]
fn a_plain_upload_stays_after_a_message_with_it_was_refused() {
    let mongo = Mongo::start();
    let mut site = builder().start(&mongo);
    let client = site.client();
    let full = client.upload(b"it belongs to too many messages");
    let stored = LENGTHS.map(|length| client.upload(&noise(1, length)));
    site.wait_until_empty();
    make_full(&mongo, &full.id);
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "errorCode": 13 },
    );
    let pending = LENGTHS.map(|length| client.upload(&noise(2, length)));
    for file in stored.iter().chain(&pending) {
        // Links are made side by side: some before the refusal, some after it.
        for _ in 0..4 {
            let refused = send(&client, &[&file.id, &full.id]);
            refused.assert_problem(409, "too-many-links");
        }
    }
    mongo.heal();
    site.wait_until_empty(); // No intent is left.
    for (file, content) in stored.iter().zip([1, 1]).chain(pending.iter().zip([2, 2])) {
        let answer = client.get(&file.path);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body == noise(content, answer.body.len()));
        let metadata = document(&mongo, &file.id).unwrap();
        assert!(!metadata.contains_key("links"), "{metadata}");
        assert!(!metadata.contains_key("dying"), "{metadata}");
    }
    // They can be linked as before, and go with the last message that had them.
    let ids: Vec<_> = stored
        .iter()
        .chain(&pending)
        .map(|file| &*file.id)
        .collect();
    let message = taken(&send(&client, &ids));
    send(&client, &[ids[0], &full.id]).assert_problem(409, "too-many-links");
    site.wait_until_empty(); // No intent is left.
    site.kill_sidecar();
    site.start_sidecar();
    let client = site.client();
    let deleted = client.delete(message["url"].as_str().unwrap());
    assert_eq!(deleted.status, 204, "{deleted:?}");
    for file in stored.iter().chain(&pending) {
        wait_until("it has gone", || is_gone(&client, &mongo, file));
    }
}

#[test]
fn a_file_whose_upload_said_so_goes_without_a_message_and_stays_with_one() {
    let mongo = Mongo::start();
    let mut site = builder().start(&mongo);
    wait_for_indexes(&site);
    let client = site.client();
    // Their time is over before that of all files without a message.
    let linked = LENGTHS.map(|length| upload(&client, SOON, &noise(2, length)));
    let ids = linked.each_ref().map(|file| &*file.id);
    let message = taken(&send(&client, &ids));
    let metadata = unlinked_expires(SOON);
    let of_tus = [("Tus-Resumable", "1.0.0"), ("Upload-Metadata", &metadata)];
    let whole = [
        ("Upload-Length", "4"),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    let tus = client.post("/uploads", &[&of_tus[..], &whole].concat(), b"four");
    assert_eq!(tus.status, 201, "{tus:?}");
    let field: &[(&str, &[u8])] = &[
        ("name=\"a\"; filename=\"a\"", b"with a field behind it"),
        ("name=\"unlinked_expires\"", SOON.as_bytes()),
    ];
    let in_form = client.post("/files", &[FORM], &form(field));
    let in_form = Uploaded::of(&in_form.json()["files"][0]);
    let tus_id = tus
        .header("Location")
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let tus = Uploaded {
        path: format!("/files/{tus_id}"),
        id: tus_id,
        ..in_form.clone()
    };
    let short = LENGTHS.map(|length| upload(&client, SOON, &noise(1, length)));
    let of_refused = upload(&client, SOON, b"its message is refused");
    let long = upload(&client, "3600", b"it has an hour");
    let plain = client.upload(b"it stays for ever");
    // MongoDB is asked for a link only when the file has been committed.
    site.wait_until_committed();
    make_full(&mongo, &plain.id);
    let refused = send(&client, &[&of_refused.id, &plain.id]);
    assert!(matches!(refused.status, 404 | 409), "{refused:?}");
    for file in short.iter().chain([&in_form, &tus, &of_refused]) {
        wait_until("its time is over", || is_gone(&client, &mongo, file));
    }
    let why = mongo.find("fs.gone", doc! { "_id": object_id(&short[0].id) });
    assert_eq!(why[0].get_str("why").unwrap(), "expired");
    let expires = document(&mongo, &long.id).unwrap();
    let files = mongo.find("fs.files", doc! { "_id": object_id(&long.id) });
    let lifetime = expires
        .get_datetime("unlinked_expires")
        .unwrap()
        .timestamp_millis()
        - files[0]
            .get_datetime("uploadDate")
            .unwrap()
            .timestamp_millis();
    assert_eq!(lifetime, 3_600_000);
    site.kill_sidecar();
    site.start_sidecar();
    let client = site.client();
    for file in linked.iter().chain([&long, &plain]) {
        assert_eq!(client.get(&file.path).status, 200, "{}", file.path);
    }
    assert_eq!(client.delete(message["url"].as_str().unwrap()).status, 204);
    for file in &linked {
        wait_until("it goes with its message", || {
            is_gone(&client, &mongo, file)
        });
    }
    assert_eq!(client.get(&long.path).status, 200);
}

#[test]
fn a_token_may_say_it_for_all_uploads() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let site = keys.guard(builder()).start(&mongo);
    let scope = ["--scope", "upload", "--meta"];
    let put = |meta: &str, headers: &[(&str, &str)]| {
        let bearer = keys.bearer(&[&scope[..], &[meta]].concat());
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        site.client()
            .put_with("/files/a", &headers, b"its token says so")
    };
    let metadata = unlinked_expires("3600");
    let answer = put("unlinked_expires=1", &[("Upload-Metadata", &metadata)]);
    assert_eq!(answer.status, 201, "{answer:?}");
    let file = Uploaded::read(&answer);
    wait_until("its time is over", || {
        site.wait_until_committed();
        document(&mongo, &file.id).is_none()
    });
    put("unlinked_expires=soon", &[]).assert_problem(400, "bad-metadata");
}

#[test]
fn any_node_removes_what_a_dead_node_has_settled_and_a_pending_file_waits_for_its_own() {
    let mongo = Mongo::start();
    let mut cluster = Cluster::start(3, &builder(), &mongo);
    let client = cluster.nodes[0].client();
    let stored = upload(&client, "20", &noise(1, 300_000));
    cluster.nodes[0].wait_until_empty();
    wait_until_stated(&cluster, &mongo);
    mongo.hide_from_sidecars();
    let pending = upload(&client, "1", &noise(2, 900));
    cluster.nodes[0].kill_sidecar();
    mongo.heal();
    cluster.wait_until_seen(1, 1, "down");
    // The time is over at once.
    let over = doc! { "$set": { "metadata.unlinked_expires": mongodb::bson::DateTime::now() } };
    let files = mongo.files();
    let changed = async {
        files
            .update_one(doc! { "_id": object_id(&stored.id) }, over)
            .await
    };
    assert_eq!(mongo.block_on(changed).unwrap().modified_count, 1);
    let second = cluster.nodes[1].client();
    eventually("another node removes it", || {
        document(&mongo, &stored.id).is_none().then_some(())
    });
    second.get(&pending.path).assert_problem(503, "unavailable");
    cluster.nodes[0].start_sidecar();
    cluster.wait_until_seen(1, 1, "up");
    for node in &cluster.nodes {
        let client = node.client();
        for file in [&stored, &pending] {
            wait_until("it has gone", || is_gone(&client, &mongo, file));
        }
    }
}

#[test]
fn a_time_that_cannot_be_kept_is_refused_before_anything_is() {
    let site = Site::without_mongodb();
    let client = site.client();
    for wrong in ["", "0", "-1", "1.5", "soon", "31536001"] {
        let metadata = unlinked_expires(wrong);
        let header = ("Upload-Metadata", metadata.as_str());
        for length in LENGTHS {
            let refused = client.put_with("/files/a", &[header], &noise(1, length));
            refused.assert_problem(400, "bad-metadata");
        }
        let tus = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "4"), header];
        let refused = client.post("/uploads", &tus, b"");
        refused.assert_problem(400, "bad-metadata");
        let field: &[(&str, &[u8])] = &[
            ("name=\"a\"; filename=\"a\"", b"a file"),
            ("name=\"unlinked_expires\"", wrong.as_bytes()),
        ];
        let refused = client.post("/files", &[FORM], &form(field));
        refused.assert_problem(400, "bad-metadata");
    }
    assert!(site.names("journal/body").is_empty());
}
