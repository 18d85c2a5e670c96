//! Requests for one upload that overlap, and bodies that break off, in both dialects.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

use kit::{Answer, Client, Site, noise, read_to_end, wait_until};

const LENGTH: usize = 700_000;

/// The part of a body that comes before a request hangs.
const SENT: usize = 300_000;

/// nginx writes the body in pieces of this size (`client_body_buffer_size`).
const BUFFER: usize = 32 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    Tus,
    Draft,
}

const BOTH: [Dialect; 2] = [Dialect::Tus, Dialect::Draft];

impl Dialect {
    /// The fields of an append that is not the last one by the draft.
    fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Tus => &[
                ("Tus-Resumable", "1.0.0"),
                ("Content-Type", "application/offset+octet-stream"),
            ],
            Self::Draft => &[
                ("Upload-Complete", "?0"),
                ("Content-Type", "application/partial-upload"),
            ],
        }
    }

    fn begin(self, client: &Client, length: usize) -> String {
        let length = length.to_string();
        let (path, first) = match self {
            Self::Tus => ("/uploads", ("Tus-Resumable", "1.0.0")),
            Self::Draft => ("/files", ("Upload-Complete", "?0")),
        };
        let answer = client.post(path, &[first, ("Upload-Length", &length)], b"");
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    }

    fn append(self, client: &Client, path: &str, offset: usize, body: &[u8]) -> Answer {
        let offset = offset.to_string();
        let at = [("Upload-Offset", &*offset)];
        client.patch(path, &[self.fields(), &at].concat(), body)
    }

    /// Appends what is left, and completes the upload.
    fn finish(self, client: &Client, path: &str, offset: usize, body: &[u8]) -> Answer {
        let answer = self.append(client, path, offset, body);
        assert_eq!(answer.status, 204, "{answer:?}");
        match self {
            Self::Tus => answer,
            Self::Draft => {
                let end = (offset + body.len()).to_string();
                let [_, kind] = self.fields() else {
                    panic!("two fields");
                };
                let last = [("Upload-Complete", "?1"), *kind, ("Upload-Offset", &end)];
                client.patch(path, &last, b"")
            }
        }
    }

    fn head(self, client: &Client, path: &str) -> Answer {
        let fields: &[_] = match self {
            Self::Tus => &self.fields()[..1],
            Self::Draft => &[],
        };
        client.ask("HEAD", path, fields)
    }

    fn offset(self, client: &Client, path: &str) -> usize {
        let answer = self.head(client, path);
        assert_eq!(answer.status, 204, "{answer:?}");
        answer.header("upload-offset").parse().unwrap()
    }

    /// Begins an append, and waits until nginx has written most of the part that it sends.
    fn hang(self, site: &Site, path: &str, framing: &str, part: &[u8]) -> TcpStream {
        let mut stream = site.connect();
        let mut head =
            format!("PATCH {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n");
        for (name, value) in self.fields().iter().chain(&[("Upload-Offset", "0")]) {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        if framing.ends_with("chunked") {
            write!(stream, "{:x}\r\n", part.len()).unwrap();
        }
        stream.write_all(part).unwrap();
        wait_until("nginx has written the part", || {
            let spool = site.data_dir().join("spool");
            let spooled = site.names("spool").into_iter();
            let lengths = spooled.filter_map(|name| std::fs::metadata(spool.join(name)).ok());
            lengths
                .map(|found| usize::try_from(found.len()).unwrap())
                .any(|length| length + 2 * BUFFER > part.len())
        });
        stream
    }
}

fn answer_of(stream: TcpStream) -> Answer {
    Answer::from_wire(&read_to_end(stream)).unwrap()
}

fn file_of(client: &Client, path: &str) -> Vec<u8> {
    client.get(&path.replace("/uploads/", "/files/")).body
}

#[test]
fn the_offset_is_told_while_an_append_hangs_and_a_newer_append_goes_on_from_it() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, LENGTH);
    for dialect in BOTH {
        let path = dialect.begin(&client, LENGTH);
        let framing = format!("Content-Length: {LENGTH}");
        let mut hangs = dialect.hang(&site, &path, &framing, &noise(2, SENT));
        let told = dialect.offset(&client, &path);
        assert_eq!(told, 0, "{dialect:?}");
        let answer = dialect.append(&client, &path, told, &content[..100_000]);
        assert_eq!(answer.status, 204, "{dialect:?}: {answer:?}");
        // The older one comes to its end, and is told the right offset.
        hangs.write_all(&noise(2, LENGTH - SENT)).unwrap();
        let late = answer_of(hangs);
        late.assert_problem(409, "mismatching-upload-offset");
        assert_eq!(dialect.offset(&client, &path), 100_000);
        dialect.finish(&client, &path, 100_000, &content[100_000..]);
        assert!(file_of(&client, &path) == content, "{dialect:?}");
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn of_appends_at_one_offset_at_once_one_counts() {
    let site = Site::without_mongodb();
    let client = site.client();
    for dialect in BOTH {
        for piece in [100, 50_000] {
            let path = dialect.begin(&client, 4 * piece);
            let mut expected = Vec::new();
            for round in 0..4 {
                let bodies = [1, 2, 3].map(|sender| noise(10 * round + sender, piece));
                let offset = expected.len();
                let answers = std::thread::scope(|scope| {
                    let (client, path) = (&client, &path);
                    let append = |body| move || dialect.append(client, path, offset, body);
                    let senders = bodies.each_ref().map(|body| scope.spawn(append(body)));
                    senders.map(|sender| sender.join().unwrap())
                });
                let mut counted = Vec::new();
                for (answer, body) in answers.iter().zip(&bodies) {
                    match answer.status {
                        204 => counted.push(body),
                        // A complete upload gives 403 at its end and 409 elsewhere.
                        status => assert!(matches!(status, 403 | 409 | 503), "{answer:?}"),
                    }
                }
                let [body] = counted[..] else {
                    panic!("{dialect:?}, round {round}: {answers:?}");
                };
                expected.extend_from_slice(body);
                assert_eq!(dialect.offset(&client, &path), expected.len());
            }
            if dialect == Dialect::Draft {
                dialect.finish(&client, &path, expected.len(), b"");
            }
            assert!(file_of(&client, &path) == expected, "{dialect:?}, {piece}");
        }
    }
}

#[test]
fn an_upload_that_is_ended_while_an_append_hangs_stays_ended_and_leaves_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    for dialect in BOTH {
        for framing in [
            &*format!("Content-Length: {LENGTH}"),
            "Transfer-Encoding: chunked",
        ] {
            let path = dialect.begin(&client, LENGTH);
            assert_eq!(dialect.append(&client, &path, 0, b"").status, 204);
            let mut hangs = dialect.hang(&site, &path, framing, &noise(1, SENT));
            let fields = &dialect.fields()[..usize::from(dialect == Dialect::Tus)];
            assert_eq!(client.ask("DELETE", &path, fields).status, 204);
            assert_eq!(dialect.head(&client, &path).status, 410);
            if framing.ends_with("chunked") {
                hangs.write_all(b"\r\n0\r\n\r\n").unwrap();
            } else {
                hangs.write_all(&noise(1, LENGTH - SENT)).unwrap();
            }
            let late = answer_of(hangs);
            late.assert_problem(410, "upload-ended");
            assert_eq!(dialect.head(&client, &path).status, 410);
            let id = path.strip_prefix("/uploads/").unwrap();
            wait_until("nothing is left", || {
                site.names("spool").is_empty()
                    && !site.names("journal/body").iter().any(|name| name == id)
            });
        }
    }
}

#[test]
fn a_body_longer_than_the_length_never_makes_the_upload_longer() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, LENGTH);
    for extra in [1, 400_000] {
        let long = noise(2, LENGTH + extra);
        for framing in [
            &*format!("Content-Length: {}", LENGTH + extra),
            "Transfer-Encoding: chunked",
        ] {
            for dialect in BOTH {
                let path = dialect.begin(&client, LENGTH);
                let head = format!(
                    "PATCH {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n"
                );
                let fields = dialect
                    .fields()
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"));
                let head = format!(
                    "{head}{}Upload-Offset: 0\r\n\r\n",
                    fields.collect::<String>()
                );
                let mut wire = head.into_bytes();
                if framing.ends_with("chunked") {
                    wire.extend_from_slice(format!("{:x}\r\n", long.len()).as_bytes());
                    wire.extend_from_slice(&long);
                    wire.extend_from_slice(b"\r\n0\r\n\r\n");
                } else {
                    wire.extend_from_slice(&long);
                }
                let refused = site.raw(&wire);
                match dialect {
                    Dialect::Tus => {
                        refused.assert_problem(413, "beyond-upload-length");
                        assert_eq!(dialect.offset(&client, &path), 0);
                        dialect.finish(&client, &path, 0, &content);
                        assert!(file_of(&client, &path) == content);
                    }
                    // The draft has such an upload ended (§4.4).
                    Dialect::Draft => {
                        refused.assert_problem(400, "inconsistent-upload-length");
                        assert_eq!(dialect.head(&client, &path).status, 410);
                    }
                }
            }
        }
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn a_broken_body_of_the_draft_counts_and_completes_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, LENGTH);
    let dialect = Dialect::Draft;
    for is_reset in [false, true] {
        for framing in [
            &*format!("Content-Length: {LENGTH}"),
            "Transfer-Encoding: chunked",
        ] {
            let path = dialect.begin(&client, LENGTH);
            let stream = dialect.hang(&site, &path, framing, &content[..SENT]);
            if is_reset {
                let now = Some(std::time::Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&stream, now).unwrap();
            }
            drop(stream);
            wait_until("the bytes count", || dialect.offset(&client, &path) > 0);
            let kept = dialect.offset(&client, &path);
            assert!(kept <= SENT && kept + BUFFER >= SENT, "{framing}: {kept}");
            assert_eq!(dialect.head(&client, &path).header("upload-complete"), "?0");
            let last = dialect.finish(&client, &path, kept, &content[kept..]);
            assert_eq!(last.header("upload-complete"), "?1", "{last:?}");
            assert!(file_of(&client, &path) == content, "{framing}");
        }
    }
    // All bytes came, and the end of the body did not.
    let path = dialect.begin(&client, 4 * BUFFER);
    let framing = "Upload-Draft-Interop-Version: 8\r\nTransfer-Encoding: chunked";
    drop(dialect.hang(&site, &path, framing, &content[..4 * BUFFER]));
    wait_until("the bytes count", || dialect.offset(&client, &path) > 0);
    assert_eq!(dialect.head(&client, &path).header("upload-complete"), "?0");
    // A digest of the whole body says nothing of a part.
    let path = dialect.begin(&client, LENGTH);
    let digest = "Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let framing = format!("{digest}\r\nContent-Length: {LENGTH}");
    drop(dialect.hang(&site, &path, &framing, &content[..SENT]));
    wait_until("nginx has logged it", || {
        let log = site.access_log();
        let mut lines = log.lines().filter(|line| line.contains(&*path));
        lines.any(|line| line.contains("PATCH ") && line.contains("\" 499 "))
    });
    assert_eq!(dialect.offset(&client, &path), 0);
}
