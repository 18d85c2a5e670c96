//! Bodies under an idempotency key that break off: their senders find them again by the key.

use std::io::Write as _;
use std::process::Command;

use kit::{Answer, Builder, Client, Cluster, Site, noise, read_to_end, wait_until};

use crate::upload_routing::{TUS, append, file_of};
use crate::upload_salvage::{BUFFER, SENT, reset, send_part};

const LENGTH: usize = 1_200_000;

const TYPE: (&str, &str) = ("Content-Type", "image/png");

const BY_KEY: &str = "/uploads/by-key";

/// The answer to a question for what a key has brought.
pub(crate) fn by_key(client: &Client, key: &str) -> Answer {
    let answer = client.ask("HEAD", BY_KEY, &[("Idempotency-Key", key)]);
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    answer
}

/// Waits until a key has brought an upload; returns its path and its offset.
fn found(client: &Client, key: &str) -> (String, usize) {
    wait_until("the key has brought an upload", || {
        by_key(client, key).status == 204
    });
    let answer = by_key(client, key);
    let offset = answer.header("upload-offset").parse().unwrap();
    (answer.header("location").to_owned(), offset)
}

/// The head of a request with these further lines.
fn head(line: &str, key: &str, lines: &[&str]) -> String {
    let lines = lines.join("\r\n");
    format!("{line} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {key}\r\n{lines}\r\n\r\n")
}

/// Sends a part of a body, and goes away. Returns what the key has brought then.
fn break_off(site: &Site, key: &str, head: &str, part: &[u8]) -> (String, usize) {
    drop(send_part(site, site, head, part, false));
    found(&site.client(), key)
}

/// Sends the rest of an upload as its last piece, by the draft.
pub(crate) fn go_on(client: &Client, path: &str, offset: usize, rest: &[u8]) -> Answer {
    let offset = offset.to_string();
    let head = [
        ("Content-Type", "application/partial-upload"),
        ("Upload-Offset", &*offset),
        ("Upload-Complete", "?1"),
    ];
    client.patch(path, &head, rest)
}

fn put(client: &Client, name: &str, key: &str, body: &[u8]) -> Answer {
    client.put_with(name, &[TYPE, ("Idempotency-Key", key)], body)
}

fn assert_kept(kept: usize, case: &str) {
    let is_right = kept <= SENT && kept + BUFFER >= SENT;
    assert!(is_right, "{case}: {kept}");
}

#[test]
fn a_beginning_with_content_that_breaks_off_is_told_to_the_retry_under_its_key() {
    let mut site = Builder::without_log().start_without_mongodb();
    let time_out = ("client_body_timeout 60s", "client_body_timeout 2s");
    site.change_nginx(&[("gridspool/body.conf", time_out.0, time_out.1)]);
    let client = site.client();
    let content = noise(1, LENGTH);
    let length = format!("Upload-Length: {LENGTH}");
    let tus = [
        "Tus-Resumable: 1.0.0",
        "Content-Type: application/offset+octet-stream",
        &length,
    ];
    let draft = ["Upload-Complete: ?0", "Content-Type: image/png", &length];
    let ways = [
        ("POST /uploads", tus),
        ("POST /files", draft),
        ("PUT /files/a.png", draft),
    ];
    for (line, lines) in ways {
        for end in ["fin", "rst", "stall"] {
            for framing in ["Content-Length: 1200000", "Transfer-Encoding: chunked"] {
                let case = format!("{line} {end} {framing}");
                let key = case.replace([' ', '/', ':'], "-");
                let lines = [&lines[..], &[framing]].concat();
                let head = head(line, &key, &lines);
                let is_chunked = framing.ends_with("chunked");
                let stream = send_part(&site, &site, &head, &content[..SENT], is_chunked);
                match end {
                    "rst" => reset(&stream),
                    "stall" => drop(read_to_end(stream.try_clone().unwrap())),
                    _ => {}
                }
                drop(stream);
                let (path, kept) = found(&client, &key);
                assert_kept(kept, &case);
                let again = again(&client, line, &lines, &key);
                assert_eq!(again.status, 201, "{case}: {again:?}");
                assert_eq!(again.header("location"), path, "{case}");
                assert_eq!(again.header("upload-offset"), kept.to_string(), "{case}");
                let answer = append(&client, &path, kept, &content[kept..]);
                assert_eq!(answer.status, 204, "{case}: {answer:?}");
                let file = client.get(&file_of(&path));
                assert!(file.body == content, "{case}");
                assert_eq!(by_key(&client, &key).header("upload-complete"), "?1");
            }
        }
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

/// Sends the head of a beginning again, without a body.
fn again(client: &Client, line: &str, lines: &[&str], key: &str) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let fields = lines.iter().map(|line| line.split_once(": ").unwrap());
    let fields = fields.filter(|(name, _)| !["Content-Length", "Transfer-Encoding"].contains(name));
    let fields: Vec<_> = fields.chain([("Idempotency-Key", key)]).collect();
    match method {
        "POST" => client.post(path, &fields, b""),
        _ => client.put_with(path, &fields, b""),
    }
}

/// The head of a plain upload of `LENGTH` bytes.
fn plain(name: &str, key: &str) -> String {
    let lines = ["Content-Type: image/png", "Content-Length: 1200000"];
    head(&format!("PUT {name}"), key, &lines)
}

/// The number of files and uploads in the journal that were not deleted.
fn kept(site: &Site) -> usize {
    site.names("journal/body").len()
}

#[test]
fn a_plain_upload_that_breaks_off_goes_on_in_pieces_and_its_key_stands_for_one_file() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, LENGTH);
    let ways: [(&str, Append<'_>); 2] = [("draft", &go_on), ("tus", &append)];
    for (key, last) in ways {
        let name = format!("/files/{key}.png");
        let (path, offset) = break_off(&site, key, &plain(&name, key), &content[..SENT]);
        assert_kept(offset, key);
        let status = by_key(&client, key);
        assert_eq!(status.header("upload-length"), LENGTH.to_string());
        assert_eq!(status.header("upload-complete"), "?0");
        // A retry that breaks off, too, adds its bytes if it got farther.
        let mut told = offset;
        for (number, more) in [(2, 200_000), (3, 0)] {
            let part = &content[..SENT + more];
            drop(send_part(&site, &site, &plain(&name, key), part, false));
            wait_until("it is over", || ended(&site, &name) == number);
            let (again, now) = found(&client, key);
            assert_eq!(again, path);
            assert_eq!(now > told, more > 0, "{told} {now}");
            told = now;
        }
        let offset = told;
        let answer = last(&client, &path, offset, &content[offset..]);
        assert!(matches!(answer.status, 201 | 204), "{answer:?}");
        let file = client.get(&file_of(&path));
        assert!(file.body == content, "{key}");
        assert_eq!(file.header("content-type"), "image/png");
        // The whole file under the key is the same file.
        let whole = put(&client, &name, key, &content);
        assert_eq!(whole.status, 201, "{whole:?}");
        assert_eq!(whole.header("location"), file_of(&path));
        assert_eq!(whole.json()["filename"], format!("{key}.png"));
        let other = put(&client, "/files/b.png", key, &content);
        other.assert_problem(422, "idempotency-key-reused");
    }
    assert_eq!(kept(&site), 2);
}

type Append<'a> = &'a dyn Fn(&Client, &str, usize, &[u8]) -> Answer;

/// The number of requests to a path that nginx has logged as broken off.
fn ended(site: &Site, path: &str) -> usize {
    let log = site.access_log();
    let lines = log.lines().filter(|line| line.contains(path));
    let is_whole = |line: &&str| line.contains("\" 201 ") || line.contains("\" 422 ");
    lines.filter(|line| !is_whole(line)).count()
}

#[test]
fn a_whole_upload_under_the_key_takes_the_place_of_what_an_earlier_one_has_left() {
    let site = Site::without_mongodb();
    let client = site.client();
    let (content, name) = (noise(1, LENGTH), "/files/a.png");
    // The salvage comes before the retry.
    let (path, _) = break_off(&site, "before", &plain(name, "before"), &content[..SENT]);
    put(&client, "/files/b.png", "before", &content).assert_problem(422, "idempotency-key-reused");
    assert_eq!(
        found(&client, "before").0,
        path,
        "another upload ends nothing"
    );
    let whole = put(&client, name, "before", &content);
    assert_eq!(whole.status, 201, "{whole:?}");
    assert_ne!(whole.header("location"), file_of(&path));
    assert_eq!(client.ask("HEAD", &path, &[TUS]).status, 410);
    let (now, offset) = found(&client, "before");
    assert_eq!(
        (file_of(&now), offset),
        (whole.header("location").to_owned(), LENGTH)
    );
    assert_eq!(
        put(&client, name, "before", &content).header("location"),
        file_of(&now)
    );
    // It comes while the retry is in flight.
    let mut retry = site.connect();
    let head = plain(name, "within").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let first = send_part(
        &site,
        &site,
        &plain(name, "within"),
        &content[..SENT],
        false,
    );
    retry.write_all(head.as_bytes()).unwrap();
    retry.write_all(&content[..SENT]).unwrap();
    wait_until("nginx spools both", || site.names("spool").len() == 2);
    drop(first);
    found(&client, "within");
    retry.write_all(&content[SENT..]).unwrap();
    let whole = Answer::from_wire(&read_to_end(retry)).unwrap();
    assert_eq!(whole.status, 201, "{whole:?}");
    assert_eq!(
        file_of(&found(&client, "within").0),
        whole.header("location")
    );
    // It comes after the retry.
    let first = send_part(&site, &site, &plain(name, "after"), &content[..SENT], false);
    let whole = put(&client, name, "after", &content);
    let before = ended(&site, name);
    drop(first);
    wait_until("the first one is over", || ended(&site, name) > before);
    let (now, offset) = found(&client, "after");
    assert_eq!(
        (file_of(&now), offset),
        (whole.header("location").to_owned(), LENGTH)
    );
    assert!(client.get(&file_of(&now)).body == content);
    assert_eq!(kept(&site), 3);
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn what_a_key_has_brought_is_told_by_every_node_and_its_retry_through_another_is_one_file() {
    let mut cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let clients = cluster.clients();
    let content = noise(1, LENGTH);
    let name = "/files/a.png";
    for client in &clients {
        assert_eq!(by_key(client, "absent").status, 404);
        let none = client.get(BY_KEY);
        none.assert_problem(400, "bad-idempotency-key");
        assert!(none.json()["detail"].as_str().unwrap().contains("has no"));
    }
    // Whichever node gets the body, it may be a witness of its key or not.
    for (node, key) in ["a", "b", "c"].into_iter().enumerate() {
        let site = &cluster.nodes[node];
        let (path, offset) = break_off(site, key, &plain(name, key), &content[..SENT]);
        assert_kept(offset, key);
        for client in &clients {
            assert_eq!(found(client, key), (path.clone(), offset));
            let told = by_key(client, key);
            assert_eq!(told.header("upload-complete"), "?0");
            assert_eq!(told.header("upload-length"), LENGTH.to_string());
        }
        let [other, third] = [1, 2].map(|more| &clients[(node + more) % 3]);
        let whole = if node == 0 {
            go_on(other, &path, offset, &content[offset..])
        } else {
            // The whole file takes the place of these bytes, through another node, too.
            put(other, name, key, &content)
        };
        assert_eq!(whole.status, 201, "{whole:?}");
        let file = whole.header("location");
        assert_eq!(file == file_of(&path), node == 0);
        if node > 0 {
            assert_eq!(third.ask("HEAD", &path, &[TUS]).status, 410);
        }
        assert_eq!(put(third, name, key, &content).header("location"), file);
        for client in &clients {
            let (now, length) = found(client, key);
            assert_eq!((&*file_of(&now), length), (file, LENGTH));
            assert_eq!(by_key(client, key).header("upload-complete"), "?1");
        }
    }
    let entries = cluster.nodes.iter().map(|node| node.entries("incoming"));
    assert_eq!(entries.sum::<u64>(), 3);
    // Nobody else knows how far it is.
    let head = plain(name, "away");
    let (path, offset) = break_off(&cluster.nodes[0], "away", &head, &content[..SENT]);
    cluster.nodes[0].kill_sidecar();
    for client in &clients[1..] {
        let unsure = client.get_with(BY_KEY, &[("Idempotency-Key", "away")]);
        unsure.assert_problem(503, "key-unsure");
    }
    cluster.nodes[0].start_sidecar();
    for client in &clients[1..] {
        assert_eq!(found(client, "away"), (path.clone(), offset));
    }
}

#[test]
fn nothing_is_kept_of_a_short_body_or_one_with_a_digest_and_a_digest_of_the_whole_is_checked() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, LENGTH);
    let digest = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let [of_content, of_whole] =
        ["Content-Digest", "Repr-Digest"].map(|name| format!("{name}: {digest}"));
    let long = "Content-Length: 1200000";
    for (key, lines) in [
        ("short", vec!["Content-Length: 1000000"]),
        ("digest", vec![long, &of_content]),
        ("chunked", vec!["Transfer-Encoding: chunked"]),
    ] {
        let name = format!("/files/{key}");
        let head = head(&format!("PUT {name}"), key, &lines);
        drop(send_part(
            &site,
            &site,
            &head,
            &content[..SENT],
            key == "chunked",
        ));
        wait_until("it is over", || ended(&site, &name) == 1);
        assert_eq!(by_key(&client, key).status, 404, "{key}");
    }
    for (key, line) in [
        ("told", "Upload-Length: 900000"),
        ("resumable", "Upload-Complete: ?1"),
    ] {
        let head = head("PUT /files/a", key, &[line, "Content-Length: 900000"]);
        assert_kept(break_off(&site, key, &head, &content[..SENT]).1, key);
    }
    let head = head("PUT /files/a", "whole", &[long, &of_whole]);
    let (path, offset) = break_off(&site, "whole", &head, &content[..SENT]);
    let answer = go_on(&client, &path, offset, &content[offset..]);
    answer.assert_problem(400, "digest-mismatch");
    assert_eq!(by_key(&client, "whole").status, 410);
    assert_eq!(client.ask("HEAD", BY_KEY, &[]).status, 400);
    let refused = client.post(BY_KEY, &[TUS], b"");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, "GET, HEAD, OPTIONS")
    );
}

#[test]
fn a_stream_of_http2_under_a_key_that_breaks_off_is_found_too() {
    let site = Site::without_mongodb();
    let client = site.client();
    let content = noise(1, LENGTH);
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("body");
    std::fs::write(&file, &content).unwrap();
    let mut command = Command::new("curl");
    command.args([
        "-sk",
        "--http2",
        "--limit-rate",
        "200k",
        "-H",
        "Idempotency-Key: a",
    ]);
    command
        .args(["-H", "Content-Type: image/png", "-T"])
        .arg(&file);
    let mut sender = command
        .arg(format!("{}/files/a.png", site.https_url()))
        .spawn()
        .unwrap();
    wait_until("nginx has written some of it", || {
        let spooled = site.names("spool");
        let length = |name| std::fs::metadata(site.data_dir().join("spool").join(name));
        let mut lengths = spooled.iter().filter_map(|name| length(name).ok());
        lengths.any(|found| found.len() > 100_000)
    });
    sender.kill().unwrap();
    sender.wait().unwrap();
    let (path, offset) = found(&client, "a");
    assert!(offset > 100_000);
    let answer = go_on(&client, &path, offset, &content[offset..]);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(client.get(&file_of(&path)).body == content);
}
