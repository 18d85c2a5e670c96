//! Requests for resumable uploads that come to another node than the one that has them.

use std::io::Write as _;

use kit::{Answer, Builder, Client, Cluster, Site, noise, read_to_end, wait_until};

/// The version of tus, in each request.
pub(crate) const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");

pub(crate) const TYPE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// Begins an upload of this length, by tus; returns its path.
pub(crate) fn begin(client: &Client, length: usize) -> String {
    let length = length.to_string();
    let answer = client.post("/uploads", &[TUS, ("Upload-Length", &length)], b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").to_owned()
}

pub(crate) fn append(client: &Client, path: &str, offset: usize, body: &[u8]) -> Answer {
    let offset = offset.to_string();
    client.patch(path, &[TUS, TYPE, ("Upload-Offset", &offset)], body)
}

/// The offset that a node tells.
pub(crate) fn offset(client: &Client, path: &str) -> usize {
    let answer = client.ask("HEAD", path, &[TUS]);
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.header("upload-offset").parse().unwrap()
}

/// The head of an append; `framing` tells how long its body is.
pub(crate) fn head_of_append(path: &str, offset: usize, framing: &str) -> String {
    format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\n{}: {}\r\n{}: {}\r\nUpload-Offset: {offset}\r\n{framing}\r\n\r\n",
        TUS.0, TUS.1, TYPE.0, TYPE.1
    )
}

/// The upload that `/files` has when it is complete.
pub(crate) fn file_of(path: &str) -> String {
    path.replace("/uploads/", "/files/")
}

fn spooled(site: &Site) -> usize {
    site.names("spool").len()
}

#[test]
fn each_append_may_come_to_another_node_and_is_spooled_once_by_the_node_of_the_upload() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::without_log());
    let clients = cluster.clients();
    let content = noise(1, 600_000);
    let path = begin(&clients[0], content.len());
    let (owner, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    // Small ones come with their heads, others are spooled.
    let mut at = 0;
    for (client, end) in clients.iter().cycle().zip([10, 50_000, 50_001, 200_000]) {
        let answer = append(client, &path, at, &content[at..end]);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("upload-offset"), end.to_string());
        at = end;
        for client in &clients {
            assert_eq!(offset(client, &path), at);
        }
    }
    // A refusal of its node comes through unchanged, before or after the body.
    for length in [10, 100_000] {
        let answer = append(&clients[1], &path, 7, &content[..length]);
        answer.assert_problem(409, "mismatching-upload-offset");
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
        let answer = append(&clients[1], &path, at, &noise(2, 400_000 + length));
        assert!(matches!(answer.status, 400 | 413), "{answer:?}");
    }
    let (first, rest) = content[at..].split_at(300_000);
    let chunked = head_of_append(&path, at, "Connection: close\r\nTransfer-Encoding: chunked");
    let mut stream = other.connect();
    stream.write_all(chunked.as_bytes()).unwrap();
    write!(stream, "{:x}\r\n", first.len()).unwrap();
    stream.write_all(first).unwrap();
    wait_until("its node spools the body", || spooled(owner) == 1);
    assert_eq!(spooled(other), 0);
    write!(stream, "\r\n{:x}\r\n", rest.len()).unwrap();
    stream.write_all(rest).unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    let answer = Answer::from_wire(&read_to_end(stream)).unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("content-location"), file_of(&path));
    for client in &clients {
        assert!(client.get(&file_of(&path)).body == content, "other bytes");
    }
}

#[test]
fn an_upload_of_a_node_that_is_away_is_unavailable_and_goes_on_when_it_is_back() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let clients = cluster.clients();
    let content = noise(1, 100_000);
    let path = begin(&clients[0], content.len());
    assert_eq!(append(&clients[1], &path, 0, &content[..10]).status, 204);
    let ask = |method: &str, headers: &[(&str, &str)]| clients[1].ask(method, &path, headers);
    for method in ["HEAD", "PATCH", "DELETE"] {
        // A node sends no request on that another has sent.
        let answer = ask(method, &[TUS, ("X-Gridspool-Hop", "1")]);
        assert_eq!(answer.status, 503, "{method}");
    }
    cluster.nodes[0].stop_nginx();
    for method in ["HEAD", "DELETE"] {
        let answer = ask(method, &[TUS]);
        assert_eq!(answer.status, 503, "{method}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
    for body in [&content[10..20], &content[10..]] {
        let answer = append(&clients[1], &path, 10, body);
        answer.assert_problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
    cluster.nodes[0].start_nginx();
    assert_eq!(offset(&clients[1], &path), 10);
    assert_eq!(append(&clients[1], &path, 10, &content[10..]).status, 204);
    assert!(clients[1].get(&file_of(&path)).body == content);
    let second = begin(&clients[0], 10);
    let ended = clients[1].ask("DELETE", &second, &[TUS]);
    assert_eq!(ended.status, 204, "{ended:?}");
    for client in &clients {
        let status = client.ask("HEAD", &second, &[TUS]).status;
        assert!(matches!(status, 404 | 410), "{status}");
    }
}

#[test]
fn a_drained_node_takes_what_is_missing_of_its_open_uploads_and_begins_none() {
    let cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let clients = cluster.clients();
    let content = noise(1, 100_000);
    let paths = [(); 2].map(|()| begin(&clients[0], content.len()));
    assert_eq!(cluster.nodes[0].ask_admin("POST", "/drain").0, 200);
    for (client, path) in clients.iter().zip(&paths) {
        assert_eq!(append(client, path, 0, &content[..10]).status, 204);
        assert_eq!(offset(client, path), 10);
        assert_eq!(append(client, path, 10, &content[10..]).status, 204);
        assert!(client.get(&file_of(path)).body == content);
    }
    for body in [&content[..0], &content[..10], &content] {
        let length = ("Upload-Length", "100000");
        let refused = clients[0].post("/uploads", &[TUS, TYPE, length], body);
        refused.assert_problem(503, "draining");
    }
}

#[test]
fn nginx_itself_tells_clients_that_resume_how_long_an_upload_may_be_and_takes_a_patch_nowhere_else()
{
    let site = Site::without_mongodb();
    let ask = |line: &str, field: &str| {
        let framing = "Connection: close\r\nContent-Length: 17179869185\r\n";
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{framing}{field}\r\n");
        site.head_alone(head.as_bytes())
    };
    let told = ("max-size=17179869184", "?0");
    for (line, field, (limit, complete)) in [
        ("PATCH /uploads/a", "Upload-Complete: ?0\r\n", told),
        ("PATCH /uploads/a", "Tus-Resumable: 1.0.0\r\n", (told.0, "")),
        ("POST /files", "Upload-Complete: ?0\r\n", told),
        ("POST /files", "", ("", "")),
    ] {
        let answer = ask(line, field);
        answer.assert_problem(413, "too-large");
        assert_eq!(answer.header("upload-limit"), limit, "{line} {field}");
        assert_eq!(answer.header("upload-complete"), complete, "{line} {field}");
    }
    for path in ["/files", "/files/a", "/messages"] {
        ask(&format!("PATCH {path}"), "").assert_problem(405, "method-not-allowed");
    }
}
