//! The rights to send and read messages: clients have them by their tokens, nodes by their key.

use kit::{Builder, Client, Cluster, Keys, Mongo, noise};
use serde_json::json;

use super::{FORM, JSON, post, sent, taken, text};

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
    // A pass to read the file is not enough.
    let request = format!("GET /files/{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let asked = cluster.nodes[1].raw_to_sidecar(request.as_bytes());
    let of_file = asked.header("x-gridspool-pass").to_owned();
    assert!(!of_file.is_empty());
    for pass in ["", "x", &of_file] {
        let answer = client.get_with(&hop, &[("X-Gridspool-Pass", pass)]);
        answer.assert_problem(403, "forbidden");
    }
    assert_eq!(cluster.nodes[1].client().get(url).status, 200);
    // A node with another key gets no answer, and is not believed.
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
    // A token only for messages uploads no plain file.
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
    let message = taken(&client.post("/messages", &[FORM, ("Authorization", &bearer)], &form));
    let url = text(&message, "url");
    let (id, part) = (text(&message, "id"), text(&message["parts"][0], "id"));
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
    assert_deletes(&keys, &client, url, part);
    let bearer = keys.bearer(&["--scope", "message", "--type", "image/*"]);
    let refused = client.post("/messages", &[FORM, ("Authorization", &bearer)], &form);
    refused.assert_problem(415, "type-not-allowed");
}

/// Asserts that its sender and the platform may delete a message, and that all others get a
/// reader's refusal.
fn assert_deletes(keys: &Keys, client: &Client, url: &str, part: &str) {
    let ask = |method: &str, path: &str, options: &[&str]| {
        let bearer = keys.bearer(options);
        client
            .ask(method, path, &[("Authorization", &bearer)])
            .status
    };
    let read = |path: &str| ask("GET", path, &["--scope", "download"]);
    assert_eq!(client.delete(url).status, 401);
    for (options, status) in [
        (&["--scope", "delete", "--file", part][..], 404),
        (&["--scope", "message", "--sub", "s2"], 404),
        (&["--scope", "message", "--from", "eve"], 404),
        (&["--scope", "message"], 404),
        (&["--scope", "upload download"], 403),
        // Its own list is in MongoDB alone.
        (&["--scope", "receive", "--receiver", "bob"], 503),
        (&["--scope", "receive", "--receiver", "mallory"], 404),
        (&["--scope", "receive"], 403),
    ] {
        assert_eq!(ask("DELETE", url, options), status, "{options:?}");
        assert_eq!(read(url), 200, "{options:?}");
    }
    for options in [
        &["--scope", "delete"][..],
        &["--scope", "delete", "--file"],
        &["--scope", "message", "--sub", "s1"],
        &["--scope", "message", "--from", "alice"],
    ] {
        let bearer = keys.bearer(&["--scope", "message", "--sub", "s1"]);
        let body = br#"{"message":1,"from":"alice","to":"bob"}"#;
        let message = taken(&client.post("/messages", &[JSON, ("Authorization", &bearer)], body));
        let is_of_file = options.ends_with(&["--file"]);
        let file = is_of_file.then(|| text(&message, "id"));
        let options: Vec<_> = options.iter().copied().chain(file).collect();
        let url = text(&message, "url");
        assert_eq!(ask("DELETE", url, &options), 204, "{options:?}");
        assert_eq!(read(url), 404, "{options:?}");
    }
}
