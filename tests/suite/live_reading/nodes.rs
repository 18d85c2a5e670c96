//! Readers of an upload that come to another node, by another protocol, and with tokens.

use std::process::{Child, Command, Stdio};

use kit::{Builder, Cluster, Keys, Site, noise, wait_until};

use super::{Reader, append_by_draft, begin_without_length};
use crate::upload_routing::{TUS, append, begin, file_of};

#[test]
fn a_reader_at_another_node_gets_each_piece_at_once_and_notices_a_break() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::default());
    let clients = cluster.clients();
    let content = noise(1, 100_000);
    let live = |path: &str| format!("{}?live", file_of(path));
    let path = begin(&clients[0], content.len());
    let unknown = begin_without_length(&clients[0]);
    append_by_draft(&clients[0], &unknown, 0, false, &content[..10]);
    let mut whole = Reader::begin(&cluster.nodes[1], &path, "");
    let mut rest = Reader::begin(&cluster.nodes[1], &path, "Range: bytes=50000-\r\n");
    let mut chunked = Reader::begin(&cluster.nodes[1], &unknown, "");
    whole.wait_for(b"");
    rest.wait_for(b"");
    chunked.wait_for(&content[..10]);
    for reader in [&whole, &chunked] {
        assert!(
            reader.head().contains("cache-control: no-store"),
            "{}",
            reader.head()
        );
        assert!(!reader.head().contains("etag"), "{}", reader.head());
    }
    assert!(
        rest.head()
            .contains("content-range: bytes 50000-99999/100000")
    );
    assert_eq!(
        append(&clients[1], &path, 0, &content[..60_000]).status,
        204
    );
    whole.wait_for(&content[..60_000]);
    rest.wait_for(&content[50_000..60_000]);
    append_by_draft(&clients[1], &unknown, 10, true, &content[10..]);
    assert!(chunked.end().body == content, "other bytes");
    // It is no file yet, and no node has to ask MongoDB, which is away.
    clients[1]
        .get(&file_of(&path))
        .assert_problem(404, "not-found");
    let outside = clients[1].get_with(&live(&path), &[("Range", "bytes=100000-")]);
    assert_eq!(outside.status, 416, "{outside:?}");
    let head = clients[1].head(&live(&path));
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "100000")
    );
    let old = format!("GET {} HTTP/1.0\r\nHost: a\r\n\r\n", live(&path));
    cluster.nodes[1]
        .raw(old.as_bytes())
        .assert_problem(505, "version-not-supported");
    let second = begin_without_length(&clients[0]);
    append_by_draft(&clients[0], &second, 0, false, &content[..10]);
    let mut cut = Reader::begin(&cluster.nodes[1], &second, "");
    cut.wait_for(&content[..10]);
    cluster.nodes[0].kill_sidecar();
    for reader in [whole, rest, cut] {
        reader.broken();
    }
    for is_stopped in [false, true] {
        if is_stopped {
            cluster.nodes[0].stop_nginx();
        }
        let away = clients[1].get(&live(&path));
        away.assert_problem(503, "unavailable");
        assert!(!away.header("retry-after").is_empty(), "{away:?}");
    }
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].start_nginx();
    // The other node has noticed that it was away, and asks nothing of it until it has noticed that it is back.
    cluster.wait_until_met();
    let rest = Reader::begin(&cluster.nodes[1], &path, "Range: bytes=60000-\r\n");
    let answer = append(&clients[1], &path, 60_000, &content[60_000..]);
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(rest.end().body == content[60_000..], "other bytes");
    assert!(clients[1].get(&live(&path)).body == content, "other bytes");
}

/// curl, which reads an upload by HTTP/2 into a file.
fn by_http_2(site: &Site, path: &str, into: &std::path::Path) -> Child {
    Command::new("curl")
        .args(["-sSk", "--http2", "-N", "-o"])
        .arg(into)
        .arg(format!("{}{}?live", site.https_url(), file_of(path)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_client_of_http_2_gets_each_piece_at_once_and_notices_a_break() {
    let site = Site::without_mongodb();
    let client = site.client();
    let scratch = tempfile::tempdir().unwrap();
    for (name, is_known, is_whole) in [
        ("a", true, true),
        ("b", false, true),
        ("c", true, false),
        ("d", false, false),
    ] {
        let path = if is_known {
            begin(&client, 20)
        } else {
            begin_without_length(&client)
        };
        append_by_draft(&client, &path, 0, false, b"0123456789");
        let file = scratch.path().join(name);
        let mut curl = by_http_2(&site, &path, &file);
        wait_until("the first bytes", || {
            std::fs::read(&file).is_ok_and(|found| found == b"0123456789")
        });
        if is_whole {
            append_by_draft(&client, &path, 10, true, b"abcdefghij");
            assert!(curl.wait().unwrap().success(), "{name}");
            assert_eq!(std::fs::read(&file).unwrap(), b"0123456789abcdefghij");
        } else {
            assert_eq!(client.ask("DELETE", &path, &[TUS]).status, 204);
            assert!(!curl.wait().unwrap().success(), "{name}");
        }
    }
}

#[test]
fn a_reader_needs_the_right_to_download_and_the_bytes_have_no_address_without_one() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let client = site.client();
    let [sender, reader] = ["upload", "download"].map(|scope| keys.bearer(&["--scope", scope]));
    let authorized = [TUS, ("Authorization", &*sender), ("Upload-Length", "20")];
    let begun = client.post("/uploads", &authorized, b"");
    assert_eq!(begun.status, 201, "{begun:?}");
    let path = begun.header("location");
    let live = format!("{}?live", file_of(path));
    for (bearer, status) in [("", 401), (&*sender, 403)] {
        let answer = client.get_with(&live, &[("Authorization", bearer)]);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let id = path.strip_prefix("/uploads/").unwrap();
    for address in [
        format!("/_gridspool/live/{id}"),
        format!("/_gridspool/live/..%2F..%2Ffiles%2F{id}"),
        format!("/_gridspool/live%2F{id}"),
        format!("/files/..%2F_gridspool/live/{id}"),
        format!("/_gridspool/hop/live/{id}"),
        format!("/_gridspool/peer/1/live/{id}"),
    ] {
        let answer = client.get_with(&address, &[("Authorization", &*reader)]);
        assert!(
            matches!(answer.status, 400 | 403 | 404),
            "{address}: {answer:?}"
        );
    }
    let bearer = format!("Authorization: {reader}\r\n");
    let mut early = Reader::begin(&site, path, &bearer);
    early.wait_for(b"");
    drop(early);
    assert_eq!(client.ask("DELETE", path, &authorized[..2]).status, 204);
}
