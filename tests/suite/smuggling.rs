//! Requests that two servers could read in two ways. The request after each must be served once or
//! never: nginx and sidecar agree on the end of every request.

use std::process::Command;

use kit::{Answer, Site, noise, wait_until};

/// The length of an inline body, and that of a spooled one.
const LENGTHS: [usize; 2] = [5, 40_000];

/// The bytes behind each request on its connection. A server that reads them as a request makes a file.
const NEXT: &[u8] = b"PUT /files/next HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\
                      Connection: close\r\n\r\nx";

/// The statuses on the connection, and the request. `|` ends a line, `{n}` is the length of the body
/// `{d}`, and `{x}` the same length in hexadecimal digits.
const SHAPES: &str = r"
# Both lengths; more than one; what is no number.
400 POST /files HTTP/1.1|Host: a|Content-Length: {n}|Transfer-Encoding: chunked||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked|Content-Length: {n}||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Content-Length: {n}|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: 0|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: {n}, {n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: {n} {n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: +{n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: -{n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: 0x{x}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: {n}.0||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: {n}e0||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: 9999999999999999999{n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length: 18446744073709551616||
400 POST /files HTTP/1.1|Host: a|Content-Length:||
400 POST /files HTTP/1.1|Host: a|Content-Length: \t{n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Content-Length: 000{n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Content-Length:   {n}  ||{d}
201,201 POST /files HTTP/1.1|Host: a||
# Names that are almost right.
400 POST /files HTTP/1.1|Host: a|Content-Length : {n}||{d}
400 POST /files HTTP/1.1|Host: a| Content-Length: {n}||{d}
400 POST /files HTTP/1.1| Content-Length: {n}|Host: a||{d}
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding : chunked||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding : chunked|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Content_Length: 9|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Transfer_Encoding: chunked|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding(): chunked|Content-Length: {n}||{d}
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|: chunked|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|no colon|Content-Length: {n}||{d}
# Values that go on in the next line.
400 POST /files HTTP/1.1|Host: a|X: b| Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|Content-Length:| {n}||{d}
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding:| chunked||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding:|\tchunked||{x}|{d}|0||
# Other codings, and the one we know in other words.
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}|{d}|0||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: CHUNKED||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: Chunked|Transfer-Encoding: Chunked||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: identity||{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: identity|Transfer-Encoding: chunked||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked, chunked||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked, identity||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: identity||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: identity|Content-Length: {n}||{d}
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: xchunked||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: xchunked|Content-Length: {n}||{d}
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: 'chunked'||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked;a=b||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding: \vchunked||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding:||{x}|{d}|0||
501 POST /files HTTP/1.1|Host: a|Transfer-Encoding:|Content-Length: {n}||{d}
400 POST /files HTTP/1.0|Host: a|Transfer-Encoding: chunked||{x}|{d}|0||
400 POST /files HTTP/1.0|Host: a|Transfer-Encoding: chunked|Content-Length: {n}||{d}
201 POST /files HTTP/1.0|Host: a|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.0|Content-Length: {n}|Connection: keep-alive||{d}
# Chunks.
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x};a=b;c='d'|{d}|0;e||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x};a\nb|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x};a\rb|{d}|0||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}\n{d}\n0\n\n
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}\r{d}\r0\r\r
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x} |{d}|0||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||000{x}|{d}|000||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked|| {x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||0x{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||+{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||-{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}_0|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||1000000000000000{x}|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||7fffffffffffffff|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}|{d}y|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||g|{d}|0||
400 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked|||{d}|0||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||0||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}|{d}|0|Content-Length: 9||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}|{d}|0|PUT /files/b HTTP/1.1||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||{x}|{d}|0|a: b\n\n
# Ends of lines, and controls.
201,201 POST /files HTTP/1.1\nHost: a\nContent-Length: {n}\n\n{d}
400 POST /files HTTP/1.1|Host: a\nX: a\nTransfer-Encoding: chunked\nContent-Length: {n}\n\n{d}
400 POST /files HTTP/1.1|Host: a\rContent-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|X: a\rb|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|X: a\r\rb|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|X\0: b|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|X: a\0b|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|X\v: b|Content-Length: {n}||{d}
400 POST /files\0 HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 POST /files\v HTTP/1.1|Host: a|Content-Length: {n}||{d}
# Lines of requests.
201,201 POST http://a/files HTTP/1.1|Host: a|Content-Length: {n}||{d}
201,201 POST http://evil/files HTTP/1.1|Host: a|Content-Length: {n}||{d}
404,201 POST http://a/_gridspool/admission HTTP/1.1|Host: a|Content-Length: {n}||{d}
404,201 POST //a/files HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 POST files HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 POST /files?a HTTP/1.1 HTTP/1.1|Host: a|Content-Length: {n}||{d}
201,201 POST  /files HTTP/1.1|Host: a|Content-Length: {n}||{d}
201,201 |POST /files HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 POST\t/files HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 POST /files\tHTTP/1.1|Host: a|Content-Length: {n}||{d}
400 post /files HTTP/1.1|Host: a|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.9|Host: a|Content-Length: {n}||{d}
505 POST /files HTTP/2.0|Host: a|Content-Length: {n}||{d}
400 OPTIONS * HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 CONNECT a:80 HTTP/1.1|Host: a|Content-Length: {n}||{d}
400 PRI * HTTP/2.0||SM||
# Hosts.
400 POST /files HTTP/1.1|Host: a|Host: a|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a|Host: b|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a/b@c|Content-Length: {n}||{d}
400 POST /files HTTP/1.1|Host: a b|Content-Length: {n}||{d}
# Headers of the connection.
201,201 POST /files HTTP/1.1|Host: a|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Connection: Upgrade|Upgrade: websocket|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Connection: Content-Length, X-Gridspool-Body-File|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Expect: 100-continue|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|Expect: 100-continue|Transfer-Encoding: chunked||{x}|{d}|0||
201,201 POST /files HTTP/1.1|Host: a|Expect: 200-ok|Content-Length: {n}||{d}
201,201 POST /files HTTP/1.1|Host: a|TE: trailers|Trailer: Content-Length|Content-Length: {n}||{d}
# A request in a body, and bodies where none belongs.
201,201 POST /files HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
201,201 POST /files HTTP/1.1|Host: a|Transfer-Encoding: chunked||35|PUT /files/b HTTP/1.1|Host: a|Content-Length: 0|||0||
503,201 GET /files/a HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
503,201 GET /files/a HTTP/1.1|Host: a|Transfer-Encoding: chunked||35|PUT /files/b HTTP/1.1|Host: a|Content-Length: 0|||0||
503,201 DELETE /files/a HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
405,201 PATCH /files/a HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
204,201 OPTIONS /files HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
405 TRACE /files/a HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
200,201 GET /healthz HTTP/1.1|Host: a|Content-Length: 53||PUT /files/b HTTP/1.1|Host: a|Content-Length: 0||
200,201 GET /healthz HTTP/1.1|Host: a|Transfer-Encoding: chunked||35|PUT /files/b HTTP/1.1|Host: a|Content-Length: 0|||0||
413 GET /files/a HTTP/1.1|Host: a|Content-Length: 40000||
413 DELETE /files/a HTTP/1.1|Host: a|Content-Length: 40000||
";

/// The bytes of a shape with a body of this length.
fn request(shape: &str, length: usize) -> Vec<u8> {
    let text = shape
        .replace('|', "\r\n")
        .replace(r"\r", "\r")
        .replace(r"\n", "\n")
        .replace(r"\t", "\t")
        .replace(r"\v", "\u{b}")
        .replace(r"\0", "\0")
        .replace("{n}", &length.to_string())
        .replace("{x}", &format!("{length:x}"));
    match text.split_once("{d}") {
        Some((before, after)) => [before.as_bytes(), &noise(7, length), after.as_bytes()].concat(),
        None => text.into_bytes(),
    }
}

/// All answers on a connection.
fn answers_on(mut wire: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(mut answer) = Answer::from_wire(wire) {
        let told = answer.header("content-length").parse();
        let rest = answer.body.split_off(told.unwrap_or(0));
        wire = &wire[wire.len() - rest.len()..];
        // An interim answer does not count.
        if answer.status != 100 {
            answers.push(answer);
        }
    }
    assert!(wire.is_empty(), "{:?}", String::from_utf8_lossy(wire));
    answers
}

/// Asserts that no body is on its way any more, and that there are this many files.
fn assert_kept(site: &Site, files: u64, what: &str) {
    wait_until(what, || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), files, "{what}");
}

#[test]
fn every_request_ends_where_nginx_and_sidecar_both_say_and_what_is_unclear_is_refused() {
    let site = Site::without_mongodb();
    let mut files = 0;
    let lines = SHAPES.lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (statuses, shape) = line.split_once(' ').unwrap();
        let lengths = if shape.contains("{d}") { 2 } else { 1 };
        for length in LENGTHS.into_iter().take(lengths) {
            let wire = site.wire(&[&request(shape, length), NEXT].concat());
            let answers = answers_on(&wire);
            let told: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            let wanted: Vec<u16> = statuses
                .split(',')
                .map(|one| one.parse().unwrap())
                .collect();
            assert_eq!(told, wanted, "{line} with {length}: {answers:?}");
            // An address that is not below /files belongs to another part of the site.
            let refusals = answers.iter().filter(|answer| answer.status >= 400);
            for answer in refusals.filter(|answer| answer.status != 404) {
                assert_eq!(answer.json()["status"], answer.status, "{line}");
                let kind = answer.header("content-type");
                assert_eq!(kind, "application/problem+json", "{line}");
            }
            files += told
                .iter()
                .map(|status| u64::from(*status == 201))
                .sum::<u64>();
            assert_kept(&site, files, line);
        }
    }
    site.client().upload(b"the sidecar serves on");
    assert!(!site.log().contains("panicked"));
}

/// The status of a POST over HTTP/2, with a body of this length.
fn post_over_http2(site: &Site, length: usize, headers: &[&str]) -> String {
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&body, noise(7, length)).unwrap();
    let mut command = Command::new("nghttp");
    command
        .args(["-nv", "--no-content-length", "-d"])
        .arg(body.path());
    for header in headers {
        command.args(["-H", header]);
    }
    let url = format!("{}/files", site.https_url());
    let output = command.arg(url).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let (_, status) = told.split_once(":status: ").expect("a status");
    status[..3].to_owned()
}

#[test]
fn a_length_over_http2_that_is_not_that_of_the_body_is_refused() {
    let site = Site::without_mongodb();
    let mut files = 0;
    for length in LENGTHS {
        let told = format!("content-length: {length}");
        for (status, headers) in [
            ("400", ["content-length: 0", ""]),
            ("400", [&format!("content-length: {}", length - 1), ""]),
            ("400", [&format!("content-length: {}", length + 1), ""]),
            ("400", [&format!("content-length: -{length}"), ""]),
            ("400", [&format!("content-length: +{length}"), ""]),
            ("400", [&format!("content-length: {length}, {length}"), ""]),
            ("400", [&format!("content-length: {length}x"), ""]),
            ("400", [&told, &told]),
            ("400", [&told, "transfer-encoding: chunked"]),
            ("400", [&told, "host: another"]),
            ("201", [&told, ""]),
            ("201", [&told, "connection: content-length"]),
            ("201", [&told, "upgrade: h2c"]),
        ] {
            let given = if headers[1].is_empty() { 1 } else { 2 };
            let answer = post_over_http2(&site, length, &headers[..given]);
            assert_eq!(answer, status, "{length}: {headers:?}");
            files += u64::from(status == "201");
            assert_kept(&site, files, &format!("{headers:?}"));
        }
    }
    site.client().upload(b"the sidecar serves on");
}
