//! Uploads in pieces whose requests are unusual, or come twice.

use kit::{Builder, Client, Site, noise};

use crate::upload_routing::{TUS, offset};

const PIECE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

fn begin(client: &Client, length: &str) -> String {
    let begun = client.post("/uploads", &[TUS, ("Upload-Length", length)], b"");
    assert_eq!(begun.status, 201, "{begun:?}");
    begun.header("location").to_owned()
}

#[test]
fn an_append_whose_own_method_is_another_has_all_of_its_bytes_or_is_refused() {
    let site = Site::without_mongodb();
    let client = site.client();
    let body = noise(5, 40_005);
    let path = begin(&client, "40005");
    let meant = ("X-HTTP-Method-Override", "PATCH");
    for method in ["GET", "DELETE"] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nX-HTTP-Method-Override: PATCH\r\n\
             Upload-Offset: 0\r\nContent-Length: 5\r\n\r\nhello"
        );
        // nginx passes no body of it on.
        let refused = site.raw(head.as_bytes());
        refused.assert_problem(400, "bad-upload-field");
    }
    for (at, piece) in [("0", &body[..5]), ("5", &body[5..])] {
        let fields = [TUS, PIECE, ("Upload-Offset", at), meant];
        let answer = client.put_with(&path, &fields, piece);
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let file = path.replace("/uploads/", "/files/");
    assert!(client.get(&file).body == body);
    // Without that word there is no such method, however long the body is.
    for piece in [&body[..5], &body] {
        let refused = client.put_with(&path, &[TUS, PIECE, ("Upload-Offset", "0")], piece);
        refused.assert_problem(405, "method-not-allowed");
    }
}

#[test]
fn a_coded_body_is_neither_a_piece_nor_a_beginning() {
    let site = Site::without_mongodb();
    let client = site.client();
    let gzip = ("Content-Encoding", "gzip");
    let at_start = ("Upload-Offset", "0");
    let path = begin(&client, "60000");
    for body in [noise(6, 10), noise(6, 50_000)] {
        for refused in [
            client.patch(&path, &[TUS, PIECE, at_start, gzip], &body),
            client.post(
                "/uploads",
                &[TUS, PIECE, ("Upload-Length", "60000"), gzip],
                &body,
            ),
            client.patch(
                &path,
                &[
                    ("Content-Type", "application/partial-upload"),
                    ("Upload-Complete", "?0"),
                    at_start,
                    gzip,
                ],
                &body,
            ),
        ] {
            refused.assert_problem(415, "content-coding-not-taken");
            assert_eq!(refused.header("accept-encoding"), "identity", "{refused:?}");
        }
    }
    assert_eq!(offset(&client, &path), 0);
}

#[test]
fn the_collection_may_have_a_slash_at_its_end() {
    let site = Site::without_mongodb();
    let client = site.client();
    for body in [&b"hello"[..], &noise(7, 40_000)] {
        let length = body.len().to_string();
        let fields = [TUS, PIECE, ("Upload-Length", &*length)];
        let begun = client.post("/uploads/", &fields, body);
        assert_eq!(begun.status, 201, "{begun:?}");
        assert_eq!(begun.header("upload-offset"), length);
    }
    let told = client.ask("OPTIONS", "/uploads/", &[]);
    assert_eq!(told.header("allow"), "POST, OPTIONS");
}

#[test]
fn an_upload_keeps_no_list_of_parts_that_it_was_not_made_of() {
    let site = Site::without_mongodb();
    let client = site.client();
    // `final;`
    let list = ("Upload-Metadata", "upload_concat ZmluYWw7");
    let refused = client.post("/uploads", &[TUS, ("Upload-Length", "5"), list], b"");
    refused.assert_problem(400, "bad-upload-field");
}

#[test]
fn a_beginning_that_comes_again_under_its_key_needs_no_second_room() {
    let builder = Builder::without_log()
        .set("subject_pending_bytes", 100_000)
        .set("max_open_uploads", 2);
    let site = builder.start_without_mongodb();
    let client = site.client();
    let body = noise(8, 40_000);
    let length = ("Upload-Length", "60000");
    for (target, fields) in [
        (
            "/uploads",
            &[TUS, PIECE, length, ("Idempotency-Key", "a")][..],
        ),
        (
            "/files",
            &[("Upload-Complete", "?0"), length, ("Idempotency-Key", "b")],
        ),
    ] {
        let first = client.post(target, fields, &body);
        for answer in [&first, &client.post(target, fields, &body)] {
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(answer.header("upload-offset"), "40000", "{answer:?}");
            assert_eq!(answer.header("location"), first.header("location"));
        }
        // Another one has no room.
        let other = [&fields[..fields.len() - 1], &[("Idempotency-Key", "c")]].concat();
        client
            .post(target, &other, &body)
            .assert_problem(429, "too-much-pending");
        let ended = client.delete(first.header("location"));
        assert_eq!(ended.status, 204, "{ended:?}");
    }
}
