//! Uploads in pieces by draft-ietf-httpbis-resumable-upload-12.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::{Answer, Client, Site, noise};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const PARTIAL: (&str, &str) = ("Content-Type", "application/partial-upload");
pub(crate) const BEGINS: (&str, &str) = ("Upload-Complete", "?0");
const MORE: (&str, &str) = ("Upload-Complete", "?0");
pub(crate) const LAST: (&str, &str) = ("Upload-Complete", "?1");

/// Appends a piece.
pub(crate) fn append(
    client: &Client,
    path: &str,
    offset: usize,
    complete: (&str, &str),
    body: &[u8],
) -> Answer {
    let offset = offset.to_string();
    let headers = [PARTIAL, ("Upload-Offset", &*offset), complete];
    client.patch(path, &headers, body)
}

/// Begins an upload without content, and returns its address.
fn begin(client: &Client, headers: &[(&str, &str)]) -> String {
    let answer = client.post("/files", &[&[BEGINS], headers].concat(), b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("upload-complete"), "?0");
    assert_eq!(answer.header("upload-offset"), "0");
    let limit = answer.header("upload-limit");
    assert!(
        limit.contains("max-size=") && limit.contains("max-age="),
        "{limit}"
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let path = answer.header("location");
    assert!(path.starts_with("/uploads/"), "{path}");
    path.to_owned()
}

/// Asserts the state of an upload.
fn assert_at(client: &Client, path: &str, offset: usize, complete: &str) {
    for method in ["HEAD", "GET"] {
        let answer = client.ask(method, path, &[]);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("upload-offset"), offset.to_string());
        assert_eq!(answer.header("upload-complete"), complete);
        assert!(answer.header("upload-limit").contains("max-size="));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[test]
fn an_upload_in_pieces_of_all_sizes_is_the_file_that_it_would_be_at_once() {
    let mut site = Site::without_mongodb();
    let client = site.client();
    let body = noise(1, 900_000);
    let path = begin(
        &client,
        &[
            ("Upload-Length", "900000"),
            ("Content-Type", "video/mp4"),
            ("Content-Disposition", "attachment; filename=a.mp4"),
            ("Upload-Draft-Interop-Version", "8"),
        ],
    );
    let id = path.strip_prefix("/uploads/").unwrap().to_owned();
    let mut offset = 0;
    for (number, length) in [1, 100, 40_000, 31_999, 500_000, 5, 300_000]
        .into_iter()
        .enumerate()
    {
        let piece = &body[offset..offset + length];
        let answer = append(&client, &path, offset, MORE, piece);
        assert_eq!(answer.status, 204, "{answer:?}");
        offset += length;
        assert_eq!(answer.header("upload-offset"), offset.to_string());
        assert_eq!(answer.header("upload-complete"), "?0");
        assert_at(&client, &path, offset, "?0");
        if number == 3 {
            // What was told is kept by a sidecar that is killed.
            site.kill_sidecar();
            site.start_sidecar();
            assert_at(&client, &path, offset, "?0");
        }
        // It is no file yet, and no other place has one.
        assert_eq!(client.get(&format!("/files/{id}")).status, 404);
    }
    let answer = append(&client, &path, offset, LAST, &body[offset..]);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("upload-complete"), "?1");
    assert_eq!(answer.header("location"), format!("/files/{id}"));
    let told = answer.json();
    assert_eq!(told["filename"], "a.mp4");
    assert_eq!(told["content_type"], "video/mp4");
    assert_eq!(told["length"], 900_000);
    assert_at(&client, &path, 900_000, "?1");
    // The answer was lost: it is given again.
    let again = append(&client, &path, 900_000, LAST, b"");
    assert_eq!((again.status, again.json()), (201, told));
    let got = client.get(&format!("/files/{id}"));
    assert!(got.body == body, "other bytes");
    assert!(site.names("spool").is_empty());
}

#[test]
fn a_body_may_come_with_the_creation_and_complete_the_upload() {
    let site = Site::without_mongodb();
    let client = site.client();
    for length in [10, 100_000] {
        let body = noise(2, length);
        let half = length / 2;
        let answer = client.put_with("/files/b.txt", &[BEGINS], &body[..half]);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.header("upload-offset"), half.to_string());
        let path = answer.header("location").to_owned();
        let last = append(&client, &path, half, LAST, &body[half..]);
        assert_eq!(last.json()["filename"], "b.txt");
        assert!(client.get(last.header("location")).body == body);
        // All of it comes at once.
        let told = length.to_string();
        let headers = [LAST, ("Upload-Length", &*told)];
        let answer = client.post("/files", &headers, &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.header("upload-complete"), "?1");
        assert!(client.get(answer.header("location")).body == body);
    }
}

#[test]
fn an_empty_file_is_complete_when_its_sender_says_so() {
    let site = Site::without_mongodb();
    let client = site.client();
    let path = begin(&client, &[("Upload-Length", "0")]);
    let state = client.ask("HEAD", &path, &[]);
    assert_eq!(state.header("upload-complete"), "?0", "{state:?}");
    for _ in 0..2 {
        let last = append(&client, &path, 0, LAST, b"");
        assert_eq!(last.status, 201, "{last:?}");
        let file = client.get(last.header("location"));
        assert_eq!((file.status, file.body), (200, Vec::new()));
    }
}

#[test]
fn an_append_elsewhere_or_of_another_length_is_refused_and_changes_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let long = noise(3, 50_000);
    let path = begin(&client, &[("Upload-Length", "60000")]);
    append(&client, &path, 0, MORE, b"hello");
    for body in [b"world", &long[..]] {
        let refused = append(&client, &path, 4, MORE, body);
        refused.assert_problem(409, "mismatching-upload-offset");
        assert_eq!(refused.header("upload-offset"), "5");
        assert_eq!(refused.header("upload-complete"), "?0");
        let told = refused.json();
        assert_eq!(told["expected-offset"], 5);
        assert_eq!(told["provided-offset"], 4);
    }
    // The last append does not reach the length.
    let short = append(&client, &path, 5, LAST, &long);
    short.assert_problem(400, "inconsistent-upload-length");
    let headers = [PARTIAL, ("Upload-Offset", "5"), MORE];
    let other = [&headers[..], &[("Upload-Length", "70000")]].concat();
    let other = client.patch(&path, &other, b"x");
    other.assert_problem(400, "inconsistent-upload-length");
    let kind = [("Content-Type", "text/plain"), ("Upload-Offset", "5"), MORE];
    client
        .patch(&path, &kind, b"x")
        .assert_problem(415, "not-an-append");
    for headers in [&[PARTIAL, MORE][..], &[PARTIAL, ("Upload-Offset", "5")]] {
        let refused = client.patch(&path, headers, b"x");
        refused.assert_problem(400, "bad-upload-field");
    }
    assert_at(&client, &path, 5, "?0");
    assert!(site.names("spool").is_empty());
}

#[test]
fn digests_of_an_append_and_of_the_whole_are_checked() {
    let site = Site::without_mongodb();
    let client = site.client();
    let digest = |bytes: &[u8]| {
        let digest = STANDARD.encode(Sha256::digest(bytes));
        format!("sha-256=:{digest}:")
    };
    let (right, wrong) = (digest(b"hello world"), digest(b"other"));
    let path = begin(&client, &[("Repr-Digest", &right)]);
    for (stated, status) in [(digest(b"hell0"), 400), (digest(b"hello"), 204)] {
        let headers = [
            PARTIAL,
            ("Upload-Offset", "0"),
            MORE,
            ("Content-Digest", &stated),
        ];
        let answer = client.patch(&path, &headers, b"hello");
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("upload-complete"), "?0");
    }
    let last = append(&client, &path, 5, LAST, b" world");
    assert_eq!(last.status, 201, "{last:?}");
    // The whole is another: it cannot become right. Every algorithm of a one-shot upload counts, at the
    // beginning and at the end.
    let of_512 = |bytes: &[u8]| {
        let digest = STANDARD.encode(Sha512::digest(bytes));
        format!("sha-512=:{digest}:")
    };
    let (right_512, wrong_512) = (of_512(b"hello world"), of_512(b"other"));
    let both = |sha256: &str, sha512: &str| format!("{sha256}, {sha512}");
    for (stated, is_right) in [
        (right_512.clone(), true),
        (both(&right, &right_512), true),
        (wrong.clone(), false),
        (wrong_512.clone(), false),
        (both(&right, &wrong_512), false),
        (both(&wrong, &right_512), false),
    ] {
        let stated = ("Repr-Digest", &*stated);
        for (first, last) in [(&[stated][..], &[][..]), (&[], &[stated])] {
            let path = begin(&client, first);
            append(&client, &path, 0, MORE, b"hello");
            let headers = [&[PARTIAL, ("Upload-Offset", "5"), LAST], last].concat();
            let answer = client.patch(&path, &headers, b" world");
            assert_eq!(answer.header("upload-complete"), "?1");
            if is_right {
                assert_eq!(answer.status, 201, "{answer:?}");
            } else {
                answer.assert_problem(400, "digest-mismatch");
                assert_eq!(client.head(&path).status, 410);
            }
        }
    }
}

#[test]
fn an_upload_that_was_deleted_takes_no_bytes_again() {
    let site = Site::without_mongodb();
    let client = site.client();
    let path = begin(&client, &[]);
    append(&client, &path, 0, MORE, b"hello");
    assert_eq!(client.delete(&path).status, 204);
    for answer in [
        client.head(&path),
        client.delete(&path),
        append(&client, &path, 5, LAST, b"late"),
        append(&client, &path, 5, LAST, &noise(5, 50_000)),
    ] {
        assert!(matches!(answer.status, 404 | 410), "{answer:?}");
        assert!(!answer.headers.contains_key("upload-offset"));
    }
    assert_eq!(client.head("/uploads/a").status, 404);
    assert_eq!(client.ask("PUT", &path, &[]).status, 405);
}

#[test]
fn limits_are_told_and_a_longer_upload_is_refused_with_them() {
    let site = kit::Builder::default()
        .set("max_body_bytes", 100_000)
        .start_without_mongodb();
    let client = site.client();
    for path in ["/files", "/files/a.txt"] {
        let options = client.ask("OPTIONS", path, &[]);
        assert!(
            options.header("upload-limit").contains("max-size="),
            "{options:?}"
        );
    }
    let headers = [BEGINS, ("Upload-Length", "100001")];
    for body in [&b""[..], &noise(6, 50_000)] {
        let refused = client.post("/files", &headers, body);
        refused.assert_problem(413, "too-large");
        assert_eq!(refused.header("upload-limit"), "max-size=100000");
        assert_eq!(refused.header("upload-complete"), "?0");
    }
    let path = begin(&client, &[]);
    append(&client, &path, 0, MORE, &noise(7, 60_000));
    let refused = append(&client, &path, 60_000, MORE, &noise(7, 60_000));
    refused.assert_problem(413, "too-large");
    assert_eq!(refused.header("upload-limit"), "max-size=100000");
    assert_at(&client, &path, 60_000, "?0");
}
