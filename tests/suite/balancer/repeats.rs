//! Nodes that carry a request out and close the connection without an answer. Nobody sends an upload again for its
//! client, which alone knows whether it may be kept twice.

use kit::{Cluster, Link, Relay, Site, curl};

use crate::cluster_keys::kinds::KINDS;
use crate::upload_routing::{TUS, TYPE as APPENDS, begin, offset};

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Requests of balancers themselves.
const OWN: &[&str] = &["GET /_gridspool/", "GET /healthz"];

/// Loses the answers to clients.
const LOSES: Link = Link::LosesAnswers { except: OWN };

/// A relay before each of two nodes.
pub(crate) fn relays(cluster: &Cluster) -> [Relay; 2] {
    let addresses = cluster.addresses();
    [0, 1].map(|node| Relay::before(addresses[node].clone()))
}

/// Asserts that the balancer at `url`, before the relays, sends no upload twice, and that what it repeats does no
/// harm. MongoDB is away.
pub(crate) fn assert_no_upload_is_sent_twice(cluster: &Cluster, relays: &[Relay; 2], url: &str) {
    let client = cluster.nodes[0].client();
    let files = || -> u64 {
        let pending = |node: &Site| node.entries("incoming") + node.entries("deferred");
        cluster.nodes.iter().map(pending).sum()
    };
    let lost = || -> usize { relays.iter().map(Relay::lost).sum() };
    let send = |options: &[&str], path: &str, headers: Headers<'_>, body: &[u8]| {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        let lines: Vec<_> = lines.collect();
        let mut arguments = options.to_vec();
        arguments.extend(lines.iter().flat_map(|line| ["-H", line]));
        let url = format!("{url}{path}");
        arguments.push(&url);
        curl(("body", body), &arguments).answer
    };
    let assert_sent_once = |method: &str, path: &str, headers: Headers<'_>, body: &[u8]| {
        let before = lost();
        let options = ["--http1.1", "-X", method, "--data-binary", "@body"];
        let answer = send(&options, path, headers, body);
        assert!(answer.status >= 500, "{method} {path}: {answer:?}");
        assert_eq!(lost() - before, 1, "{method} {path}");
    };
    for relay in relays {
        relay.set(LOSES);
    }
    for kind in &KINDS {
        for (method, path) in [("POST", kind.path), ("PUT", "/files/name")] {
            if method == "PUT" && (kind.path != "/files" || kind.name == "form") {
                continue;
            }
            let before = files();
            assert_sent_once(method, path, kind.headers, &(kind.body)());
            let made = match kind.name {
                "form" => 2,
                // No byte of it has come.
                "tus" | "draft" => 0,
                _ => 1,
            };
            assert_eq!(files() - before, made, "{method} {}", kind.name);
        }
    }
    let upload = begin(&client, 10);
    let append = [TUS, APPENDS, ("Upload-Offset", "0")];
    assert_sent_once("PATCH", &upload, &append, b"12345");
    assert_eq!(offset(&client, &upload), 5);
    let meta = format!("{}/meta", client.upload(b"content").path);
    let json = [("Content-Type", "application/json")];
    assert_sent_once("PUT", &meta, &json, b"{}");
    // A delete may be repeated through the other node: the file is gone.
    relays[1].set(Link::Whole);
    for _ in 0..3 {
        let path = client.upload(b"content").path;
        let answer = send(&["-X", "DELETE"], &path, &[], b"");
        assert!([204, 404].contains(&answer.status), "{answer:?}");
        assert_eq!(client.get(&path).status, 404);
    }
}
