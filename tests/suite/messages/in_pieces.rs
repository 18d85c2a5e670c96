//! Messages and forms that come in pieces, by draft-ietf-httpbis-resumable-upload-12.

use kit::{Answer, Builder, Client, Cluster, Keys, Mongo, Site, noise, wait_until};
use serde_json::Value;

use super::{FORM, JSON, PACKAGE, assert_part, form, sent, taken, text, told};
use crate::draft_uploads::{BEGINS, LAST, PARTIAL, append};
use crate::upload_salvage::{SENT, send_part};

/// Begins an upload that becomes something else; returns its address.
fn begin(client: &Client, target: &str, headers: &[(&str, &str)], content: &[u8]) -> String {
    let answer = client.post(target, &[&[BEGINS], headers].concat(), content);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("upload-complete"), "?0");
    assert_eq!(answer.header("upload-offset"), content.len().to_string());
    answer.header("location").to_owned()
}

/// Asks for the state of an upload: its offset, and whether it is complete.
fn state(client: &Client, path: &str) -> (usize, String) {
    let answer = client.ask("HEAD", path, &[]);
    assert_eq!(answer.status, 204, "{answer:?}");
    let offset = answer.header("upload-offset").parse().unwrap();
    (offset, answer.header("upload-complete").to_owned())
}

/// The answer to the last piece, without the state, which changes.
fn complete(answer: &Answer) -> Value {
    assert_eq!(answer.header("upload-complete"), "?1", "{answer:?}");
    let mut json = answer.json();
    json.as_object_mut().unwrap().remove("state");
    json
}

fn authorized(bearer: &str) -> (&str, &str) {
    ("Authorization", bearer)
}

fn bodies(site: &Site) -> usize {
    site.names("journal/body").len()
}

#[test]
fn a_message_in_pieces_through_any_node_is_promised_once_and_its_answer_comes_again() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let clients = cluster.clients();
    let (clip, picture) = (noise(1, 30_000), noise(2, 600_000));
    let body = sent("m 1", &clip, &picture);
    let length = body.len().to_string();
    let path = begin(
        &clients[0],
        "/messages",
        &[FORM, ("Upload-Length", &length)],
        &body[..100],
    );
    let id = path.strip_prefix("/uploads/").unwrap().to_owned();
    let mut at = 100;
    for (client, end) in clients.iter().cycle().zip([20_000, 300_000, 300_005]) {
        let answer = append(client, &path, at, BEGINS, &body[at..end]);
        assert_eq!(answer.status, 204, "{answer:?}");
        at = end;
        for client in &clients {
            assert_eq!(state(client, &path), (at, "?0".to_owned()));
        }
        // Nothing of it can be read, and tus does not know it.
        for query in ["", "?live"] {
            assert_eq!(clients[0].get(&format!("/files/{id}{query}")).status, 404);
        }
        // Only MongoDB could have a message of this id, and there is none.
        assert_eq!(clients[0].get(&format!("/messages/{id}")).status, 503);
        let by_tus = clients[0].ask("HEAD", &path, &[("Tus-Resumable", "1.0.0")]);
        assert_eq!(by_tus.status, 404, "{by_tus:?}");
    }
    let answer = append(&clients[1], &path, at, LAST, &body[at..]);
    let message = taken(&answer);
    let told_first = complete(&answer);
    assert_eq!(message["client_id"], "m 1");
    for round in 0..2 {
        for client in &clients {
            assert_eq!(state(client, &path), (body.len(), "?1".to_owned()));
            let again = append(client, &path, body.len(), LAST, b"");
            assert_eq!(again.status, 201, "{again:?}");
            assert_eq!(complete(&again), told_first);
        }
        let late = append(&clients[0], &path, body.len(), LAST, b"more");
        late.assert_problem(403, "upload-complete");
        let elsewhere = append(&clients[0], &path, 7, LAST, b"more");
        elsewhere.assert_problem(409, "mismatching-upload-offset");
        clients[0]
            .delete(&path)
            .assert_problem(403, "upload-complete");
        // Each part has a name of the same bytes; the upload's own one is gone.
        assert_eq!(bodies(&cluster.nodes[0]), 2);
        if round == 0 {
            cluster.nodes[0].kill_sidecar();
            cluster.nodes[0].start_sidecar();
        }
    }
    // The message at once is the same one, as it has an id of its sender's.
    let once = clients[0].post("/messages", &[FORM], &body);
    assert_eq!(taken(&once)["id"], message["id"]);
    let read = told(&clients[1], text(&message, "url"), "pending");
    let package: Value = serde_json::from_str(PACKAGE).unwrap();
    assert_eq!(read["message"], package);
    assert_part(&clients[0], &read["parts"][0], &clip);
    assert_part(&clients[0], &read["parts"][1], &picture);
    wait_until("the spool is empty", || {
        cluster.nodes[0].names("spool").is_empty()
    });
}

#[test]
fn a_form_and_a_message_in_json_may_come_in_pieces_too() {
    let site = Site::without_mongodb();
    let client = site.client();
    let contents = [noise(1, 40_000), noise(2, 20)];
    let files = form(&[
        ("name=\"a\"; filename=\"a.bin\"", &contents[0]),
        ("name=\"b\"; filename=\"b.bin\"", &contents[1]),
        ("name=\"note\"", b"hello"),
    ]);
    let path = begin(&client, "/files", &[FORM], b"");
    let half = files.len() / 2;
    assert_eq!(
        append(&client, &path, 0, BEGINS, &files[..half]).status,
        204
    );
    let answer = append(&client, &path, half, LAST, &files[half..]);
    assert_eq!(answer.status, 201, "{answer:?}");
    let told_first = complete(&answer);
    let once = client.post("/files", &[FORM], &files).json();
    for (number, content) in contents.iter().enumerate() {
        let file = &told_first["files"][number];
        for field in ["filename", "length", "content_type", "metadata"] {
            assert_eq!(file[field], once["files"][number][field], "{field}");
        }
        assert_eq!(&client.get(text(file, "url")).body, content);
    }
    let again = append(&client, &path, files.len(), LAST, b"");
    assert_eq!(complete(&again)["files"], told_first["files"]);
    let json = br#"{"message":{"a":1},"to":["bob"],"from":"alice"}"#;
    let path = begin(&client, "/messages", &[JSON], &json[..10]);
    let answer = append(&client, &path, 10, LAST, &json[10..]);
    assert_eq!(taken(&answer)["parts"], serde_json::json!([]));
    let again = append(&client, &path, json.len(), LAST, b"");
    assert_eq!(complete(&again), complete(&answer));
    // At once, the sender is told that it is complete.
    let once = client.post("/messages", &[JSON, LAST], json);
    assert_eq!(once.header("upload-complete"), "?1", "{once:?}");
}

#[test]
fn what_is_refused_when_it_is_whole_ends_its_upload_and_keeps_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let cut_off = b"--b\r\nContent-Disposition: form-data; name=to\r\n\r\nbob";
    let nobody = form(&[("name=\"message\"", b"hello")]);
    for (target, kind, body, code) in [
        ("/messages", FORM, &cut_off[..], "bad-form"),
        ("/messages", FORM, &nobody, "bad-message"),
        ("/messages", JSON, b"{", "bad-message"),
        ("/files", FORM, cut_off, "bad-form"),
    ] {
        let path = begin(&client, target, &[kind], b"");
        let refused = append(&client, &path, 0, LAST, body);
        refused.assert_problem(400, code);
        assert_eq!(refused.header("upload-complete"), "?1");
        assert_eq!(client.ask("HEAD", &path, &[]).status, 410);
        assert_eq!(append(&client, &path, body.len(), LAST, b"").status, 410);
    }
    assert_eq!(bodies(&site), 0);
    // One that is ended by its sender.
    let path = begin(&client, "/messages", &[JSON], b"{");
    assert_eq!(client.delete(&path).status, 204);
    assert_eq!(client.ask("HEAD", &path, &[]).status, 410);
}

#[test]
fn a_key_stands_for_one_message_in_pieces_and_at_once() {
    let site = Site::without_mongodb();
    let client = site.client();
    let key = ("Idempotency-Key", "k");
    let json = br#"{"message":{"a":1},"to":["bob"],"from":"alice"}"#;
    let head = [JSON, key];
    let path = begin(&client, "/messages", &head, &json[..10]);
    let again = client.post("/messages", &[JSON, key, BEGINS], b"");
    assert_eq!(again.header("location"), path);
    assert_eq!(again.header("upload-offset"), "10");
    let answer = append(&client, &path, 10, LAST, &json[10..]);
    let message = taken(&answer);
    let again = client.post("/messages", &[JSON, key, BEGINS], b"");
    assert_eq!(complete(&again), complete(&answer));
    let other = client.post("/files", &[JSON, key, BEGINS], b"");
    other.assert_problem(422, "idempotency-key-reused");
    assert_eq!(message["state"], "pending");
}

#[test]
fn a_creation_with_content_that_breaks_off_goes_on_under_its_key_or_comes_again_whole() {
    let site = Site::without_mongodb();
    let client = site.client();
    let picture = noise(2, 1_200_000);
    let body = form(&[
        ("name=\"message\"", b"hello"),
        ("name=\"to\"", b"bob"),
        (
            "name=\"f\"; filename=\"b.png\"\r\nContent-Type: image/png",
            &picture,
        ),
    ]);
    for (key, complete_word, is_whole) in
        [("a", "?0", false), ("b", "?1", false), ("c", "?1", true)]
    {
        let head = format!(
            "POST /messages HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {key}\r\n{}: {}\r\n\
             Upload-Complete: {complete_word}\r\nUpload-Length: {length}\r\nContent-Length: {length}\r\n\r\n",
            FORM.0,
            FORM.1,
            length = body.len(),
        );
        drop(send_part(&site, &site, &head, &body[..SENT], false));
        let ask = || client.ask("HEAD", "/uploads/by-key", &[("Idempotency-Key", key)]);
        wait_until("it is found by its key", || ask().status == 204);
        let found = ask();
        assert_eq!(found.header("upload-complete"), "?0");
        let (path, at) = (
            found.header("location"),
            state(&client, found.header("location")).0,
        );
        assert!(at > SENT / 2 && at <= SENT, "{at}");
        let answer = if is_whole {
            client.post("/messages", &[FORM, LAST, ("Idempotency-Key", key)], &body)
        } else {
            append(&client, path, at, LAST, &body[at..])
        };
        let message = taken(&answer);
        let read = told(&client, text(&message, "url"), "pending");
        assert_part(&client, &read["parts"][0], &picture);
        // The key stands for that message.
        let head = [FORM, LAST, ("Idempotency-Key", key)];
        let again = client.post("/messages", &head, &body);
        assert_eq!(taken(&again)["id"], message["id"], "{key}");
    }
}

#[test]
fn an_upload_that_becomes_a_message_is_for_tokens_that_may_send_messages() {
    let keys = Keys::make();
    let mongo = Mongo::start();
    let site = keys.guard(Builder::without_log()).start(&mongo);
    let client = site.client();
    let bearer = |options: &[&str]| keys.bearer(&[&["--sub", "alice"], options].concat());
    let messages = bearer(&["--scope", "message"]);
    let of_bob = bearer(&["--scope", "message", "--from", "bob"]);
    let files = bearer(&["--scope", "upload"]);
    let other = keys.bearer(&["--sub", "bob", "--scope", "message"]);
    let json = br#"{"message":{"a":1},"to":["bob"],"from":"alice"}"#;
    let refused = client.post("/messages", &[JSON, BEGINS, authorized(&files)], b"");
    assert_eq!(refused.status, 403, "{refused:?}");
    let path = begin(&client, "/messages", &[JSON, authorized(&messages)], b"{");
    for bearer in [&files, &other] {
        let answer = client.ask("HEAD", &path, &[authorized(bearer)]);
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    let rest = |bearer: &str| {
        let head = [PARTIAL, ("Upload-Offset", "1"), LAST, authorized(bearer)];
        client.patch(&path, &head, &json[1..])
    };
    assert_eq!(rest(&files).status, 404);
    assert_eq!(rest(&of_bob).status, 403);
    let ended = client.ask("HEAD", &path, &[authorized(&messages)]);
    assert_eq!(ended.status, 410, "the message was not allowed");
    let form_path = begin(&client, "/files", &[FORM, authorized(&files)], b"");
    let answer = client.ask("HEAD", &form_path, &[authorized(&messages)]);
    assert_eq!(answer.status, 404, "{answer:?}");
}

#[test]
fn a_message_in_pieces_is_committed_and_its_answer_tells_that() {
    let mongo = Mongo::start();
    let site = Builder::default().start(&mongo);
    let client = site.client();
    let body = sent("m 1", &noise(1, 30_000), &noise(2, 300_000));
    let path = begin(&client, "/messages", &[FORM], &body[..200_000]);
    let answer = append(&client, &path, 200_000, LAST, &body[200_000..]);
    let message = taken(&answer);
    wait_until("it is committed", || {
        let again = append(&client, &path, body.len(), LAST, b"");
        again.status == 201 && again.json()["state"] == "committed"
    });
    told(&client, text(&message, "url"), "committed");
}
