//! Refusals before the body: their status, and that nothing of the body is read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;

use kit::{Answer, Builder, Keys, Site, curl, noise, wait_until};

/// No MongoDB answers there.
pub(crate) const NOWHERE: &str = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500";

/// The time of the last change in the spool directory. nginx removes a spool file just after the
/// answer.
pub(crate) fn spool_changed(site: &Site) -> (i64, i64) {
    wait_until("the spool is empty", || site.names("spool").is_empty());
    let found = std::fs::metadata(site.data_dir().join("spool")).unwrap();
    (found.mtime(), found.mtime_nsec())
}

/// Sends the head of an upload that waits for `100 Continue`, and reads the answer. It does not wait
/// until nginx, which lingers for the body, has closed.
pub(crate) fn announce(site: &Site, target: &str, headers: &[&str]) -> Answer {
    let mut stream = site.connect();
    let lines = headers.join("\r\n");
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{lines}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut wire = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        wire.push(byte[0]);
        assert!(
            !wire.starts_with(b"HTTP/1.1 1"),
            "an interim answer: {headers:?}"
        );
        let Some(answer) = Answer::from_wire(&wire) else {
            continue;
        };
        if answer.header("content-length") == answer.body.len().to_string() {
            return answer;
        }
    }
}

#[test]
fn what_the_head_tells_is_refused_before_a_byte_of_the_body_is_taken() {
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .set("max_body_bytes", 5_000_000_000_u64)
        .start_with_uri(NOWHERE);
    let before = spool_changed(&site);
    let token = |options: &[&str]| format!("Authorization: {}", keys.bearer(options));
    let plain = token(&["--scope", "upload"]);
    let small = token(&["--scope", "upload", "--max-bytes", "999"]);
    let pictures = token(&["--scope", "upload", "--type", "image/*"]);
    let of_file = token(&["--scope", "upload download", "--file", "a"]);
    let (known, chunked) = ("Content-Length: 1000", "Transfer-Encoding: chunked");
    for (status, code, heads) in [
        (
            401,
            "unauthorized",
            vec![
                vec![known],
                vec![chunked],
                vec![known, "Authorization: Bearer x"],
            ],
        ),
        (403, "insufficient-scope", vec![vec![known, &of_file]]),
        (
            413,
            "too-large",
            vec![vec!["Content-Length: 5000000001", &plain]],
        ),
        (413, "larger-than-allowed", vec![vec![known, &small]]),
        (411, "length-required", vec![vec![chunked, &small]]),
        (
            400,
            "bad-form",
            vec![vec![known, &plain, "Content-Type: multipart/form-data"]],
        ),
        (
            415,
            "type-not-allowed",
            vec![vec![known, &pictures, "Content-Type: text/html"]],
        ),
        (
            415,
            "content-coding-not-taken",
            vec![vec![known, &plain, "Content-Encoding: gzip"]],
        ),
        (
            400,
            "not-a-whole-file",
            vec![
                vec![known, &plain, "Content-Range: bytes 3-5/6"],
                vec![known, &plain, "X-HTTP-Method-Override: PATCH"],
                vec![chunked, &plain, "Tus-Resumable: 1.0.0"],
            ],
        ),
    ] {
        for head in heads {
            let answer = announce(&site, "/files", &head);
            answer.assert_problem(status, code);
            assert_eq!(answer.header("connection"), "close");
            let is_challenged = !answer.header("www-authenticate").is_empty();
            assert_eq!(is_challenged, [401, 403].contains(&status));
            let is_of_coding = answer.header("accept-encoding") == "identity";
            assert_eq!(is_of_coding, code == "content-coding-not-taken");
        }
    }
    let none = keys.token(&["--scope", "download delete"]);
    announce(
        &site,
        &format!("/files?token={none}"),
        &["Content-Length: 9"],
    )
    .assert_problem(403, "insufficient-scope");
    let refused_requests = || {
        let refused = &site.status()["uploads"]["refused"];
        refused["request"].as_u64().unwrap()
    };
    let counted = refused_requests();
    announce(&site, "/files/a/../b", &["Content-Length: 9", &plain])
        .assert_problem(400, "ambiguous-path");
    let small = "PUT /files/a/../b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1";
    site.raw(format!("{small}\r\n\r\nx").as_bytes())
        .assert_problem(400, "ambiguous-path");
    assert_eq!(refused_requests(), counted + 2);
    announce(
        &site,
        &format!("/files?token={none}"),
        &["Content-Length: 9", &plain],
    )
    .assert_problem(400, "many-tokens");
    assert_eq!(spool_changed(&site), before);
}

#[test]
fn a_refused_upload_of_a_gibibyte_is_answered_at_once() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_with_uri(NOWHERE);
    let before = spool_changed(&site);
    let mut stream = site.connect();
    stream
        .write_all(b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n")
        .unwrap();
    // Only the first bytes of the body: if nginx waited for more, no answer would come.
    stream.write_all(&noise(1, 65_536)).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    assert_eq!(spool_changed(&site), before);
    drop(stream);
    let sent = curl(
        ("body", &noise(1, 3_000_000)),
        &[
            "--http2",
            "-T",
            "body",
            &format!("{}/files/", site.https_url()),
        ],
    );
    sent.answer.assert_problem(401, "unauthorized");
    assert_eq!(site.names("spool"), Vec::<String>::new());
}

/// Takes up all connections of nginx, with heads that never end.
fn hold_all_connections(site: &Site) -> Vec<TcpStream> {
    let mut held = Vec::new();
    wait_until("nginx has no connection left", || {
        let mut stream = site.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
        held.push(stream);
        let log = std::fs::read_to_string(site.run_dir().join("error.log")).unwrap();
        // nginx first closes idle connections.
        let mut lines = log.lines();
        lines.any(|line| line.contains("are not enough") && !line.contains("reusing"))
    });
    held
}

#[test]
fn a_sidecar_that_does_not_answer_is_no_full_disk_nor_is_an_nginx_without_connections() {
    let mut site = Site::without_mongodb();
    site.change_nginx(&[
        ("nginx.conf", "worker_processes auto", "worker_processes 1"),
        (
            "nginx.conf",
            "worker_connections 8192",
            "worker_connections 40",
        ),
        // A kept connection would work.
        ("gridspool.conf", "  keepalive 128;\n", ""),
    ]);
    let half = site.half_upload(&noise(1, 200_000));
    let held = hold_all_connections(&site);
    let answer = Answer::from_wire(half.finish().unwrap().as_bytes()).unwrap();
    answer.assert_problem(503, "unavailable");
    drop(held);
    assert_eq!(site.entries("incoming"), 0);
    site.kill_sidecar();
    let before = spool_changed(&site);
    let answer = announce(&site, "/files", &["Content-Length: 9"]);
    answer.assert_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(spool_changed(&site), before);
    site.client()
        .get("/files/a")
        .assert_problem(503, "unavailable");
}

#[test]
fn what_is_known_only_after_the_body_is_refused_then_and_leaves_nothing() {
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .set("max_body_bytes", 1000)
        .start_with_uri(NOWHERE);
    let client = site.client();
    let small = keys.token(&["--scope", "upload", "--max-bytes", "9"]);
    let long = client.post_chunked(&format!("/files?token={small}"), b"1234567890");
    long.assert_problem(411, "length-required");
    let plain = keys.token(&["--scope", "upload"]);
    let longer = client.post_chunked(&format!("/files?token={plain}"), &noise(1, 1001));
    longer.assert_problem(413, "too-large");
    let pictures = keys.bearer(&["--scope", "upload", "--type", "image/*"]);
    let send = |claimed: &str, body: &[u8]| {
        let headers = [
            ("Authorization", pictures.as_str()),
            ("Content-Type", claimed),
        ];
        client.post("/files", &headers, body)
    };
    for content in [
        &b"<!DOCTYPE html><html>"[..],
        b"%PDF-1.7",
        b"plain",
        b"PK\x03\x04",
    ] {
        send("image/png", content).assert_problem(415, "type-not-allowed");
    }
    // Without a claim, the file gets the type that its bytes show.
    let bare = [("Authorization", pictures.as_str())];
    client
        .put_with("/files/a", &bare, b"plain")
        .assert_problem(415, "type-not-allowed");
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.names("journal/body"), Vec::<String>::new());
    // A type that says nothing, or is invalid, does not evade the check.
    for claimed in [
        "image/png;,text/html",
        "image",
        "image/*",
        "application/octet-stream",
    ] {
        send(claimed, b"<!DOCTYPE html><html>").assert_problem(415, "type-not-allowed");
    }
    assert_eq!(site.names("journal/body"), Vec::<String>::new());
    for claimed in ["image/png", "image", "application/octet-stream"] {
        let taken = send(claimed, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
        assert_eq!(taken.status, 201, "{claimed}");
        assert_eq!(taken.json()["content_type"], "image/png");
    }
    // An empty file shows no type: it gets the claimed one, in a form and by itself.
    for (claimed, status) in [("image/png", 201), ("text/html", 415)] {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\
             Content-Type: {claimed}\r\n\r\n\r\n--b--\r\n"
        );
        let form = send("multipart/form-data; boundary=b", form.as_bytes());
        let alone = send(claimed, b"");
        assert_eq!([form.status, alone.status], [status; 2], "{claimed}");
    }
}

#[test]
fn a_long_body_that_nobody_wants_is_never_spooled() {
    let site = Site::without_mongodb();
    let file = site.client().upload(b"content");
    wait_until("the spool is empty", || site.names("spool").is_empty());
    let before = spool_changed(&site);
    let long = noise(1, 20_000);
    for method in ["GET", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
            file.path
        );
        let (status, code) = match method {
            "PATCH" | "PROPFIND" => (405, "method-not-allowed"),
            _ => (413, "too-large"),
        };
        let with_length = format!("{head}Content-Length: 20000\r\n\r\n");
        let refused = site.raw(&[with_length.as_bytes(), &long].concat());
        refused.assert_problem(status, code);
        let allow = refused.header("allow");
        assert_eq!(!allow.is_empty(), status == 405, "{method}: {allow}");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n4e20\r\n");
        let refused = site.raw(&[chunked.as_bytes(), &long, b"\r\n0\r\n\r\n"].concat());
        refused.assert_problem(status, code);
        let endless = format!("{head}Content-Length: 17179869185\r\n\r\n");
        site.head_alone(endless.as_bytes())
            .assert_problem(status, code);
    }
    assert_eq!(spool_changed(&site), before);
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
        file.path
    );
    let small = site.raw(format!("{head}Content-Length: 4\r\n\r\nbody").as_bytes());
    assert!(small.status == 200 && small.body == b"content");
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn a_head_that_cannot_be_read_gets_a_problem_too() {
    let site = Site::without_mongodb();
    let long = "a".repeat(9000);
    for (head, status, code) in [
        ("\u{1}\u{2}\r\n\r\n".to_owned(), 400, "bad-request"),
        ("GET /files HTTP/1.1\r\n\r\n".to_owned(), 400, "bad-request"),
        (
            format!("GET /files HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n"),
            400,
            "bad-request",
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            414,
            "uri-too-long",
        ),
        (
            "POST /files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n".to_owned(),
            501,
            "not-implemented",
        ),
        (
            "GET /files HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(),
            505,
            "version-not-supported",
        ),
    ] {
        site.raw(head.as_bytes()).assert_problem(status, code);
    }
}
