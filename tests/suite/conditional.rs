//! Uploads to addresses of files, and conditions on requests that change something.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use kit::{Client, Routes, Site, Uploaded, noise, wait_until};
use mongodb::bson::doc;

use crate::refusal::{announce, spool_changed};

const EARLIER: (&str, &str) = ("If-Unmodified-Since", "Tue, 14 Nov 2023 22:13:20 GMT");
const NONE: (&str, &str) = ("If-None-Match", "*");
const SOME: (&str, &str) = ("If-Match", "*");
const OTHER: (&str, &str) = ("If-Match", "\"x\"");

/// Asserts that refused requests do not change a file.
fn assert_unchanged(client: &Client, file: &Uploaded) {
    let tag = ("If-Match", &*file.etag);
    let long = noise(1, 50_000);
    let named = format!("{}/name.txt", file.path);
    for path in [&file.path, &named] {
        for body in [&b"another"[..], &long] {
            for headers in [&[][..], &[tag], &[SOME]] {
                let answer = client.put_with(path, headers, body);
                answer.assert_problem(409, "exists");
            }
            for header in [NONE, OTHER, EARLIER] {
                let answer = client.put_with(path, &[header], body);
                answer.assert_problem(412, "precondition-failed");
            }
        }
        for header in [OTHER, EARLIER, NONE, ("If-None-Match", &*file.etag)] {
            let answer = client.ask("DELETE", path, &[header]);
            answer.assert_problem(412, "precondition-failed");
        }
    }
    for header in [SOME, OTHER] {
        for path in ["/files", "/files/"] {
            let answer = client.post(path, &[header], b"new");
            answer.assert_problem(412, "precondition-failed");
        }
    }
    assert!(client.get(&file.path).body == b"content");
    for header in [NONE, EARLIER, ("If-None-Match", "\"x\"")] {
        assert_eq!(client.post("/files", &[header], b"new").status, 201);
    }
}

/// Asserts that clients that are slow to take whole files delay only each other.
fn assert_few_go_past_the_cache(site: &Site, large: &Uploaded) {
    let version = large.etag.trim_matches('"');
    let ask = |range: &str| {
        let mut stream = UnixStream::connect(site.socket()).unwrap();
        let target = format!("/_gridspool/store/{}/{version}", large.id);
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{range}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        (String::from_utf8(begin.to_vec()).unwrap(), stream)
    };
    let status = |range| ask(range).0;
    let slow: Vec<_> = (0..8).map(|_| ask("")).collect();
    assert!(slow.iter().all(|(status, _)| status == "HTTP/1.1 200"));
    assert_eq!(status(""), "HTTP/1.1 503");
    assert_eq!(status("Range: bytes=0-9\r\n"), "HTTP/1.1 206");
    drop(slow);
    wait_until("they are gone", || status("") == "HTTP/1.1 200");
}

#[test]
fn what_would_change_a_file_or_fails_its_condition_is_refused_before_its_body() {
    let routes = Routes::start();
    let file = routes.site.client().upload(b"content");
    let slices = noise(2, 5_000_000);
    let large = routes.site.client().upload(&slices);
    routes.both(|client| {
        assert_unchanged(client, &file);
        // nginx itself would refuse this range, so the sidecar sends the whole file.
        let no_date = ("If-Unmodified-Since", "yesterday");
        for headers in [&[no_date][..], &[no_date, ("Range", "bytes=1-3")]] {
            let answer = client.get_with(&large.path, headers);
            assert_eq!(answer.status, 200, "{headers:?}");
            assert!(answer.body == slices, "{headers:?}");
        }
    });
    assert_few_go_past_the_cache(&routes.site, &large);
    let client = routes.site.client();
    let before = spool_changed(&routes.site);
    let target = format!("{}?a=b", file.path);
    let refused = announce(&routes.site, &target, &["Content-Length: 9"]);
    refused.assert_problem(405, "method-not-allowed");
    let headers = ["Content-Length: 9", "If-Match: \"x\""];
    let refused = announce(&routes.site, "/files", &headers);
    refused.assert_problem(412, "precondition-failed");
    assert_eq!(spool_changed(&routes.site), before);
    // A name that looks like an id, other names, and a key of another driver.
    let unknown = "/files/0123456789abcdef01234567";
    routes.mongo.insert(
        "fs.files",
        doc! { "_id": "report 7", "length": 0_i64, "chunkSize": 261_120 },
    );
    for (path, header, status) in [
        (unknown, None, 201),
        (unknown, Some(NONE), 201),
        (unknown, Some(SOME), 412),
        ("/files/a.txt", None, 201),
        ("/files/a.txt", Some(NONE), 201),
        ("/files/a.txt", Some(SOME), 412),
        ("/files/report%207", Some(NONE), 412),
        ("/files/report%207", Some(SOME), 409),
        ("/files/report%207", None, 201),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        let answer = client.put_with(path, &headers, b"new");
        assert_eq!(answer.status, status, "{path} {header:?}: {answer:?}");
    }
    let absent = client.ask("DELETE", unknown, &[SOME]);
    absent.assert_problem(404, "not-found");
    let tag = ("If-Match", &*file.etag);
    assert_eq!(client.ask("DELETE", &file.path, &[tag]).status, 204);
    client.get(&file.path).assert_problem(404, "not-found");
}
