//! Uploads: every way in, and all refusals.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use kit::{
    Answer, Builder, Mongo, Routes, Site, Uploaded, curl, noise, object_id, read_to_end, wait_until,
};
use mongodb::bson::doc;
use serde_json::json;

const BINARY: (&str, &str) = ("Content-Type", "application/octet-stream");

/// All ways to upload, each with a name for failures.
fn upload_by_every_way(site: &Site, body: &[u8]) -> Vec<(&'static str, Answer)> {
    let client = site.client();
    let binary = "Content-Type: application/octet-stream";
    let by_curl = |version: &str, arguments: &[&str]| {
        let fetched = curl(("body", body), arguments);
        assert_eq!(fetched.version, version, "{arguments:?}");
        fetched.answer
    };
    let (http, https) = (
        format!("{}/files/", site.url()),
        format!("{}/files/", site.https_url()),
    );
    let (one, two) = (["-H", binary], ["-H", binary, "--http2"]);
    let sent_by_curl = [
        ("curl -T", "1.1", &one[..], ["-T", "body", &http]),
        ("curl -T -, chunked", "1.1", &one, ["-T", "-", &http]),
        ("curl -T, HTTP/2", "2", &two, ["-T", "body", &https]),
        ("curl -T -, HTTP/2", "2", &two, ["-T", "-", &https]),
        (
            "curl POST, HTTP/2",
            "2",
            &two,
            ["--data-binary", "@body", &https],
        ),
    ]
    .map(|(way, version, options, rest)| (way, by_curl(version, &[options, &rest].concat())));
    let mut answers = vec![
        ("POST", client.post("/files", &[BINARY], body)),
        ("PUT", client.put_with("/files/a", &[BINARY], body)),
        ("chunked", client.post_chunked("/files", body)),
    ];
    answers.extend(sent_by_curl);
    answers
}

#[test]
fn every_length_by_every_way_comes_back_byte_for_byte_before_and_after_the_commit() {
    let routes = Routes::start();
    let mut files = Vec::new();
    for length in [0, 1, 261_120, 261_121, 5 * 1024 * 1024] {
        let body = noise(length, usize::try_from(length).unwrap());
        for (way, answer) in upload_by_every_way(&routes.site, &body) {
            let way = format!("{length} bytes by {way}");
            assert_eq!(answer.status, 201, "{way}: {answer:?}");
            assert_eq!(answer.json()["length"], length, "{way}");
            files.push((way, body.clone(), Uploaded::read(&answer)));
        }
    }
    let ids: BTreeSet<_> = files.iter().map(|(_, _, file)| &file.id).collect();
    assert_eq!(ids.len(), files.len());
    wait_until("the spool is empty", || {
        routes.site.names("spool").is_empty()
    });
    routes.both(|client| {
        for (way, body, file) in &files {
            let answer = client.get(&file.path);
            assert_eq!(answer.status, 200, "{way}");
            assert!(&answer.body == body, "{way}: other bytes came back");
            assert_eq!(answer.header("ETag"), file.etag, "{way}");
        }
    });
}

#[test]
fn the_answer_says_what_was_taken_and_the_same_is_told_later() {
    let site = Site::without_mongodb();
    let client = site.client();
    let answer = client.put_with("/files/a.txt", &[("Content-Type", "text/plain")], b"hello");
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.assert_harmless();
    let json = answer.json();
    let id = json["id"].as_str().unwrap();
    assert_eq!(id.len(), 24);
    assert_eq!(json["filename"], "a.txt");
    assert_eq!(json["length"], 5);
    assert_eq!(json["content_type"], "text/plain");
    assert_eq!(json["state"], "pending");
    assert_eq!(json["url"], format!("/files/{id}"));
    assert_eq!(answer.header("location"), format!("/files/{id}"));
    let etag = answer.header("etag");
    assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'));
    assert_eq!(client.get(answer.header("location")).header("etag"), etag);
    assert_eq!(client.head(answer.header("location")).header("etag"), etag);
}

#[test]
fn requests_without_any_body_make_empty_files() {
    let site = Site::without_mongodb();
    for request in [
        "POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "PUT /files/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n",
    ] {
        let answer = site.raw(request.as_bytes());
        let file = Uploaded::read(&answer);
        assert_eq!(answer.json()["length"], 0, "{request}");
        assert_eq!(answer.json()["content_type"], "application/octet-stream");
        let empty = site.client().get(&file.path);
        assert_eq!((empty.status, empty.body.len()), (200, 0), "{request}");
    }
}

#[test]
fn the_header_names_a_file_before_the_path_does() {
    let site = Site::without_mongodb();
    let client = site.client();
    let extended = "attachment; filename=\"plain.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.txt";
    let escaped = "attachment; filename=\"a%22%0D%0A%20b.txt\"";
    let broken = "attachment; filename=\"good.txt\"; filename*=UTF-8''%zz";
    let unclosed = "attachment; filename*=\"UTF-8''b.txt; filename=\"good.txt\"";
    for (path, disposition, name) in [
        ("/files/a.txt", "", "a.txt"),
        ("/files/gr%C3%B6%C3%9Fe%201.txt", "", "größe 1.txt"),
        ("/files/2026/may/a.txt", "", "a.txt"),
        ("/files", "attachment; filename=\"b c.txt\"", "b c.txt"),
        ("/files/a.txt", "attachment; filename=\"b.txt\"", "b.txt"),
        ("/files", "inline; filename=b.txt", "b.txt"),
        ("/files/a.txt", extended, "größe 1.txt"),
        ("/files/a.txt", "attachment", "a.txt"),
        ("/files/a.txt", "attachment; filename=\"\"", "a.txt"),
        ("/files/a.txt", "not; a header at all", "a.txt"),
        ("/files", "attachment; filename=\"/etc/passwd\"", "passwd"),
        ("/files", "attachment; filename=\"new\\a\\b.txt\"", "b.txt"),
        ("/files", "attachment; filename=\"report\\\"", "report_"),
        ("/files", escaped, "a\"%20b.txt"),
        ("/files", broken, "good.txt"),
        ("/files", unclosed, "good.txt"),
    ] {
        let headers = [("Content-Disposition", disposition)];
        let headers = &headers[..usize::from(!disposition.is_empty())];
        let answer = client.put_with(path, headers, b"x");
        assert_eq!(answer.status, 201, "{path} {disposition}");
        assert_eq!(answer.json()["filename"], name, "{path} {disposition}");
    }
    let answer = client.post("/files", &[], b"x").json();
    assert_eq!(answer["filename"], answer["id"], "no name at all");
    let sent = curl(
        ("photo.jpg", b"x"),
        &["-T", "photo.jpg", &format!("{}/files/", site.url())],
    );
    assert_eq!(sent.answer.status, 201);
    assert_eq!(sent.answer.json()["filename"], "photo.jpg");
}

#[test]
fn a_type_is_meant_or_read_from_the_bytes_and_never_guessed() {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const FORM: &str = "application/x-www-form-urlencoded";
    let site = Site::without_mongodb();
    let client = site.client();
    for (claimed, body, kept) in [
        (None, PNG, "image/png"),
        (None, &b"no magic"[..], "application/octet-stream"),
        (Some("video/mp4"), PNG, "video/mp4"),
        (
            Some("text/plain; charset=utf-8"),
            PNG,
            "text/plain; charset=utf-8",
        ),
        (
            Some("Text/Plain;Charset=\"utf-8\";;"),
            PNG,
            "text/plain; charset=utf-8",
        ),
        (Some(""), PNG, "image/png"),
        (Some("image/png; "), PNG, "image/png"),
        (
            Some("application/octet-stream"),
            b"x",
            "application/octet-stream",
        ),
    ] {
        let headers: Vec<_> = claimed
            .map(|claimed| ("Content-Type", claimed))
            .into_iter()
            .collect();
        let answer = client.post("/files", &headers, body);
        let file = Uploaded::read(&answer);
        assert_eq!(answer.json()["content_type"], kept, "{claimed:?}");
        assert_eq!(answer.json()["metadata"], json!({}), "{claimed:?}");
        assert_eq!(client.get(&file.path).header("content-type"), kept);
    }
    // An invalid type, or one that says nothing, is replaced; the metadata keeps it.
    for claimed in [
        "image",
        "text/",
        "/plain",
        "te xt/plain",
        "undefined",
        "image/jpeg;,text/html",
        "image/jpeg, text/html",
        "image/jpeg; a",
        "image/*",
        "binary/octet-stream",
        "application/octet-stream",
        FORM,
    ] {
        for body in [PNG, b"no magic"] {
            let answer = client.post("/files", &[("Content-Type", claimed)], body);
            let file = Uploaded::read(&answer);
            let is_picture = body == PNG;
            let kept = if is_picture {
                "image/png"
            } else {
                "application/octet-stream"
            };
            assert_eq!(answer.json()["content_type"], kept, "{claimed}");
            let said = &answer.json()["metadata"]["claimed_content_type"];
            assert!(
                said == claimed || claimed == kept && said.is_null(),
                "{answer:?}"
            );
            let got = client.get(&file.path);
            assert_eq!(got.header("content-type"), kept, "{claimed}");
            let is_shown = got.header("content-disposition").starts_with("inline");
            assert_eq!(is_shown, is_picture, "{claimed}");
        }
    }
    // curl sends this type for any data.
    let url = format!("{}/files", site.url());
    let sent = curl(("body", PNG), &["--data-binary", "@body", &url]);
    let sent = sent.answer.json();
    assert_eq!(sent["content_type"], "image/png");
    assert_eq!(sent["metadata"], json!({ "claimed_content_type": FORM }));
}

#[test]
fn a_client_that_waits_for_100_gets_it_or_a_refusal_before_it_sends_the_body() {
    let site = Site::without_mongodb();
    let head = |length: u64| {
        format!(
            "PUT /files/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = site.connect();
    stream.write_all(head(5).as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    let file = Uploaded::read(&Answer::from_wire(&read_to_end(stream)).unwrap());
    assert!(site.client().get(&file.path).body == b"hello");

    // Four TiB, which is more than nginx is configured to take.
    let refusal = site.raw(head(4 << 40).as_bytes());
    refusal.assert_problem(413, "too-large");
    let sent = curl(
        ("body", &noise(1, 2_000_000)),
        &[
            "-H",
            "Expect: 100-continue",
            "-T",
            "body",
            &format!("{}/files/", site.url()),
        ],
    );
    assert_eq!(sent.answer.status, 201);
    assert_eq!(site.entries("incoming"), 2);
}

#[test]
fn above_the_high_water_mark_uploads_get_503_and_downloads_go_on() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = Builder::default()
        .set("journal_max_entries", 2)
        .start(&mongo);
    let client = site.client();
    let files = [1, 2].map(|seed| (noise(seed, 1000), client.upload(&noise(seed, 1000))));
    for upload in [
        client.post("/files", &[], b"x"),
        client.put("/files/a", b"x"),
    ] {
        upload.assert_problem(503, "journal-full");
        let pause: u32 = upload.header("retry-after").parse().unwrap();
        assert!(pause > 0);
    }
    for path in ["/readyz", "/healthz"] {
        let health = client.get(path);
        assert_eq!(
            (health.status, health.json()["journal"].as_str()),
            (503, Some("not writable"))
        );
    }
    assert_eq!(client.get("/healthz?for=read").status, 200);
    for (content, file) in &files {
        assert!(&client.get(&file.path).body == content);
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
    mongo.heal();
    wait_until("an upload is taken again", || {
        client.post("/files", &[], b"x").status == 201
    });
    site.wait_until_committed();
}

#[test]
fn a_body_that_has_not_the_digest_it_was_sent_with_is_refused_and_leaves_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let right = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    for name in ["Content-Digest", "Repr-Digest"] {
        let refused = client.post("/files", &[BINARY, (name, right)], b"hellO");
        refused.assert_problem(400, "digest-mismatch");
        let refused = client.post("/files", &[BINARY, (name, "sha-256=hello")], b"hello");
        refused.assert_problem(400, "bad-digest");
    }
    site.assert_nothing_is_kept("another digest");
    let taken = client.post("/files", &[BINARY, ("Content-Digest", right)], b"hello");
    assert_eq!(taken.status, 201);
}

#[test]
fn what_a_sender_says_of_a_file_is_kept_with_it() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let said = ("Upload-Metadata", "caption R3LDvMOfZQ==,$a.b Yw==,empty");
    let answer = site.client().post("/files", &[BINARY, said], b"hello");
    let file = Uploaded::read(&answer);
    assert_eq!(answer.json()["metadata"]["caption"], "Grüße");
    site.wait_until_committed();
    let stored = mongo.find("fs.files", doc! { "_id": object_id(&file.id) });
    let fields = stored[0].get_document("metadata").unwrap();
    let fields = fields.get_document("fields").unwrap();
    let expected = doc! { "$a.b": "c", "caption": "Grüße", "empty": "" };
    assert_eq!(*fields, expected);
    let refused = site
        .client()
        .post("/files", &[BINARY, ("Upload-Metadata", "a !")], b"hello");
    refused.assert_problem(400, "bad-metadata");
    let twice = [BINARY, ("Upload-Metadata", "a Yw==,b Yw==,a Yw==")];
    let refused = site.client().post("/files", &twice, b"hello");
    refused.assert_problem(400, "bad-metadata");
}
