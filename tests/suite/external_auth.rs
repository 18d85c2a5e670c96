//! A site with a program of its own that decides on access.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use kit::{Builder, Site, SmallDisk, Uploaded, curl, noise, wait_until};

use crate::refusal::{announce, spool_changed};

/// A site's own checker: admits queries with `friend`; answers 403 for `enemy`, else 401.
fn own_checker() -> u16 {
    checker(|target| match target {
        target if target.ends_with("?friend") => "204 No Content",
        target if target.ends_with("?enemy") => "403 Forbidden",
        _ => "401 Unauthorized",
    })
}

/// A checker that answers with a redirect.
fn broken_checker() -> u16 {
    checker(|_| "500 Internal Server Error")
}

fn checker(judge: fn(&str) -> &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.lines().find(|line| line.starts_with("X-Original-URI"));
            let status = judge(target.unwrap_or_default());
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap_or_default();
        }
    });
    port
}

#[test]
fn a_sites_own_check_stands_before_every_request_and_every_body() {
    let site = Site::with_own_check(own_checker());
    let client = site.client();
    let file = Uploaded::read(&client.post("/files?friend", &[], b"content"));
    let friendly = format!("{}?friend", file.path);
    assert!(client.get(&friendly).body == b"content");
    let before = spool_changed(&site);
    for (query, status, code) in [("", 401, "unauthorized"), ("?enemy", 403, "forbidden")] {
        for method in ["GET", "DELETE", "PATCH", "PUT"] {
            let path = format!("{}{query}", file.path);
            client.ask(method, &path, &[]).assert_problem(status, code);
        }
        for target in ["/files", "/files/", "/files/a"] {
            let target = format!("{target}{query}");
            announce(&site, &target, &["Content-Length: 9"]).assert_problem(status, code);
        }
    }
    // nginx would read this as another address, and the sidecar as a file.
    for health in ["healthz", "readyz"] {
        for method in ["GET", "DELETE"] {
            let path = format!("{}/..%2F..%2F{health}", file.path);
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = site.raw(request.as_bytes());
            let body = String::from_utf8_lossy(&answer.body);
            assert!(answer.status != 204 && !body.contains("content"), "{path}");
        }
    }
    assert_eq!(spool_changed(&site), before);
    assert_one_meaning(&site, &file);
    assert_eq!(client.delete(&friendly).status, 204);
}

/// Paths that mean this file if dot segments are kept, and `MINE` if they are resolved, or the other
/// way round.
const AMBIGUOUS: [&str; 24] = [
    "/files/ID/../MINE",
    "/files/ID/./MINE",
    "/files/ID/x/../../MINE",
    "/files/MINE/../ID",
    "/x/../files/ID",
    "/files/ID/%2e%2e/MINE",
    "/files/ID/.%2E/MINE",
    "/files/ID%2F..%2FMINE",
    "/files/ID/..%2fMINE",
    "/files/ID%2fMINE",
    "/files/ID/..%5CMINE",
    "/files/ID/..\\MINE",
    "/files/ID\\..\\MINE",
    "/files/ID/..;/MINE",
    "/files/ID/..;a=b/MINE",
    "/files/ID;/../MINE",
    "/files//ID",
    "//files/ID",
    "/files/ID//MINE",
    "/files/ID%00/MINE",
    "/files/ID/%c0%ae%c0%ae/MINE",
    "/files/ID#/../MINE",
    "http://a/files/ID/../MINE",
    "http://a//files/ID",
];

/// Asserts that a request is refused if a check could read it as another file than the sidecar does.
fn assert_one_meaning(site: &Site, file: &Uploaded) {
    let kept = site.entries("incoming");
    let long = noise(1, 50_000);
    let mut refused = Vec::new();
    for path in AMBIGUOUS {
        let path = path.replace("ID", &file.id);
        let requests = [
            ("GET", "", &b""[..]),
            ("HEAD", "", b""),
            ("DELETE", "", b""),
            ("GET", "/meta", b""),
            ("PUT", "", b"small"),
            ("PUT", "", &long),
        ];
        for (method, rest, body) in requests {
            let head = format!(
                "{method} {path}{rest}?friend HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            let answer = site.raw(&[head.as_bytes(), body].concat());
            assert_eq!(answer.status, 400, "{method} {path}{rest}: {answer:?}");
            if method != "HEAD" {
                assert_eq!(answer.json()["status"], 400, "{method} {path}{rest}");
            }
        }
        // nginx cannot read this, so it has no address to report.
        if !path.contains("%00") {
            let shown = path.strip_prefix("http://a").unwrap_or(&path);
            refused.push(format!(
                "\"DELETE {} HTTP/1.1\" 400 ",
                shown.replace('\\', "\\x5C")
            ));
        }
    }
    wait_until("the log tells what was asked", || {
        let told = site.access_log();
        refused.iter().all(|line| told.contains(line))
    });
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), kept);
    // Characters that are encoded twice are part of a name.
    let named = format!("{}/%252e%252e/MINE?friend", file.path);
    assert!(site.client().get(&named).body == b"content");
    for method in ["GET", "DELETE", "PUT"] {
        let url = format!("{}/files/{}/%2e%2e/MINE?friend", site.https_url(), file.id);
        let options = ["--http2", "--path-as-is", "-X", method, &url];
        let sent = curl(("body", b""), &options);
        assert_eq!((sent.answer.status, &*sent.version), (400, "2"), "{method}");
    }
}

#[test]
fn a_sites_own_check_that_does_not_answer_is_no_full_disk() {
    // First nothing answers there, then a program that only answers errors.
    for site in [
        Site::with_own_check(1),
        Site::with_own_check(broken_checker()),
    ] {
        let client = site.client();
        let before = spool_changed(&site);
        let headers = ["Content-Length: 50000"];
        announce(&site, "/files", &headers).assert_problem(503, "unavailable");
        for answer in [
            client.post("/files", &[], b"small"),
            client.post("/files", &[], &noise(1, 50_000)),
            client.get("/files/a"),
        ] {
            answer.assert_problem(503, "unavailable");
        }
        assert_eq!(spool_changed(&site), before);
    }
}

#[test]
fn a_body_that_does_not_fit_is_refused_for_that_behind_a_sites_own_check() {
    let mut site = Builder::default()
        .set("min_free_bytes", 0)
        .set("min_free_inodes", 0)
        .start_without_mongodb();
    let room = SmallDisk::below(&mut site, "a full disk behind an own check", "size=60m");
    let Some(disk) = room else {
        return;
    };
    site.put_own_check(own_checker());
    let answer = site
        .client()
        .post("/files?friend", &[], &noise(2, 40_000_000));
    answer.assert_problem(507, "no-space");
    wait_until("the spool is empty", || site.names("spool").is_empty());
    disk.wait_until_free(1_000_000);
    let answer = site.client().post("/files?friend", &[], b"small");
    assert_eq!(answer.status, 201, "{answer:?}");
}
