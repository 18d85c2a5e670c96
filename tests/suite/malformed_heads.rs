//! Heads that nginx passes on and the sidecar cannot read: their senders get an ordinary answer, and no
//! other request suffers.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use kit::{Answer, Builder, Cluster, Site, curl, noise, read_to_end, wait_until};

/// Malformed heads: bytes behind the address, header lines, and the expected answer.
fn flaws() -> Vec<(&'static [u8], Vec<u8>, u16, &'static str)> {
    let controls = (1..=31).filter(|byte| !b"\t\n\r".contains(byte));
    let mut flaws: Vec<_> = controls
        .chain([127])
        .map(|control| vec![b'X', b':', b' ', b'a', control, b'b', b'\r', b'\n'])
        .map(|line| (&b""[..], line, 400, "bad-request"))
        .collect();
    for line in [
        &b"Content-Type: a/b\x08\r\n"[..],
        b"If-Range: \x1b\r\n",
        b"Idempotency-Key: \x01\r\n",
    ] {
        flaws.push((b"", line.to_vec(), 400, "bad-request"));
    }
    for address in [&b"?\xff"[..], b"?\xc3\xa9", b"?<"] {
        flaws.push((address, Vec::new(), 400, "bad-request"));
    }
    flaws.push((b"", b"X: y\r\n".repeat(200), 431, "too-many-fields"));
    flaws
}

/// A request for each route, with the length of its body.
fn routes(file: &str) -> Vec<(&'static str, String, usize)> {
    let id = file.rsplit('/').next().unwrap();
    let plain = |method, path: &str| (method, path.to_owned(), 0);
    let upload = |method, path: &str, length| (method, path.to_owned(), length);
    vec![
        plain("GET", file),
        plain("HEAD", file),
        plain("DELETE", file),
        plain("PATCH", file),
        plain("GET", &format!("{file}/meta")),
        plain("GET", &format!("/_gridspool/hop/files/{id}")),
        plain("GET", "/healthz"),
        plain("GET", "/readyz"),
        upload("POST", "/files", 5),
        upload("PUT", "/files/a", 31_999),
        upload("POST", "/files", 40_000),
        upload("PUT", "/files/a", 40_000),
    ]
}

/// Asserts that this is a problem in the common form, by nginx or by the sidecar.
fn assert_problem(answer: &Answer, method: &str, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, "application/problem+json", "{what}");
    if method == "HEAD" {
        assert_eq!(answer.body, b"", "{what}");
    } else {
        let json = answer.json();
        let told = format!("urn:gridspool:problem:{code}");
        assert_eq!(
            (&json["type"], &json["status"]),
            (&told.into(), &status.into())
        );
    }
}

#[test]
fn a_head_that_only_nginx_can_read_is_a_problem_on_every_route_and_harms_no_other_request() {
    let site = Site::without_mongodb();
    let client = site.client();
    let file = client.upload(b"content");
    let mut files = 1;
    for (address, lines, status, code) in flaws() {
        for (method, path, length) in routes(&file.path) {
            let what = format!(
                "{method} {path} {length}: {address:?} {:?}",
                &lines[..lines.len().min(20)]
            );
            let head = format!("{method} {path}");
            let rest = format!(
                " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n"
            );
            let request = [head.as_bytes(), address, rest.as_bytes(), &lines, b"\r\n"].concat();
            let answer = site.raw(&[&request[..], &noise(7, length)].concat());
            assert_problem(&answer, method, status, code, &what);
            // The answer comes at once, on the connection that nginx would use.
            let next = client.post("/files", &[], b"next");
            assert_eq!(next.status, 201, "{what}: {next:?}");
            files += 1;
        }
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), files);
    assert!(client.get(&file.path).body == b"content");
    assert!(!site.log().contains("panicked"));
}

#[test]
fn the_sidecar_says_that_it_closes_the_connection_of_a_head_that_it_cannot_read() {
    let site = Site::without_mongodb();
    let many = "X: y\r\n".repeat(200);
    for (lines, status) in [("X: \u{1}\r\n", 400), (&many, 431)] {
        let mut stream = UnixStream::connect(site.socket()).unwrap();
        // A connection that has served a request before, like nginx's kept ones.
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let request = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let wire = read_to_end(stream);
        let second = wire.windows(9).position(|bytes| bytes == b"HTTP/1.1 ");
        let answer = Answer::from_wire(&wire[second.unwrap()..]).unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(answer.json()["status"], status);
    }
}

/// Failing requests, which clients can send as often as they like.
fn nuisances() -> Vec<Vec<u8>> {
    let plain = |line: &str, rest: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{rest}");
        head.into_bytes()
    };
    let file = "/files/aaaaaaaaaaaaaaaaaaaaaaaa";
    let form = "Content-Type: multipart/form-data; boundary=b\r\nContent-Length:";
    let parts = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n".repeat(1025);
    vec![
        plain(&format!("GET {file}"), "X: \u{1}\r\n\r\n"),
        plain(&format!("GET {file}"), &("X: y\r\n".repeat(200) + "\r\n")),
        plain(&format!("GET {file}"), "\r\n"),
        plain(&format!("DELETE {file}"), "\r\n"),
        plain(
            &format!("GET /_gridspool/hop{file}"),
            "X-Gridspool-Pass: a\r\n\r\n",
        ),
        plain("POST /files", &format!("{form} 4\r\n\r\nform")),
        plain(
            "POST /files",
            &format!("{form} {}\r\n\r\n{parts}", parts.len()),
        ),
        plain("POST /files", "Content-Length: 500\r\n\r\nhalf"),
        plain("POST /files", "Content-Length: 5000000\r\n\r\nhalf"),
        plain(
            "PUT /files/a",
            "Repr-Digest: sha-256=:AAAA:\r\nContent-Length: 1\r\n\r\na",
        ),
    ]
}

#[test]
fn no_client_can_flood_the_log() {
    // Without a store every search for a file fails; and there is room for only one upload.
    let site = Builder::default()
        .set("log", "info,mongodb=warn,actix_server=warn,actix_http=off")
        .set("journal_max_entries", 1)
        .start_without_mongodb();
    let client = site.client();
    let begun = Instant::now();
    client.upload(b"all that there is room for");
    for _ in 0..10 {
        for nuisance in nuisances() {
            let mut stream = site.connect();
            // The refusal may come, and the connection end, before everything is sent.
            stream.write_all(&nuisance).unwrap_or_default();
            if !nuisance.ends_with(b"half") {
                let answer = read_to_end(stream);
                assert!(answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"));
            }
        }
        assert_eq!(client.post("/files", &[], b"more").status, 503);
    }
    let count = |word: &str| site.log().matches(word).count();
    let [warnings, errors] = ["WARN", "ERROR"].map(count);
    let refusals = count("an upload was refused");
    // The lines of the start, one for the silent store, and each minute one for each kind of refusal.
    let minutes = 1 + usize::try_from(begun.elapsed().as_secs() / 60).unwrap();
    let is_quiet = warnings <= 6 * minutes && (1..=minutes).contains(&refusals);
    let lines = site.log().lines().count();
    assert!(is_quiet && errors <= minutes, "{}", site.log());
    assert!(lines < 30 * minutes, "{}", site.log());
}

#[test]
fn the_same_heads_by_http_2_are_problems_and_leave_the_connection_to_the_next_request() {
    let site = Site::without_mongodb();
    let file = site.client().upload(b"content");
    let files = format!("{}/files", site.https_url());
    let file = format!("{}{}", site.https_url(), file.path);
    let many: Vec<_> = (0..200)
        .flat_map(|n| ["-H".to_owned(), format!("X{n}: y")])
        .collect();
    let control = ["-H".to_owned(), "X: a\u{1}b".to_owned()];
    for (lines, status) in [(&control[..], 400), (&many, 431)] {
        for (length, send) in [
            (0, vec![&*file]),
            (0, vec!["-X", "DELETE", &file]),
            (1_000, vec!["--data-binary", "@body", &files]),
            (40_000, vec!["--data-binary", "@body", &files]),
            (40_000, vec!["-T", "body", &format!("{files}/a")]),
        ] {
            let lines = lines.iter().map(String::as_str);
            let arguments: Vec<_> = ["--http2"].into_iter().chain(lines).chain(send).collect();
            let body = noise(1, length);
            let fetched = curl(("body", &body), &arguments);
            assert_eq!(fetched.version, "2");
            let code = if status == 400 {
                "bad-request"
            } else {
                "too-many-fields"
            };
            assert_problem(
                &fetched.answer,
                "GET",
                status,
                code,
                &format!("{arguments:?}"),
            );
            let next = curl(("body", b""), &["--http2", &file]);
            assert_eq!(next.answer.body, b"content");
        }
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), 1);
}

#[test]
fn a_head_that_grows_too_long_on_its_way_to_another_node_is_a_problem_and_harms_no_other_request() {
    let cluster = Cluster::start_without_mongodb(2, &Builder::default());
    let [owner, asked] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let file = owner.client().upload(b"content");
    let mut told = BTreeSet::new();
    for fields in 80..100 {
        for path in [&file.path, &format!("{}/meta", file.path)] {
            let lines = "X: y\r\n".repeat(fields);
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
            let answer = asked.raw(head.as_bytes());
            told.insert(answer.status);
            if answer.status != 200 {
                assert_problem(&answer, "GET", 431, "too-many-fields", &format!("{fields}"));
            }
            assert_eq!(asked.client().get(&file.path).body, b"content");
        }
    }
    assert_eq!(told, BTreeSet::from([200, 431]));
    for line in ["X: a\u{1}b\r\n", "If-Range: \u{1b}\r\n"] {
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}\r\n",
            file.path
        );
        let answer = asked.raw(head.as_bytes());
        assert_problem(&answer, "GET", 400, "bad-request", line);
        assert_eq!(asked.client().get(&file.path).body, b"content");
    }
}
