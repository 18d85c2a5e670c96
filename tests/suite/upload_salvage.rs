//! Appends whose bodies break off: the bytes that nginx has written count.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use kit::{Builder, Cluster, Site, noise, read_to_end, wait_until};

use crate::upload_routing::{TUS, TYPE, append, begin, file_of, head_of_append, offset};

/// nginx writes the body in pieces of this size (`client_body_buffer_size`).
pub(crate) const BUFFER: usize = 32 * 1024;

pub(crate) const SENT: usize = 300_000;

/// Sends a part of an append that says it is longer, and waits until nginx has written all but its last
/// buffer.
pub(crate) fn send_part(
    site: &Site,
    owner: &Site,
    head: &str,
    part: &[u8],
    is_chunked: bool,
) -> TcpStream {
    let mut stream = site.connect();
    stream.write_all(head.as_bytes()).unwrap();
    if is_chunked {
        for piece in part.chunks(7_000) {
            write!(stream, "{:x}\r\n", piece.len()).unwrap();
            stream.write_all(piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
    } else {
        stream.write_all(part).unwrap();
    }
    wait_until("nginx has written the part", || {
        let spooled = owner.names("spool");
        let length = |name: &String| std::fs::metadata(owner.data_dir().join("spool").join(name));
        let lengths = spooled.iter().filter_map(|name| length(name).ok());
        lengths
            .map(|found| usize::try_from(found.len()).unwrap())
            .any(|length| length + 2 * BUFFER > part.len())
    });
    stream
}

/// Returns the statuses of all appends to an upload that nginx has logged.
fn logged(site: &Site, path: &str) -> Vec<String> {
    let log = site.access_log();
    let lines = log.lines().filter(|line| line.contains("\"PATCH "));
    let lines = lines.filter(|line| line.contains(path));
    lines
        .map(|line| {
            let rest = line.rsplit('"').next().unwrap().trim();
            rest.split(' ').next().unwrap().to_owned()
        })
        .collect()
}

/// Ends a connection by RST.
pub(crate) fn reset(stream: &TcpStream) {
    let now = Some(std::time::Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(stream, now).unwrap();
}

#[test]
fn a_body_that_breaks_off_counts_less_the_last_buffer_and_the_upload_goes_on_behind_it() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::default());
    let time_out = ("client_body_timeout 60s", "client_body_timeout 2s");
    let body = ("gridspool/body.conf", time_out.0, time_out.1);
    let hop = ("gridspool/peer-upload.conf", time_out.0, time_out.1);
    for node in &mut cluster.nodes {
        node.change_nginx(&[body, hop]);
    }
    let content = noise(1, 700_000);
    let owner = &cluster.nodes[0];
    let client = owner.client();
    for site in &cluster.nodes {
        for end in ["fin", "rst", "stall"] {
            for framing in ["Content-Length: 700000", "Transfer-Encoding: chunked"] {
                let path = begin(&client, content.len());
                let head = head_of_append(&path, 0, framing);
                let is_chunked = framing.ends_with("chunked");
                let stream = send_part(site, owner, &head, &content[..SENT], is_chunked);
                match end {
                    "rst" => reset(&stream),
                    // The rest must not be read as a request: the connection ends.
                    "stall" => assert!(
                        !read_to_end(stream.try_clone().unwrap()).starts_with(b"HTTP/1.1 2")
                    ),
                    _ => {}
                }
                drop(stream);
                wait_until("the bytes count", || offset(&client, &path) > 0);
                let kept = offset(&client, &path);
                assert!(
                    kept <= SENT && kept + BUFFER >= SENT,
                    "{end} {framing}: {kept}"
                );
                let answer = append(&client, &path, kept, &content[kept..]);
                assert_eq!(answer.status, 204, "{answer:?}");
                assert!(
                    client.get(&file_of(&path)).body == content,
                    "{end} {framing}"
                );
                wait_until("nginx has logged both", || logged(owner, &path).len() >= 2);
                let mut statuses = logged(owner, &path);
                statuses.sort();
                assert_eq!(statuses, ["204", "499"], "{end} {framing}");
            }
        }
    }
    wait_until("the spool is empty", || owner.names("spool").is_empty());
}

#[test]
fn a_stream_of_http2_that_breaks_off_counts_too() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, 700_000);
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("body");
    std::fs::write(&file, &content).unwrap();
    for input in ["--data-binary", "-T"] {
        let path = begin(&client, content.len());
        let address = format!("{}{path}", site.https_url());
        let mut command = Command::new("curl");
        command.args(["-sk", "--http2", "-X", "PATCH", "--limit-rate", "200k"]);
        command.args(["-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Offset: 0"]);
        command.args(["-H", "Content-Type: application/offset+octet-stream"]);
        command.arg(input);
        match input {
            "-T" => command.arg(&file),
            _ => command.arg(format!("@{}", file.display())),
        };
        let mut sender = command.arg(&address).spawn().unwrap();
        wait_until("nginx has written some of it", || {
            let spooled = site.names("spool");
            let length = |name| std::fs::metadata(site.data_dir().join("spool").join(name));
            spooled
                .iter()
                .filter_map(|name| length(name).ok())
                .any(|found| found.len() > 100_000)
        });
        sender.kill().unwrap();
        sender.wait().unwrap();
        wait_until("the bytes count", || offset(&client, &path) > 100_000);
        let kept = offset(&client, &path);
        let answer = append(&client, &path, kept, &content[kept..]);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(client.get(&file_of(&path)).body == content, "{input}");
    }
}

#[test]
fn a_newer_append_is_not_overtaken_and_bytes_with_a_digest_do_not_count_in_part() {
    let site = Site::without_mongodb();
    let client = site.client();
    let (old, new) = (noise(1, 700_000), noise(2, 700_000));
    let path = begin(&client, old.len());
    let head = head_of_append(&path, 0, "Content-Length: 700000");
    let stream = send_part(&site, &site, &head, &old[..SENT], false);
    let mut newer = site.connect();
    let closing = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    newer.write_all(closing.as_bytes()).unwrap();
    newer.write_all(&new[..SENT]).unwrap();
    wait_until("nginx spools both", || site.names("spool").len() == 2);
    drop(stream);
    wait_until("the first one is over", || logged(&site, &path) == ["499"]);
    assert_eq!(offset(&client, &path), 0);
    newer.write_all(&new[SENT..]).unwrap();
    let answer = String::from_utf8(read_to_end(newer)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(client.get(&file_of(&path)).body == new, "other bytes");

    let path = begin(&client, old.len());
    let checksum = "Content-Length: 700000\r\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
    let head = head_of_append(&path, 0, checksum);
    drop(send_part(&site, &site, &head, &old[..SENT], false));
    wait_until("it is over", || logged(&site, &path) == ["499"]);
    assert_eq!(offset(&client, &path), 0);
}

#[test]
fn a_beginning_without_a_key_whose_content_breaks_off_leaves_nothing() {
    let site = Builder::without_log().start_without_mongodb();
    let content = noise(1, SENT);
    let beginnings = [
        ("/uploads", TUS, TYPE),
        (
            "/files",
            ("Upload-Complete", "?0"),
            ("Content-Type", "image/png"),
        ),
    ];
    for (path, dialect, kind) in beginnings {
        for is_reset in [false, true] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{}: {}\r\n{}: {}\r\n\
                 Upload-Length: 700000\r\nContent-Length: 700000\r\n\r\n",
                dialect.0, dialect.1, kind.0, kind.1
            );
            let stream = send_part(&site, &site, &head, &content, false);
            if is_reset {
                reset(&stream);
            }
            drop(stream);
            // Its sender was told no address.
            wait_until("the body is over", || site.names("spool").is_empty());
            assert_eq!(site.status()["journal"]["open_uploads"]["entries"], 0);
            assert!(site.names("journal/body").is_empty(), "{path}");
        }
    }
}
