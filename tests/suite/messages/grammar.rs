//! Messages of every kind, and bodies that are no messages.

use kit::Site;
use serde_json::json;

use super::{FORM, JSON, form, post, taken, text, told};

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
            "GET, HEAD, DELETE, OPTIONS",
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
fn json_that_some_parsers_cannot_read_is_no_message() {
    let site = Site::without_mongodb();
    let client = site.client();
    let deep = [b"[".repeat(101), b"]".repeat(101)].concat();
    for package in [&deep[..], b"[1e309]", br#"["\udc00"]"#, b"[\"\xff\"]"] {
        let head = "name=\"message\"\r\nContent-Type: application/x+json";
        let body = form(&[("name=\"to\"", b"bob"), (head, package)]);
        post(&client, FORM, &body).assert_problem(400, "bad-message");
        let body = [br#"{"to":"bob","message":"#, package, b"}"].concat();
        post(&client, JSON, &body).assert_problem(400, "bad-message");
    }
    // These stand where an object has to be.
    for body in [
        r#"[1,"alice","bob",null,[]]"#,
        r#"{"to":"bob","parts":[["0123456789abcdef01234567"]]}"#,
    ] {
        post(&client, JSON, body.as_bytes()).assert_problem(400, "bad-message");
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
    // This message has only parts.
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
