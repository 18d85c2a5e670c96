//! Uploads in pieces by tus 1.0.0.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::{Answer, Builder, Client, Site, noise, wait_until};
use sha2::{Digest as _, Sha256};

use crate::upload_routing::head_of_append;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const PIECE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const DEFERRED: (&str, &str) = ("Upload-Defer-Length", "1");

fn begin(client: &Client, headers: &[(&str, &str)], body: &[u8]) -> (String, Answer) {
    let answer = client.post("/uploads", &[&[TUS], headers].concat(), body);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    let path = answer.header("location").to_owned();
    assert!(path.starts_with("/uploads/"), "{path}");
    (path, answer)
}

fn append(
    client: &Client,
    path: &str,
    offset: usize,
    further: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let offset = offset.to_string();
    let headers = [TUS, PIECE, ("Upload-Offset", &*offset)];
    client.patch(path, &[&headers, further].concat(), body)
}

fn head(client: &Client, path: &str) -> Answer {
    let answer = client.ask("HEAD", path, &[TUS]);
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    answer
}

#[test]
fn an_upload_in_pieces_is_a_file_with_its_name_type_and_texts() {
    let mut site = Site::without_mongodb();
    let client = site.client();
    let body = noise(1, 200_000);
    let metadata = "filename YS5tcDQ=,filetype dmlkZW8vbXA0,is_private";
    let (path, begun) = begin(
        &client,
        &[("Upload-Length", "200000"), ("Upload-Metadata", metadata)],
        b"",
    );
    assert!(begun.header("upload-expires").ends_with(" GMT"));
    let mut offset = 0;
    for length in [7, 60_000, 31_000, 100_000] {
        let answer = append(&client, &path, offset, &[], &body[offset..offset + length]);
        assert_eq!(answer.status, 204, "{answer:?}");
        offset += length;
        assert_eq!(answer.header("upload-offset"), offset.to_string());
        assert!(answer.header("upload-expires").ends_with(" GMT"));
        if offset == 60_007 {
            site.kill_sidecar();
            site.start_sidecar();
        }
        let state = head(&client, &path);
        assert_eq!(state.header("upload-offset"), offset.to_string());
        assert_eq!(state.header("upload-length"), "200000");
        assert_eq!(state.header("upload-metadata"), metadata);
    }
    let last = append(&client, &path, offset, &[], &body[offset..]);
    assert_eq!(last.status, 204, "{last:?}");
    assert_eq!(last.header("upload-offset"), "200000");
    assert_eq!(head(&client, &path).header("upload-offset"), "200000");
    let file = path.replace("/uploads/", "/files/");
    assert_eq!(last.header("content-location"), file);
    let got = client.get(&file);
    assert!(got.body == body, "other bytes");
    assert_eq!(got.header("content-type"), "video/mp4");
    assert!(got.header("content-disposition").contains("a.mp4"));
    // The answer was lost: an empty append gets it again, and no other append counts.
    assert_eq!(append(&client, &path, 200_000, &[], b"").status, 204);
    let refused = append(&client, &path, 200_000, &[], b"x");
    refused.assert_problem(403, "upload-complete");
    let late = append(&client, &path, 5, &[], b"x");
    late.assert_problem(409, "mismatching-upload-offset");
}

#[test]
fn the_version_and_the_type_are_needed() {
    let site = Site::without_mongodb();
    let client = site.client();
    let options = client.ask("OPTIONS", "/uploads", &[]);
    assert_eq!(options.status, 204, "{options:?}");
    assert_eq!(options.header("tus-version"), "1.0.0");
    assert_eq!(
        options.header("tus-checksum-algorithm"),
        "sha1,sha256,sha512"
    );
    for extension in [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
    ] {
        let told = options.header("tus-extension");
        assert!(told.split(',').any(|one| one == extension), "{told}");
    }
    assert!(!options.header("tus-max-size").is_empty());
    for version in [&[][..], &[("Tus-Resumable", "0.2.2")]] {
        let headers = [version, &[("Upload-Length", "5")]].concat();
        let refused = client.post("/uploads", &headers, b"");
        refused.assert_problem(412, "tus-version");
        assert_eq!(refused.header("tus-version"), "1.0.0");
    }
    let (path, _) = begin(&client, &[("Upload-Length", "5")], b"");
    let headers = [TUS, ("Content-Type", "text/plain"), ("Upload-Offset", "0")];
    let refused = client.patch(&path, &headers, b"hello");
    refused.assert_problem(415, "not-an-append");
    for lengths in [
        &[][..],
        &[("Upload-Defer-Length", "2")],
        &[("Upload-Length", "5"), ("Upload-Defer-Length", "1")],
        &[("Upload-Length", "-5")],
    ] {
        let refused = client.post("/uploads", &[&[TUS], lengths].concat(), b"");
        refused.assert_problem(400, "bad-upload-field");
    }
    // A client that begins at the address of files is told where tus is spoken.
    let refused = client.post("/files", &[TUS, ("Upload-Length", "5")], b"");
    refused.assert_problem(400, "not-a-whole-file");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("/uploads")
    );
}

#[test]
fn a_length_may_come_later_and_the_first_bytes_with_the_creation() {
    let site = Site::without_mongodb();
    let client = site.client();
    for length in [10, 100_000] {
        let body = noise(2, length);
        let (half, told) = (length / 2, length.to_string());
        let deferred = [DEFERRED, PIECE];
        let (path, begun) = begin(&client, &deferred, &body[..half]);
        assert_eq!(begun.header("upload-offset"), half.to_string());
        let state = head(&client, &path);
        assert_eq!(state.header("upload-defer-length"), "1");
        assert_eq!(state.header("upload-length"), "");
        let declared = [("Upload-Length", &*told)];
        let last = append(&client, &path, half, &declared, &body[half..]);
        assert_eq!(last.status, 204, "{last:?}");
        let file = path.replace("/uploads/", "/files/");
        assert!(client.get(&file).body == body, "other bytes");
        // All of it comes with the creation.
        let (path, begun) = begin(&client, &[("Upload-Length", &*told), PIECE], &body);
        assert_eq!(begun.header("upload-offset"), told);
        let file = path.replace("/uploads/", "/files/");
        assert!(client.get(&file).body == body, "other bytes");
    }
    let (path, _) = begin(&client, &[("Upload-Length", "0")], b"");
    let file = path.replace("/uploads/", "/files/");
    assert_eq!(client.get(&file).status, 200);
}

#[test]
fn parts_that_were_sent_side_by_side_become_one_file() {
    let site = Site::without_mongodb();
    let client = site.client();
    let body = noise(5, 150_000);
    let part = |range: std::ops::Range<usize>| {
        let length = range.len().to_string();
        let partial = [("Upload-Concat", "partial"), ("Upload-Length", &*length)];
        let (path, _) = begin(&client, &partial, b"");
        let state = head(&client, &path);
        assert_eq!(state.header("upload-concat"), "partial");
        (path, range)
    };
    let parts = [part(0..50_001), part(50_001..50_002), part(50_002..150_000)];
    let urls = parts.iter().map(|(path, _)| path.as_str());
    let whole = format!("final;{}", urls.collect::<Vec<_>>().join(" "));
    let metadata = ("Upload-Metadata", "filename YS5tcDQ=");
    let is_final = [TUS, ("Upload-Concat", &*whole), metadata];
    for (path, range) in parts.iter().rev() {
        let early = client.post("/uploads", &is_final, b"");
        early.assert_problem(400, "no-complete-part");
        assert_eq!(
            append(&client, path, 0, &[], &body[range.clone()]).status,
            204
        );
        let file = path.replace("/uploads/", "/files/");
        assert_ne!(client.get(&file).status, 200, "a part is no file");
    }
    for _ in 0..2 {
        let (path, _) = begin(&client, &is_final[1..], b"");
        let state = head(&client, &path);
        assert_eq!(state.header("upload-offset"), "150000");
        assert_eq!(state.header("upload-length"), "150000");
        assert_eq!(state.header("upload-concat"), whole);
        assert_eq!(state.header("upload-metadata"), metadata.1);
        let got = client.get(&path.replace("/uploads/", "/files/"));
        assert!(got.body == body, "other bytes");
        assert!(got.header("content-disposition").contains("a.mp4"));
        // It takes no append at all, not even an empty one.
        for (offset, body) in [
            (150_000, &b""[..]),
            (150_000, b"x"),
            (5, b"x"),
            (150_000, &body),
        ] {
            let refused = append(&client, &path, offset, &[], body);
            refused.assert_problem(403, "upload-complete");
        }
        assert!(client.get(&path.replace("/uploads/", "/files/")).body == body);
    }
    // The answer was lost, and the parts have ended since.
    let keyed = [&is_final[1..], &[("Idempotency-Key", "\"whole\"")]].concat();
    let (path, _) = begin(&client, &keyed, b"");
    for (part, _) in &parts {
        assert_eq!(client.ask("DELETE", part, &[TUS]).status, 204);
    }
    assert_eq!(begin(&client, &keyed, b"").0, path);
    client
        .post("/uploads", &is_final, b"")
        .assert_problem(400, "no-complete-part");
}

#[test]
fn bytes_with_another_checksum_are_not_kept() {
    let site = Site::without_mongodb();
    let client = site.client();
    let long = noise(3, 50_000);
    let (path, _) = begin(&client, &[("Upload-Length", "1000000")], b"");
    let mut offset = 0;
    for body in [&b"hello world"[..], &long] {
        let sha256 = format!("sha256 {}", STANDARD.encode(Sha256::digest(body)));
        let wrong = format!("sha256 {}", STANDARD.encode([0; 32]));
        let refused = append(&client, &path, offset, &[("Upload-Checksum", &wrong)], body);
        refused.assert_problem(460, "digest-mismatch");
        let unknown = [("Upload-Checksum", "md5 YQ==")];
        let refused = append(&client, &path, offset, &unknown, body);
        refused.assert_problem(400, "bad-upload-field");
        let state = head(&client, &path);
        assert_eq!(state.header("upload-offset"), offset.to_string());
        let right = [("Upload-Checksum", &*sha256)];
        let answer = append(&client, &path, offset, &right, body);
        assert_eq!(answer.status, 204, "{answer:?}");
        offset += body.len();
    }
    let sha1 = [("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")];
    let answer = append(&client, &path, offset, &sha1, b"hello world");
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[test]
fn the_method_may_stand_in_the_head() {
    let site = Site::without_mongodb();
    let client = site.client();
    let (path, _) = begin(&client, &[("Upload-Length", "60000")], b"");
    let meant = ("X-HTTP-Method-Override", "PATCH");
    let first = [TUS, PIECE, ("Upload-Offset", "0"), meant];
    let answer = client.post(&path, &first, b"hello");
    assert_eq!(answer.status, 204, "{answer:?}");
    // A body that nginx asks about is judged as the append that it is.
    let refused = client.post(&path, &first, &noise(4, 50_000));
    refused.assert_problem(409, "mismatching-upload-offset");
    let second = [TUS, PIECE, ("Upload-Offset", "5"), meant];
    let answer = client.post(&path, &second, &noise(4, 50_000));
    assert_eq!(answer.header("upload-offset"), "50005", "{answer:?}");
    let (path, _) = begin(&client, &[("Upload-Length", "60000")], b"");
    let delete = [TUS, ("X-HTTP-Method-Override", "DELETE")];
    assert_eq!(client.post(&path, &delete, b"").status, 204);
    assert_eq!(client.ask("HEAD", &path, &[TUS]).status, 410);
}

/// A site that takes 100,000 bytes of an upload at most.
fn small_site() -> Site {
    let builder = Builder::default().set("max_body_bytes", 100_000);
    builder.start_without_mongodb()
}

#[test]
fn a_length_that_comes_late_is_told_from_then_on_and_no_other_one_is_taken() {
    let site = small_site();
    let client = site.client();
    let body = noise(3, 20);
    let (path, _) = begin(&client, &[DEFERRED, PIECE], &body[..10]);
    // It is shorter than what is there, or than what comes with it, or longer than any upload may be.
    for (length, piece, refusal) in [
        ("9", &b""[..], "beyond-upload-length"),
        ("12", &body[10..], "beyond-upload-length"),
        ("100001", b"", "too-large"),
    ] {
        let refused = append(&client, &path, 10, &[("Upload-Length", length)], piece);
        refused.assert_problem(413, refusal);
        let state = head(&client, &path);
        assert_eq!(state.header("upload-offset"), "10", "{length}");
        assert_eq!(state.header("upload-defer-length"), "1", "{length}");
    }
    let declared = [("Upload-Length", "20")];
    let told = append(&client, &path, 10, &declared, b"");
    assert_eq!((told.status, told.header("upload-offset")), (204, "10"));
    let state = head(&client, &path);
    assert_eq!(state.header("upload-length"), "20");
    assert_eq!(state.header("upload-defer-length"), "");
    let refused = append(&client, &path, 10, &[("Upload-Length", "21")], &body[10..]);
    refused.assert_problem(400, "inconsistent-upload-length");
    let last = append(&client, &path, 10, &declared, &body[10..]);
    assert_eq!(last.status, 204, "{last:?}");
    assert!(client.get(&path.replace("/uploads/", "/files/")).body == body);
}

#[test]
fn the_fields_that_ios_adds_to_an_upload_task_hinder_no_append() {
    let site = small_site();
    let client = site.client();
    let body = noise(6, 20);
    let (path, _) = begin(&client, &[("Upload-Length", "20")], b"");
    for (from, to) in [(0, 8), (8, 20)] {
        let length = (to - from).to_string();
        let task = [
            ("Upload-Draft-Interop-Version", "8"),
            ("Upload-Complete", "?1"),
            ("Upload-Length", &length),
        ];
        let grown = append(&client, &path, from, &task, &body[from..to]);
        assert_eq!(grown.status, 204, "{grown:?}");
    }
    assert!(client.get(&path.replace("/uploads/", "/files/")).body == body);
}

#[test]
fn an_upload_of_unknown_length_stays_within_the_limit_however_its_bytes_come() {
    let site = small_site();
    let client = site.client();
    let mut body = noise(4, 60_000);
    let (path, _) = begin(&client, &[DEFERRED], b"");
    assert_eq!(append(&client, &path, 0, &[], &body).status, 204);
    for length in [40_001, 90_000] {
        let more = noise(5, length);
        let refused = append(&client, &path, body.len(), &[], &more);
        refused.assert_problem(413, "too-large");
        let wire = |offset: usize| {
            let fields = "Connection: close\r\nTransfer-Encoding: chunked";
            let head = head_of_append(&path, offset, fields);
            [head.as_bytes(), format!("{length:x}\r\n").as_bytes(), &more].concat()
        };
        let mut stream = site.connect();
        stream.write_all(&wire(body.len())).unwrap();
        wait_until("nginx keeps it", || !site.names("spool").is_empty());
        drop(stream);
        wait_until("the broken body is over", || site.names("spool").is_empty());
        // nginx may have seen the end before it had all bytes: those that fit in count.
        let state = head(&client, &path);
        let offset: usize = state.header("upload-offset").parse().unwrap();
        assert!((body.len()..=100_000).contains(&offset), "{offset}");
        body.extend_from_slice(&more[..offset - body.len()]);
        let whole = [&wire(offset)[..], b"\r\n0\r\n\r\n"].concat();
        site.raw(&whole).assert_problem(413, "too-large");
        let state = head(&client, &path);
        assert_eq!(state.header("upload-offset"), offset.to_string());
    }
    let rest = noise(6, 100_000 - body.len());
    let declared = [("Upload-Length", "100000")];
    let last = append(&client, &path, body.len(), &declared, &rest);
    assert_eq!(last.status, 204, "{last:?}");
    body.extend(rest);
    assert!(client.get(&path.replace("/uploads/", "/files/")).body == body);
}
