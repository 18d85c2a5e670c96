//! Messages: a package and its parts, promised together, and read on every node before and after the commit.

use std::sync::atomic::{AtomicU64, Ordering};

use kit::{
    Answer, Builder, Client, Cluster, Keys, Mongo, Routes, Site, eventually, noise, object_id,
    wait_until,
};
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");
const JSON: (&str, &str) = ("Content-Type", "application/json");

const PACKAGE: &str = r#"{"text": "grüße", "where":[1.50, 2e3]}"#;

/// A form with the boundary `b`: the lines of each part's head behind `form-data; `, and its bytes.
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

/// The answer to a message that was taken.
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

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A message as its readers see it, without the state, which changes.
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
                "sha256": digest(&clip), "kind": "audio", "duration_ms": 3200, "waveform": [0, 7, 255],
            },
            {
                "part": 2, "name": "view", "id": ids[1], "url": format!("{url}/2"),
                "filename": "b.png", "content_type": "image/png", "length": 300_000,
                "sha256": digest(&picture), "kind": "image", "width": 640, "height": 480,
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

/// Package and parts are files of GridFS, whose documents tell of the message.
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
        assert_eq!(described.get_str("sha256").unwrap(), digest(content));
    }
}

/// The answer without what the commit changes.
fn lasting(mut json: Value) -> Value {
    let state = json.as_object_mut().unwrap().remove("state");
    assert!(state == Some("pending".into()) || state == Some("committed".into()));
    json
}

#[test]
fn a_message_that_is_sent_again_is_the_same_message() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let keys = Keys::make();
    let builder = keys.guard(Builder::default().set("settled_grace_seconds", 0));
    let mut site = builder.start(&mongo);
    let bearer = |options: &[&str]| keys.bearer(&[&["--scope", "message"], options].concat());
    let (alice, bob) = (bearer(&["--sub", "alice"]), bearer(&["--sub", "bob"]));
    let nobody = bearer(&[]);
    let (clip, picture) = (noise(1, 30_000), noise(2, 90_000));
    let small = br#"{"message":{"a":1},"to":["bob","eve"],"id":"j 1","from":"alice"}"#;
    let form = sent("m 1", &clip, &picture);
    let send = |site: &Site, bearer: &str, kind, body: &[u8]| {
        let headers = [kind, ("Authorization", bearer)];
        site.client().post("/messages", &headers, body)
    };
    let both = |site: &Site| {
        [(FORM, &form[..]), (JSON, &small[..])]
            .map(|(kind, body)| lasting(taken(&send(site, &alice, kind, body))))
    };
    let first = both(&site);
    assert_eq!(first[1]["client_id"], "j 1");
    assert_eq!(both(&site), first);
    // Receivers are a set; anything else that is told is another message.
    let turned = br#"{"message":{"a":1},"to":["eve","bob"],"id":"j 1","from":"alice"}"#;
    assert_eq!(lasting(taken(&send(&site, &alice, JSON, turned))), first[1]);
    for other in [
        br#"{"message":{"a":2},"to":["bob","eve"],"id":"j 1","from":"alice"}"#.to_vec(),
        br#"{"message":{"a":1},"to":["bob"],"id":"j 1","from":"alice"}"#.to_vec(),
        br#"{"message":{"a":1},"to":["bob","eve"],"id":"j 1","from":"eve"}"#.to_vec(),
        br#"{"message":"{\"a\":1}","to":["bob","eve"],"id":"j 1","from":"alice"}"#.to_vec(),
    ] {
        let answer = send(&site, &alice, JSON, &other);
        answer.assert_problem(422, "idempotency-key-reused");
    }
    let other = sent("m 1", &clip, &noise(3, 90_000));
    send(&site, &alice, FORM, &other).assert_problem(422, "idempotency-key-reused");
    // The id is one of the subject; without a subject, of the sender.
    let of_bob = lasting(taken(&send(&site, &bob, JSON, small)));
    assert_ne!(of_bob["id"], first[1]["id"]);
    let of_nobody = lasting(taken(&send(&site, &nobody, JSON, small)));
    let of_eve = br#"{"message":{"a":1},"to":["bob","eve"],"id":"j 1","from":"eve"}"#;
    let of_eve = lasting(taken(&send(&site, &nobody, JSON, of_eve)));
    assert_ne!(of_nobody["id"], of_eve["id"]);
    // The key in the head is another way to say the same.
    let keyed = |key: &str| {
        let headers = [
            JSON,
            ("Authorization", alice.as_str()),
            ("Idempotency-Key", key),
        ];
        site.client().post("/messages", &headers, small)
    };
    assert_eq!(lasting(taken(&keyed("\"j 1\""))), first[1]);
    keyed("j2").assert_problem(400, "bad-idempotency-key");
    site.kill_sidecar();
    site.start_sidecar();
    assert_eq!(both(&site), first);
    mongo.heal();
    site.wait_until_empty();
    assert_eq!(both(&site), first);
    site.kill_sidecar();
    site.start_sidecar();
    assert_eq!(both(&site), first);
    site.wait_until_empty();
    // Four packages in JSON, and a form's package and two parts.
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 7);
}

#[test]
fn messages_that_are_sent_again_until_they_are_answered_are_whole_and_there_once() {
    const SENDERS: u64 = 4;
    const OF_EACH: u64 = 24;
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    // Some stand in the log whole, others as links of one body.
    let contents = |seed: u64| {
        let length = if seed % 2 == 0 { 500 } else { 200_000 };
        (noise(seed, 700), noise(seed + 1000, length))
    };
    let taken_so_far = AtomicU64::new(0);
    let send_all = |client: &Client, sender: u64| -> Vec<(u64, String)> {
        let send = |number| {
            let seed = sender * OF_EACH + number;
            let (clip, picture) = contents(seed);
            let body = sent(&format!("m {seed}"), &clip, &picture);
            let url = eventually("an answer", || {
                let answer = client.try_post("/messages", &[FORM], &body).ok()?;
                assert!(matches!(answer.status, 201 | 409 | 503), "{answer:?}");
                (answer.status == 201).then(|| text(&answer.json(), "url").to_owned())
            });
            taken_so_far.fetch_add(1, Ordering::Relaxed);
            (seed, url)
        };
        (0..OF_EACH).map(send).collect()
    };
    let messages: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (client, send_all) = (site.client(), &send_all);
                scope.spawn(move || send_all(&client, sender))
            })
            .collect();
        for round in 1..=8 {
            let wanted = round * SENDERS * OF_EACH / 9;
            wait_until("messages are taken", || {
                taken_so_far.load(Ordering::Relaxed) >= wanted
            });
            site.kill_sidecar();
            site.start_sidecar();
        }
        let of_each = senders.into_iter().map(|sender| sender.join().unwrap());
        of_each.flatten().collect()
    });
    site.kill_sidecar();
    site.start_sidecar();
    site.wait_until_empty();
    let client = site.client();
    for (seed, url) in &messages {
        let (clip, picture) = contents(*seed);
        let told = told(&client, url, "committed");
        assert_part(&client, &told["parts"][0], &clip);
        assert_part(&client, &told["parts"][1], &picture);
    }
    let count = u64::try_from(messages.len()).unwrap();
    assert_eq!(count, SENDERS * OF_EACH);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 3 * count);
}

#[test]
fn what_is_no_message_is_refused_and_nothing_of_it_is_kept() {
    let site = Site::without_mongodb();
    let client = site.client();
    let long = vec![b'x'; 65_537];
    let many: Vec<_> = (0..1001).map(|number| format!("r{number}")).collect();
    let many = serde_json::to_vec(&many).unwrap();
    let file = ("name=\"f\"; filename=\"f\"", &b"bytes"[..]);
    let to = ("name=\"to\"", &b"bob"[..]);
    let files = vec![file; 257];
    for (parts, status, code) in [
        (vec![file], 400, "bad-message"),
        (vec![to], 400, "bad-message"),
        (
            vec![to, file, ("name=\"expires\"", b"7")],
            400,
            "bad-message",
        ),
        (
            vec![to, file, ("name=\"from\"", b"a/b")],
            400,
            "bad-message",
        ),
        (vec![to, file, ("name=\"id\"", b"")], 400, "bad-message"),
        (
            vec![to, file, ("name=\"id\"", b"a"), ("name=\"id\"", b"a")],
            400,
            "bad-message",
        ),
        (
            vec![to, file, ("name=\"parts\"", b"[{},{}]")],
            400,
            "bad-message",
        ),
        (
            vec![to, file, ("name=\"parts\"", br#"[{"width":0}]"#)],
            400,
            "bad-message",
        ),
        (
            vec![
                to,
                ("name=\"message\"\r\nContent-Type: application/json", b"{"),
            ],
            400,
            "bad-message",
        ),
        (vec![to, file, ("name=\"from\"", b"\xff")], 400, "bad-form"),
        (
            vec![to, file, ("name=\"_charset_\"", b"iso-8859-1")],
            400,
            "bad-form",
        ),
        (
            vec![to, ("name=\"message\"", &long)],
            413,
            "message-too-large",
        ),
        (vec![file, ("name=\"to\"", &many)], 413, "message-too-large"),
        ([vec![to], files].concat(), 413, "message-too-large"),
    ] {
        post(&client, FORM, &form(&parts)).assert_problem(status, code);
    }
    let longer = format!(r#"{{"to":"bob","message":"{}"}}"#, "x".repeat(1024 * 1024));
    for (body, status, code) in [
        (r#"{"message":1}"#, 400, "bad-message"),
        (r#"{"to":"bob"}"#, 400, "bad-message"),
        (
            r#"{"to":"bob","message":1,"purpose":"x"}"#,
            400,
            "bad-message",
        ),
        ("", 400, "bad-message"),
        (&longer, 413, "message-too-large"),
    ] {
        post(&client, JSON, body.as_bytes()).assert_problem(status, code);
    }
    let plain = ("Content-Type", "text/plain");
    for body in [&b"hello"[..], &long] {
        post(&client, plain, body).assert_problem(415, "not-a-message");
    }
    for (method, path, allow) in [
        ("GET", "/messages", "POST, OPTIONS"),
        ("DELETE", "/messages/", "POST, OPTIONS"),
        (
            "PUT",
            "/messages/0123456789abcdef01234567",
            "GET, HEAD, OPTIONS",
        ),
        ("PATCH", "/messages/a/1", "GET, HEAD, OPTIONS"),
    ] {
        let refused = client.ask(method, path, &[]);
        refused.assert_problem(405, "method-not-allowed");
        assert_eq!(refused.header("Allow"), allow, "{method} {path}");
        assert_eq!(client.ask("OPTIONS", path, &[]).header("Allow"), allow);
    }
    let refused = client.put_with("/messages/a", &[plain], &long);
    refused.assert_problem(405, "method-not-allowed");
    for path in ["/messages/x", "/messages/0123456789abcdef01234567/1"] {
        assert!(matches!(client.get(path).status, 404 | 503), "{path}");
    }
    site.assert_nothing_is_kept("no message");
}

#[test]
fn packages_of_every_kind_come_back_as_they_were_sent() {
    let site = Site::without_mongodb();
    let client = site.client();
    let to = ("name=\"to\"", &b"bob"[..]);
    let longest = vec![b'x'; 65_536];
    for (kind, package, field, value) in [
        ("", "grüße\n".as_bytes(), "message", json!("grüße\n")),
        ("", &longest, "message", json!("x".repeat(65_536))),
        ("application/json", b"[1]", "message", json!([1])),
        (
            "application/x-own",
            b"\xff\0",
            "message_base64",
            json!("/wA="),
        ),
    ] {
        let kind = match kind {
            "" => String::new(),
            kind => format!("\r\nContent-Type: {kind}"),
        };
        let head = format!("name=\"message\"{kind}");
        let answer = post(&client, FORM, &form(&[to, (&head, package)]));
        let message = taken(&answer);
        assert_eq!(message["parts"], json!([]));
        let told = told(&client, text(&message, "url"), "pending");
        assert_eq!(told[field], value, "{kind}");
        let file = client.get(&format!("/files/{}", text(&message, "id")));
        assert!(file.body == package, "{kind}");
    }
    // Parts alone.
    let message = taken(&post(
        &client,
        FORM,
        &form(&[to, ("name=\"f\"; filename=\"f\"", b"part")]),
    ));
    let told = told(&client, text(&message, "url"), "pending");
    assert_eq!(told["message"], "");
    assert_eq!(
        client.get(&format!("{}/1", text(&message, "url"))).body,
        b"part"
    );
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
    // No node but the owner can tell of it while it is away, and that is no 404.
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
fn a_nodes_word_about_a_message_needs_a_pass_and_the_key() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut cluster = Cluster::start(2, &Builder::without_log(), &mongo);
    let body = br#"{"to":"bob","message":"words"}"#;
    let message = taken(&post(&cluster.nodes[0].client(), JSON, body));
    let (url, id) = (text(&message, "url"), text(&message, "id"));
    let hop = format!("/_gridspool/hop{url}");
    let client = cluster.nodes[0].client();
    // A pass to read the file does not do.
    let request = format!("GET /files/{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let asked = cluster.nodes[1].raw_to_sidecar(request.as_bytes());
    let of_file = asked.header("x-gridspool-pass").to_owned();
    assert!(!of_file.is_empty());
    for pass in ["", "x", &of_file] {
        let answer = client.get_with(&hop, &[("X-Gridspool-Pass", pass)]);
        answer.assert_problem(403, "forbidden");
    }
    assert_eq!(cluster.nodes[1].client().get(url).status, 200);
    // A node with another key neither answers nor is believed.
    cluster.write_key("fedcba9876543210fedcba9876543210");
    cluster.nodes[1].kill_sidecar();
    cluster.nodes[1].start_sidecar();
    let answer = cluster.nodes[1].client().get(url);
    answer.assert_problem(503, "unavailable");
}

#[test]
fn a_token_says_who_sends_to_whom_and_who_reads() {
    let keys = Keys::make();
    let site = keys.guard(Builder::without_log()).start_without_mongodb();
    let client = site.client();
    let send = |options: &[&str], body: &str| {
        let bearer = keys.bearer(options);
        client.post(
            "/messages",
            &[JSON, ("Authorization", &bearer)],
            body.as_bytes(),
        )
    };
    let get = |path: &str, options: &[&str]| {
        let bearer = keys.bearer(options);
        client.get_with(path, &[("Authorization", &bearer)])
    };
    let to_bob = r#"{"message":1,"to":"bob"}"#;
    for scope in ["upload download delete", "admin"] {
        let refused = send(&["--scope", scope], to_bob);
        refused.assert_problem(403, "insufficient-scope");
    }
    // A sender to messages alone uploads no plain file.
    let bearer = keys.bearer(&["--scope", "message"]);
    let refused = client.post("/files", &[("Authorization", &bearer)], b"x");
    refused.assert_problem(403, "insufficient-scope");
    let large = noise(1, 100_000);
    let refused = client.post("/files", &[("Authorization", &bearer)], &large);
    refused.assert_problem(403, "insufficient-scope");
    let alice = [
        "--scope", "message", "--sub", "s1", "--from", "alice", "--to", "bob", "--to", "eve",
    ];
    let forced = taken(&send(&alice, r#"{"message":1}"#));
    let path = text(&forced, "url").to_owned();
    let told = get(&path, &["--scope", "download"]).json();
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!("alice"), &json!(["bob", "eve"]))
    );
    let fewer = taken(&send(&alice, r#"{"message":1,"to":"eve","from":"alice"}"#));
    let told = get(text(&fewer, "url"), &alice).json();
    assert_eq!(told["to"], json!(["eve"]));
    for body in [
        r#"{"message":1,"from":"eve"}"#,
        r#"{"message":1,"to":["bob","mallory"]}"#,
    ] {
        send(&alice, body).assert_problem(403, "party-not-allowed");
    }
    let form = sent("m 1", b"clip!", b"picture");
    let bearer = keys.bearer(&["--scope", "message", "--sub", "s1"]);
    let sent = taken(&client.post("/messages", &[FORM, ("Authorization", &bearer)], &form));
    let url = text(&sent, "url");
    let (id, part) = (text(&sent, "id"), text(&sent["parts"][0], "id"));
    let first = format!("{url}/1");
    for (options, of_message, of_part) in [
        (&["--scope", "download"][..], 200, 200),
        (&["--scope", "message", "--sub", "s1"], 200, 200),
        (&["--scope", "message", "--from", "alice"], 200, 200),
        (&["--scope", "message", "--sub", "s2"], 404, 404),
        (&["--scope", "message", "--from", "eve"], 404, 404),
        (&["--scope", "message"], 404, 404),
        (&["--scope", "download", "--file", id], 200, 200),
        (&["--scope", "download", "--file", part], 404, 200),
        (&["--scope", "download", "--file", "other"], 404, 404),
        (&["--scope", "upload delete"], 403, 403),
    ] {
        assert_eq!(get(url, options).status, of_message, "{options:?}");
        assert_eq!(get(&first, options).status, of_part, "{options:?}");
    }
    assert_eq!(client.get(url).status, 401);
    let bearer = keys.bearer(&["--scope", "message", "--type", "image/*"]);
    let refused = client.post("/messages", &[FORM, ("Authorization", &bearer)], &form);
    refused.assert_problem(415, "type-not-allowed");
}
