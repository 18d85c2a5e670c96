//! Several nodes behind one name: each node gives the same answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kit::{Builder, Cluster, Mongo, Site, Uploaded, noise, wait_until};
use mongodb::bson::doc;

/// Asserts that all nodes give the same file by every kind of request.
fn assert_same_everywhere(cluster: &Cluster, path: &str, content: &[u8]) {
    let ask = |method: &str, headers: &[(&str, &str)]| {
        cluster.agree(|client| client.ask(method, path, headers))
    };
    let get = ask("GET", &[]);
    assert!(get.status == 200 && get.body == content, "{path}");
    get.assert_harmless();
    let tag = get.header("etag");
    let modified = get.header("last-modified");
    let head = ask("HEAD", &[]);
    assert_eq!((head.status, head.header("etag")), (200, tag));
    assert_eq!(head.header("content-length"), content.len().to_string());
    let last = content.len() - 1;
    for (range, part) in [
        ("bytes=0-0", &content[..1]),
        ("bytes=10-99", &content[10..100]),
        ("bytes=-7", &content[last - 6..]),
        (&format!("bytes={last}-"), &content[last..]),
    ] {
        let answer = ask("GET", &[("Range", range), ("If-Range", tag)]);
        assert!(
            answer.status == 206 && answer.body == part,
            "{path} {range}"
        );
        let other = ask("GET", &[("Range", range), ("If-Range", "\"x\"")]);
        assert!(other.status == 200 && other.body == content);
    }
    let beyond = format!("bytes={}-", content.len());
    for (headers, status) in [
        (("If-None-Match", tag), 304),
        (("If-Modified-Since", modified), 304),
        (("If-Match", "\"x\""), 412),
        (("Range", &beyond), 416),
    ] {
        let answer = ask("GET", &[headers]);
        assert_eq!(answer.status, status, "{headers:?}");
        answer.assert_harmless();
    }
}

/// Asserts that all nodes tell the same of a file.
fn assert_described_everywhere(cluster: &Cluster, path: &str, state: &str) {
    let meta = cluster.agree(|client| client.get(&format!("{path}/meta")));
    assert_eq!(meta.status, 200);
    assert_eq!(meta.header("cache-control"), "no-store");
    let document = meta.json();
    let id = document["id"].as_str().unwrap();
    assert!(
        path.ends_with(id) && document["state"] == state,
        "{document}"
    );
}

fn assert_gone_everywhere(cluster: &Cluster, path: &str) {
    for client in cluster.clients() {
        client.get(path).assert_problem(404, "not-found");
        let range = client.get_with(path, &[("Range", "bytes=0-1")]);
        range.assert_problem(404, "not-found");
        assert_eq!(client.head(path).status, 404);
    }
}

#[test]
fn what_one_node_has_accepted_is_the_same_through_every_node_without_mongodb() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::default());
    let client = cluster.nodes[0].client();
    let in_log = noise(1, 8000);
    let in_file = noise(2, 3_000_000);
    let small = client.upload(&in_log);
    let large = client.upload(&in_file);
    assert_same_everywhere(&cluster, &small.path, &in_log);
    assert_same_everywhere(&cluster, &large.path, &in_file);
    let parts = [noise(3, 2_500_000), noise(4, 100_000)];
    let paths = client.upload_form([&parts[0], &parts[1]]);
    for (path, content) in paths.iter().zip(&parts) {
        assert_same_everywhere(&cluster, path, content);
        assert_same_everywhere(&cluster, &format!("{path}/any%20name"), content);
    }
    for content in [&in_log, &in_file] {
        let shown = client.post("/files", &[("Content-Type", "image/png")], content);
        let path = shown.header("location");
        for (query, kind) in [("", "inline"), ("?a=b&download", "attachment")] {
            for method in ["GET", "HEAD"] {
                let answer =
                    cluster.agree(|client| client.ask(method, &format!("{path}{query}"), &[]));
                let disposition = answer.header("content-disposition");
                assert!(
                    disposition.starts_with(kind),
                    "{method} {query}: {disposition}"
                );
            }
        }
    }
    let empty = client.upload(b"");
    let answer = cluster.agree(|client| client.get(&empty.path));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    for path in [&small.path, &large.path, &paths[1], &empty.path] {
        assert_described_everywhere(&cluster, path, "pending");
    }
    let deleted = client.delete(&empty.path);
    assert_eq!(deleted.status, 204);
    assert_gone_everywhere(&cluster, &format!("{}/meta", empty.path));
}

#[test]
fn a_file_is_read_through_every_node_from_the_moment_of_the_201_through_its_commit() {
    let mongo = Mongo::start();
    let builder = Builder::default().set("settled_grace_seconds", 0);
    let cluster = Cluster::start(3, &builder, &mongo);
    let is_over = AtomicBool::new(false);
    let uploaded: Vec<(Uploaded, Vec<u8>)> = std::thread::scope(|scope| {
        // Commits are stopped and go on meanwhile.
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                mongo.fail_sidecars(
                    doc! { "times": 20 },
                    doc! { "failCommands": ["insert"], "errorCode": 91 },
                );
                std::thread::yield_now();
            }
        });
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let clients = cluster.clients();
                scope.spawn(move || {
                    let mut uploaded = Vec::new();
                    for (round, length) in (0..40).zip([500, 200_000].into_iter().cycle()) {
                        let content = noise(1000 * round + writer, length);
                        let place = usize::try_from(writer).unwrap();
                        let file = clients[place].upload(&content);
                        for client in clients.iter().cycle().skip(place + 1).take(6) {
                            let meta = client.get(&format!("{}/meta", file.path));
                            assert_eq!(meta.json()["length"], length, "{meta:?}");
                            let answer = client.get(&file.path);
                            assert_eq!(answer.status, 200, "{}", file.path);
                            assert!(answer.body == content, "{}", file.path);
                            assert_eq!(answer.header("etag"), file.etag);
                        }
                        uploaded.push((file, content));
                    }
                    uploaded
                })
            })
            .collect();
        let uploaded = writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap());
        let uploaded = uploaded.collect();
        is_over.store(true, Ordering::SeqCst);
        uploaded
    });
    mongo.heal();
    cluster.nodes.iter().for_each(Site::wait_until_empty);
    for (file, content) in uploaded {
        let answer = cluster.agree(|client| client.get(&file.path));
        assert!(answer.status == 200 && answer.body == content);
        assert_described_everywhere(&cluster, &file.path, "committed");
    }
}

#[test]
fn a_file_whose_node_does_not_answer_is_asked_for_again_and_never_missing() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let content = noise(1, 300_000);
    let client = cluster.nodes[0].client();
    let (file, unwanted) = (client.upload(&content), client.upload(b"unwanted"));
    let other = cluster.nodes[1].client();
    let assert_unavailable = |headers: &[(&str, &str)]| {
        let begun = Instant::now();
        let answer = other.get_with(&file.path, headers);
        // This is far below nginx's own time-out of a minute.
        assert!(begun.elapsed() < Duration::from_secs(45));
        answer.assert_problem(503, "unavailable");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
        assert!(answer.header("cache-control").is_empty());
        assert_eq!(other.head(&file.path).status, 503);
        other
            .delete(&unwanted.path)
            .assert_problem(503, "unavailable");
    };
    cluster.nodes[0].kill_sidecar();
    assert_unavailable(&[]);
    assert_unavailable(&[("If-None-Match", &file.etag)]);
    cluster.nodes[0].stop_nginx();
    assert_unavailable(&[("Range", "bytes=0-1")]);
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].start_nginx();
    cluster.wait_until_seen(1, 1, "up");
    assert!(other.get(&file.path).body == content);
    cluster.nodes[0].freeze();
    assert_unavailable(&[]);
    cluster.nodes[0].thaw();
    wait_until("the file is back", || other.get(&file.path).status == 200);
    assert!(other.get(&file.path).body == content);
}

#[test]
fn what_its_node_no_longer_has_comes_from_gridfs_even_if_the_node_was_asked_first() {
    let mongo = Mongo::start();
    let builder = Builder::default().set("settled_grace_seconds", 0);
    let cluster = Cluster::start(2, &builder, &mongo);
    let content = noise(1, 2_500_000);
    let file = cluster.nodes[0].client().upload(&content);
    cluster.nodes[0].wait_until_empty();
    // The node takes MongoDB for down, and so asks the owner without asking GridFS.
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["ping"], "errorCode": 13 },
    );
    for node in &cluster.nodes {
        wait_until("MongoDB is missed", || {
            node.status()["mongodb"]["state"] == "down"
        });
    }
    assert_same_everywhere(&cluster, &file.path, &content);
    let live = cluster.agree(|client| client.get(&format!("{}?live", file.path)));
    assert!(
        live.status == 200 && live.body == content,
        "{}",
        live.status
    );
    let unknown = "/files/6500000000010102030405ff";
    let answer = cluster.nodes[1].client().get(unknown);
    answer.assert_problem(404, "not-found");
}

#[test]
fn a_file_that_is_nowhere_is_not_found_only_when_its_node_and_mongodb_say_so() {
    let mut mongo = Mongo::start();
    let cluster = Cluster::start(2, &Builder::default(), &mongo);
    let unknown = "/files/6500000000020102030405ff";
    let other = cluster.nodes[0].client();
    other.get(unknown).assert_problem(404, "not-found");
    other.delete(unknown).assert_problem(404, "not-found");
    mongo.stop();
    wait_until("MongoDB is missed", || {
        cluster.nodes[0].status()["mongodb"]["state"] == "down"
    });
    // The answer on the first one is known for a moment.
    let second = "/files/6500000000020102030405fe";
    other.get(second).assert_problem(503, "unavailable");
}

#[test]
fn a_pending_file_is_deleted_through_any_node_and_gone_from_all() {
    let mut mongo = Mongo::start();
    let cluster = Cluster::start(3, &Builder::default(), &mongo);
    mongo.stop();
    let client = cluster.nodes[0].client();
    let other = cluster.nodes[1].client();
    let files = [100, 100_000].map(|length| client.upload(&noise(1, length)));
    for file in &files {
        assert_eq!(cluster.agree(|client| client.get(&file.path)).status, 200);
        let answer = other.delete(&file.path);
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_gone_everywhere(&cluster, &file.path);
        assert_eq!(other.delete(&file.path).status, 404);
    }
    mongo.restart();
    mongo.wait_for_primary();
    cluster.nodes[0].wait_until_committed();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
    for file in &files {
        assert_gone_everywhere(&cluster, &file.path);
    }
}

#[test]
fn a_file_that_is_deleted_in_the_moment_of_its_commit_is_gone_where_it_was_deleted() {
    let mongo = Mongo::start();
    let cluster = Cluster::start(2, &Builder::default(), &mongo);
    let [owner, other] = [0, 1].map(|node| cluster.nodes[node].client());
    for number in 0..40 {
        let file = owner.upload(&noise(number, 100));
        assert_eq!(other.delete(&file.path).status, 204);
        for client in [&other, &owner, &other] {
            client.get(&file.path).assert_problem(404, "not-found");
        }
    }
}

#[test]
fn a_committed_file_is_deleted_through_any_node_at_once_there_and_soon_everywhere() {
    let mongo = Mongo::start();
    let cluster = Cluster::start(3, &Builder::default(), &mongo);
    let client = cluster.nodes[0].client();
    let files = [100, 2_500_000].map(|length| client.upload(&noise(1, length)));
    cluster.nodes[0].wait_until_committed();
    for file in &files {
        // Its body is still on the first node's disk, and in the caches of the others.
        assert_eq!(cluster.agree(|client| client.get(&file.path)).status, 200);
        assert_eq!(cluster.nodes[1].client().delete(&file.path).status, 204);
        for node in &cluster.nodes[..2] {
            node.client()
                .get(&file.path)
                .assert_problem(404, "not-found");
        }
        let third = cluster.nodes[2].client();
        wait_until("the third node notices", || {
            third.get(&file.path).status == 404
        });
        assert_eq!(
            third.get_with(&file.path, &[("Range", "bytes=0-1")]).status,
            404
        );
    }
}
