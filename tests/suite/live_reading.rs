//! Uploads that are read while they grow: `GET /files/{id}?live`.

mod many;
mod nodes;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use kit::{Answer, Builder, Client, Site, noise, read_to_end, wait_until};

use crate::upload_routing::{TUS, append, begin, file_of};

/// A reader of an upload, byte by byte.
struct Reader {
    stream: TcpStream,
    /// Everything that came so far.
    got: Vec<u8>,
}

impl Reader {
    fn begin(site: &Site, path: &str, headers: &str) -> Self {
        let mut stream = site.connect();
        let target = file_of(path);
        let head =
            format!("GET {target}?live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let got = Vec::new();
        Self { stream, got }
    }

    /// Waits until the body has these bytes, and none behind them.
    fn wait_for(&mut self, body: &[u8]) {
        self.wait_for_head();
        loop {
            let found = self.body();
            assert!(body.starts_with(&found), "other bytes");
            if found == body {
                return;
            }
            self.read();
        }
    }

    fn wait_for_head(&mut self) {
        while self.end_of_head().is_none() {
            self.read();
        }
    }

    fn end_of_head(&self) -> Option<usize> {
        let end = self.got.windows(4).position(|end| end == b"\r\n\r\n");
        end.map(|end| end + 4)
    }

    fn read(&mut self) {
        let mut piece = [0; 16_384];
        let length = self.stream.read(&mut piece).expect("more bytes");
        assert_ne!(length, 0, "it broke off after {} bytes", self.got.len());
        self.got.extend_from_slice(&piece[..length]);
    }

    fn head(&self) -> String {
        let end = self.end_of_head().expect("a head");
        String::from_utf8_lossy(&self.got[..end]).to_ascii_lowercase()
    }

    /// The body so far, without the marks of chunks.
    fn body(&self) -> Vec<u8> {
        let mut rest = &self.got[self.end_of_head().expect("a head")..];
        if !self.head().contains("transfer-encoding: chunked") {
            return rest.to_vec();
        }
        let mut body = Vec::new();
        while let Some(line) = rest.windows(2).position(|end| end == b"\r\n") {
            let length = std::str::from_utf8(&rest[..line]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            let piece = &rest[line + 2..];
            body.extend_from_slice(&piece[..length.min(piece.len())]);
            rest = piece.get(length + 2..).unwrap_or_default();
        }
        body
    }

    /// Waits for the end, which must be a proper one.
    fn end(self) -> Answer {
        let (answer, is_whole) = self.end_or_break();
        assert!(is_whole, "it broke off: {answer:?}");
        answer
    }

    /// Waits for the end, which must be noticed as a broken connection.
    fn broken(self) {
        let (answer, is_whole) = self.end_or_break();
        assert!(!is_whole, "it looks whole: {answer:?}");
    }

    fn end_or_break(mut self) -> (Answer, bool) {
        self.got
            .extend(read_to_end(self.stream.try_clone().unwrap()));
        let (head, body) = (self.head(), self.body());
        let is_whole = if head.contains("transfer-encoding: chunked") {
            self.got.ends_with(b"0\r\n\r\n")
        } else {
            head.contains(&format!("content-length: {}\r\n", body.len()))
        };
        let answer = Answer::from_wire(&self.got).expect("an answer");
        let answer = Answer { body, ..answer };
        (answer, is_whole)
    }
}

/// Begins an upload whose length is told with its last bytes, by the draft.
fn begin_without_length(client: &Client) -> String {
    let headers = [("Upload-Complete", "?0"), ("Content-Type", "video/mp4")];
    let answer = client.post("/files", &headers, b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").to_owned()
}

fn append_by_draft(client: &Client, path: &str, at: usize, is_last: bool, body: &[u8]) {
    let (at, complete) = (at.to_string(), if is_last { "?1" } else { "?0" });
    let headers = [
        ("Content-Type", "application/partial-upload"),
        ("Upload-Offset", &*at),
        ("Upload-Complete", complete),
    ];
    let answer = client.patch(path, &headers, body);
    assert!(matches!(answer.status, 201 | 204), "{answer:?}");
}

#[test]
fn bytes_come_before_the_upload_is_complete_and_the_answer_ends_with_it() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, 300_000);
    let path = begin(&client, content.len());
    let mut early = Reader::begin(&site, &path, "");
    early.wait_for(b"");
    let head = early.head();
    for line in [
        "http/1.1 200 ok",
        "content-length: 300000",
        "cache-control: no-store",
        "accept-ranges: bytes",
        "x-content-type-options: nosniff",
        // For another nginx in front.
        "x-accel-buffering: no",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    for field in ["etag", "last-modified", "repr-digest"] {
        assert!(!head.contains(field), "{field}: {head}");
    }
    let mut at = 0;
    let mut readers = vec![early];
    for end in [10, 40_000, 200_000] {
        assert_eq!(append(&client, &path, at, &content[at..end]).status, 204);
        at = end;
        readers.push(Reader::begin(&site, &path, ""));
        for reader in &mut readers {
            reader.wait_for(&content[..at]);
        }
    }
    // It is no file yet, without a question to MongoDB, which is away.
    client.get(&file_of(&path)).assert_problem(404, "not-found");
    client
        .get(&format!("{}/meta", file_of(&path)))
        .assert_problem(404, "not-found");
    let head = client.head(&format!("{}?live", file_of(&path)));
    assert_eq!(
        (head.status, head.header("cache-control")),
        (200, "no-store")
    );
    assert_eq!(head.header("content-length"), "300000");
    assert_eq!(append(&client, &path, at, &content[at..]).status, 204);
    for reader in readers {
        assert!(reader.end().body == content, "other bytes");
    }
    // A complete file is an ordinary download.
    let whole = client.get(&format!("{}?live", file_of(&path)));
    assert!(whole.body == content, "other bytes");
    assert!(!whole.header("etag").is_empty(), "{:?}", whole.headers);
}

#[test]
fn an_upload_without_a_length_comes_in_chunks_and_its_end_is_told() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, 100_000);
    let path = begin_without_length(&client);
    let head = client.head(&format!("{}?live", file_of(&path)));
    assert_eq!((head.status, head.header("content-length")), (200, ""));
    append_by_draft(&client, &path, 0, false, &content[..10]);
    let mut whole = Reader::begin(&site, &path, "");
    let mut rest = Reader::begin(&site, &path, "Range: bytes=10-\r\n");
    let mut bounded = Reader::begin(&site, &path, "Range: bytes=5-49999\r\n");
    let known = Reader::begin(&site, &path, "Range: bytes=2-4\r\n").end();
    assert_eq!((known.status, &*known.body), (206, &content[2..5]));
    assert_eq!(known.header("content-length"), "3");
    whole.wait_for(&content[..10]);
    rest.wait_for(b"");
    bounded.wait_for(&content[5..10]);
    assert!(whole.head().contains("transfer-encoding: chunked"));
    assert!(
        rest.head()
            .contains("content-range: bytes 10-9007199254740991/*")
    );
    assert!(bounded.head().contains("content-range: bytes 5-49999/*"));
    append_by_draft(&client, &path, 10, false, &content[10..60_000]);
    whole.wait_for(&content[..60_000]);
    rest.wait_for(&content[10..60_000]);
    assert!(bounded.end().body == content[5..50_000], "other bytes");
    append_by_draft(&client, &path, 60_000, true, &content[60_000..]);
    assert!(whole.end().body == content, "other bytes");
    assert!(rest.end().body == content[10..], "other bytes");
}

#[test]
fn a_range_goes_on_where_a_reader_was_cut_off() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, 100_000);
    let path = begin(&client, content.len());
    assert_eq!(append(&client, &path, 0, &content[..50_000]).status, 204);
    let mut rest = Reader::begin(&site, &path, "Range: bytes=50000-\r\n");
    rest.wait_for(b"");
    let head = rest.head();
    assert!(head.contains("http/1.1 206"), "{head}");
    assert!(
        head.contains("content-range: bytes 50000-99999/100000"),
        "{head}"
    );
    assert!(head.contains("content-length: 50000"), "{head}");
    let behind = Reader::begin(&site, &path, "Range: bytes=90000-94999\r\n");
    let end = Reader::begin(&site, &path, "Range: bytes=-10\r\n");
    let outside = client.get_with(
        &format!("{}?live", file_of(&path)),
        &[("Range", "bytes=100000-")],
    );
    outside.assert_problem(416, "range-not-satisfiable");
    assert_eq!(outside.header("content-range"), "bytes */100000");
    let tagged = [("If-Match", "\"a\"")];
    let tagged = client.get_with(&format!("{}?live", file_of(&path)), &tagged);
    tagged.assert_problem(412, "precondition-failed");
    assert_eq!(
        append(&client, &path, 50_000, &content[50_000..]).status,
        204
    );
    assert!(rest.end().body == content[50_000..], "other bytes");
    assert!(behind.end().body == content[90_000..95_000], "other bytes");
    assert!(end.end().body == content[99_990..], "other bytes");
}

#[test]
fn a_reader_is_cut_off_when_the_upload_ends_or_stands_still_or_the_sidecar_dies() {
    let mut site = Builder::default()
        .set("live_wait_seconds", 2)
        .start_without_mongodb();
    let client = site.client();
    let readers = |site: &Site, path: &str| {
        let mut reader = Reader::begin(site, path, "");
        reader.wait_for(b"0123456789");
        reader
    };
    let begin_both = || {
        let paths = [begin(&client, 100), begin_without_length(&client)];
        assert_eq!(append(&client, &paths[0], 0, b"0123456789").status, 204);
        append_by_draft(&client, &paths[1], 0, false, b"0123456789");
        paths
    };
    // It stands still.
    let paths = begin_both();
    for reader in paths.each_ref().map(|path| readers(&site, path)) {
        reader.broken();
    }
    // The sender ends it.
    for path in &paths {
        let reader = readers(&site, path);
        assert_eq!(client.ask("DELETE", path, &[TUS]).status, 204);
        reader.broken();
        let after = client.get(&format!("{}?live", file_of(path)));
        assert!(matches!(after.status, 404 | 410), "{after:?}");
    }
    // The sidecar dies, or stops.
    let paths = begin_both();
    let cut = paths.each_ref().map(|path| readers(&site, path));
    site.kill_sidecar();
    cut.into_iter().for_each(Reader::broken);
    site.start_sidecar();
    let cut = paths.each_ref().map(|path| readers(&site, path));
    site.stop_sidecar();
    cut.into_iter().for_each(Reader::broken);
    site.start_sidecar();
    let rest = Reader::begin(&site, &paths[0], "Range: bytes=10-\r\n");
    let all = Reader::begin(&site, &paths[1], "");
    assert_eq!(append(&client, &paths[0], 10, &[7; 90]).status, 204);
    assert_eq!(rest.end().body, [7; 90]);
    append_by_draft(&client, &paths[1], 10, true, b"the end");
    assert_eq!(all.end().body, b"0123456789the end");
}

#[test]
fn http_1_0_is_refused_as_it_would_take_a_part_for_the_whole() {
    let site = Site::without_mongodb();
    let client = site.client();
    let path = begin(&client, 20);
    let head = format!("GET {}?live HTTP/1.0\r\nHost: a\r\n\r\n", file_of(&path));
    site.raw(head.as_bytes())
        .assert_problem(505, "version-not-supported");
    // A header of a client changes nothing.
    let head = head.replace("\r\n\r\n", "\r\nX-Gridspool-Protocol: HTTP/1.1\r\n\r\n");
    assert_eq!(site.raw(head.as_bytes()).status, 505);
    assert_eq!(append(&client, &path, 0, &[1; 20]).status, 204);
    let whole = site.raw(head.as_bytes());
    assert_eq!((whole.status, whole.body), (200, vec![1; 20]));
}

#[test]
fn there_is_a_bound_on_readers_and_who_leaves_makes_room() {
    let site = Builder::default()
        .set("max_live_readers", 2)
        .start_without_mongodb();
    let client = site.client();
    let path = begin(&client, 20);
    let count = || site.try_status().unwrap()["live"]["readers"].clone();
    let readers = [(); 2].map(|()| {
        let mut reader = Reader::begin(&site, &path, "");
        reader.wait_for(b"");
        reader
    });
    assert_eq!(count(), 2);
    let refused = client.get(&format!("{}?live", file_of(&path)));
    refused.assert_problem(503, "too-many-readers");
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    drop(readers);
    wait_until("they have left", || count() == 0);
    let reader = Reader::begin(&site, &path, "");
    assert_eq!(append(&client, &path, 0, &[1; 20]).status, 204);
    assert_eq!(reader.end().body, [1; 20]);
}
