//! The rules of draft-ietf-httpbis-resumable-upload-12 for servers, one case each, through nginx.
//!
//! Each case about an upload runs with pieces of a few bytes, which nginx sends with the head, and with
//! pieces that it spools.

mod creations;
mod requests;

use std::fmt::Write as _;

use kit::{Answer, Client, Site, noise};

type Fields = &'static [(&'static str, &'static str)];

const PARTIAL: (&str, &str) = ("Content-Type", "application/partial-upload");
const MORE: (&str, &str) = ("Upload-Complete", "?0");
const LAST: (&str, &str) = ("Upload-Complete", "?1");
/// `@1` stands for the length of one piece in bytes, `@2` for that of two.
const AT_1: (&str, &str) = ("Upload-Offset", "@1");

const MISMATCH: &str = "mismatching-upload-offset";
const LENGTHS: &str = "inconsistent-upload-length";
const FIELD: &str = "bad-upload-field";

/// A request for an upload that has one piece and was declared to have four, and the answer.
struct Case {
    /// The section, and the rule.
    rule: &'static str,
    method: &'static str,
    fields: Fields,
    /// The length of the body in pieces.
    body: usize,
    status: u16,
    /// The code of the problem; empty if it is no problem.
    code: &'static str,
    /// Fields of the answer; an empty value stands for an absent field.
    told: Fields,
    /// The offset and the completeness afterwards; `None` if there is no such upload then.
    after: Option<(&'static str, &'static str)>,
}

/// Puts lengths in bytes in the place of those in pieces.
fn in_bytes(text: &str, piece: usize) -> String {
    let mut parts = text.split('@');
    let mut told = parts.next().unwrap().to_owned();
    for part in parts {
        let (number, rest) = part.split_at(1);
        let number: usize = number.parse().unwrap();
        write!(told, "{}{rest}", number * piece).unwrap();
    }
    told
}

/// Sends a request with these fields, and a body of so many pieces.
fn ask(
    client: &Client,
    (method, path): (&str, &str),
    fields: Fields,
    pieces: usize,
    piece: usize,
) -> Answer {
    let fields = fields.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| (*name, in_bytes(value, piece)))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let body = noise(2, pieces * piece);
    match method {
        "PATCH" => client.patch(path, &fields, &body),
        "POST" => client.post(path, &fields, &body),
        "PUT" => client.put_with(path, &fields, &body),
        method => client.ask(method, path, &fields),
    }
}

fn assert_told(answer: &Answer, told: Fields, piece: usize, what: &str) {
    for (name, value) in told {
        let value = in_bytes(value, piece);
        assert_eq!(answer.header(name), value, "{what}: {name} of {answer:?}");
    }
}

/// Begins an upload of four pieces, and appends the first one.
fn begin(client: &Client, piece: usize) -> String {
    let length = (4 * piece).to_string();
    let answer = client.post("/files", &[MORE, ("Upload-Length", &length)], b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = answer.header("location").to_owned();
    let first = [PARTIAL, ("Upload-Offset", "0"), MORE];
    let answer = client.patch(&path, &first, &noise(1, piece));
    assert_eq!(answer.status, 204, "{answer:?}");
    path
}

/// Asserts the state of an upload; `None` if there is none.
fn assert_at(client: &Client, path: &str, state: Option<(&str, &str)>, piece: usize, what: &str) {
    let answer = client.head(path);
    let Some((offset, complete)) = state else {
        assert!(matches!(answer.status, 404 | 410), "{what}: {answer:?}");
        assert_eq!(answer.header("upload-offset"), "", "{what}");
        return;
    };
    assert_eq!(answer.status, 204, "{what}: {answer:?}");
    assert_eq!(
        answer.header("upload-offset"),
        in_bytes(offset, piece),
        "{what}"
    );
    assert_eq!(answer.header("upload-complete"), complete, "{what}");
}

/// Asserts that the limits are a dictionary of known members with integers, and returns the largest size.
fn max_size(answer: &Answer) -> u64 {
    let told = answer.header("upload-limit");
    let members: Vec<_> = told.split(", ").collect();
    let mut max = None;
    for member in members {
        let (name, value) = member.split_once('=').unwrap_or_else(|| panic!("{told}"));
        assert!(matches!(name, "max-size" | "max-age"), "{told}");
        let value: u64 = value.parse().unwrap_or_else(|_| panic!("{told}"));
        max = max.or((name == "max-size").then_some(value));
    }
    max.unwrap_or_else(|| panic!("{told}"))
}

#[test]
fn an_unknown_length_is_told_as_soon_as_the_client_tells_it() {
    let site = Site::without_mongodb();
    let client = site.client();
    for piece in [5, 40_000] {
        let length = |path: &str| client.head(path).header("upload-length").to_owned();
        let begin = || {
            let answer = client.post("/files", &[MORE], b"");
            answer.header("location").to_owned()
        };
        let append = |path: &str, offset: usize, fields: &[(&str, &str)], pieces: usize| {
            let offset = (offset * piece).to_string();
            let fields = [&[PARTIAL, ("Upload-Offset", &*offset)], fields].concat();
            client.patch(path, &fields, &noise(1, pieces * piece))
        };
        // By the last append, whose length is known.
        let path = begin();
        assert_eq!(append(&path, 0, &[MORE], 1).status, 204);
        assert_eq!(length(&path), "");
        assert_eq!(append(&path, 1, &[LAST], 2).status, 201);
        assert_eq!(length(&path), (3 * piece).to_string());
        // By a field of any append; and then it binds.
        let path = begin();
        let told = (2 * piece).to_string();
        let told = ("Upload-Length", &*told);
        assert_eq!(append(&path, 0, &[MORE, told], 1).status, 204);
        assert_eq!(length(&path), told.1);
        append(&path, 1, &[MORE], 2).assert_problem(400, LENGTHS);
        assert_eq!(client.head(&path).status, 410);
        // All bytes were there: an empty last append completes it.
        let path = begin();
        assert_eq!(append(&path, 0, &[MORE, told], 2).status, 204);
        let last = append(&path, 2, &[LAST], 0);
        assert_eq!(last.header("upload-complete"), "?1", "{last:?}");
        let file = last.header("location").to_owned();
        assert!(client.get(&file).body == noise(1, 2 * piece));
        // The same append is answered again; others are refused, and change nothing.
        let again = append(&path, 2, &[LAST], 0);
        assert_eq!((again.status, again.json()), (201, last.json()));
        append(&path, 2, &[LAST], 1).assert_problem(403, "upload-complete");
        let late = append(&path, 1, &[LAST], 1);
        late.assert_problem(409, MISMATCH);
        assert_eq!(late.header("upload-offset"), told.1);
        assert!(client.get(&file).body == noise(1, 2 * piece));
    }
}

#[test]
fn a_chunked_piece_beyond_the_length_ends_the_upload() {
    let site = Site::without_mongodb();
    let client = site.client();
    for (piece, chunks) in [(5, 4), (40_000, 4)] {
        let path = begin(&client, piece);
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
             Content-Type: application/partial-upload\r\nUpload-Offset: {piece}\r\nUpload-Complete: ?0\r\n\r\n"
        );
        let mut wire = head.into_bytes();
        for number in 0..chunks {
            wire.extend_from_slice(format!("{piece:x}\r\n").as_bytes());
            wire.extend_from_slice(&noise(number, piece));
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let answer = site.raw(&wire);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.header("upload-complete"), "?0");
        assert_at(&client, &path, None, piece, "it has ended");
    }
}

#[test]
fn limits_are_told_before_an_upload_begins() {
    let site = Site::without_mongodb();
    let client = site.client();
    for path in ["/files", "/files/a.txt", "/messages", "/uploads"] {
        for fields in [&[][..], &[LAST], &[MORE]] {
            let answer = client.ask("OPTIONS", path, fields);
            assert!(matches!(answer.status, 200 | 204), "{answer:?}");
            assert_eq!(max_size(&answer), 17_179_869_184, "{path}");
        }
    }
}

#[test]
fn nothing_is_told_of_an_upload_that_does_not_exist() {
    let site = Site::without_mongodb();
    let client = site.client();
    let fields = [PARTIAL, ("Upload-Offset", "0"), LAST];
    for path in ["/uploads/a", "/uploads/65f0a1b2c3d4e5f600010203/a"] {
        for answer in [
            client.head(path),
            client.delete(path),
            client.patch(path, &fields, b"a"),
            client.patch(path, &fields, &noise(1, 40_000)),
        ] {
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
            assert_eq!(answer.header("upload-offset"), "", "{answer:?}");
        }
    }
}
