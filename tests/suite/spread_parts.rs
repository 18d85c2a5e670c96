//! Parts of one file that a balancer has spread over nodes, put together by tus.

use std::collections::HashSet;

use kit::{Answer, Builder, Client, Cluster, Keys, Site, curl, eventually, noise, wait_until};
use rustix::process::Signal;

use crate::upload_routing::{TUS, append, file_of};

/// The bytes that a node fetches of a part at once.
const PIECE: usize = 2 * 1024 * 1024;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Begins a part of this length; returns its path.
fn begin_part(client: &Client, length: usize, more: Headers<'_>) -> String {
    let length = length.to_string();
    let partial = [
        TUS,
        ("Upload-Concat", "partial"),
        ("Upload-Length", &length),
    ];
    let answer = client.post("/uploads", &[&partial, more].concat(), b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").to_owned()
}

/// Asks for the file that is made of these parts.
fn join(client: &Client, parts: &[&str], more: Headers<'_>) -> Answer {
    let list = format!("final;{}", parts.join(" "));
    client.post(
        "/uploads",
        &[&[TUS, ("Upload-Concat", &list)], more].concat(),
        b"",
    )
}

fn made(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").to_owned()
}

/// The lengths of the bodies in a node's journal.
fn bodies(site: &Site) -> Vec<usize> {
    let length = |name: &String| {
        let body = site.data_dir().join("journal/body").join(name);
        std::fs::metadata(body).map_or(0, |found| usize::try_from(found.len()).unwrap())
    };
    site.names("journal/body").iter().map(length).collect()
}

#[test]
fn parts_on_several_nodes_become_one_file_through_any_node_although_nodes_die_meanwhile() {
    let mut cluster = Cluster::start_without_mongodb(3, &Builder::default());
    // Pieces of this node come slowly.
    let own = "proxy_pass_request_body off;";
    let slow = format!("{own} limit_rate 6m;");
    cluster.nodes[1].change_nginx(&[("gridspool/hop.conf", own, &slow)]);
    let clients = cluster.clients();
    let content = noise(1, 3 * PIECE + 70_010);
    let ranges = [
        0..60_000,
        60_000..60_000 + 3 * PIECE,
        0..0,
        60_000 + 3 * PIECE..content.len(),
    ];
    let owners = [0, 1, 2, 2];
    let parts: Vec<_> = ranges
        .iter()
        .zip(owners)
        .map(|(range, owner)| begin_part(&clients[owner], range.len(), &[]))
        .collect();
    let paths: Vec<_> = parts.iter().map(String::as_str).collect();
    // Nothing of an unfinished part is taken, nor of one that is not there.
    for (range, path) in ranges.iter().zip(&paths) {
        join(&clients[2], &paths, &[]).assert_problem(400, "no-complete-part");
        if !range.is_empty() {
            let appended = append(&clients[0], path, 0, &content[range.clone()]);
            assert_eq!(appended.status, 204, "{appended:?}");
        }
    }
    let absent = "/uploads/65a000000002000001000001";
    join(&clients[1], &[paths[0], absent], &[]).assert_problem(400, "no-complete-part");
    let whole_at = |cluster: &Cluster| {
        let mut lengths = bodies(&cluster.nodes[0]);
        lengths.sort_unstable();
        lengths
    };
    assert_eq!(
        whole_at(&cluster),
        [60_000],
        "copies of refused requests have ended"
    );
    // The node of a part is away.
    cluster.nodes[2].stop_nginx();
    let away = join(&clients[0], &paths, &[]);
    away.assert_problem(503, "unavailable");
    assert!(!away.header("retry-after").is_empty());
    cluster.nodes[2].start_nginx();
    cluster.wait_until_seen(0, 3, "up");
    // The node that gathers them dies when it has a piece.
    let key = [("Idempotency-Key", "whole")];
    let died = std::thread::scope(|scope| {
        let asking = scope.spawn(|| join(&clients[2], &paths, &key));
        // The one before the last is durable.
        wait_until("a second piece comes", || {
            let is_copy = |&length: &usize| length > PIECE && length < content.len();
            whole_at(&cluster).iter().any(is_copy)
        });
        kit::signal(cluster.nodes[0].sidecar_id(), Signal::KILL);
        asking.join().unwrap()
    });
    assert!(matches!(died.status, 201 | 503), "{died:?}");
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].start_sidecar();
    cluster.wait_until_met();
    let through = |node: usize, more: Headers<'_>| {
        let answer = eventually("the nodes see each other again", || {
            let answer = join(&clients[node], &paths, more);
            (answer.status != 503).then_some(answer)
        });
        made(&answer)
    };
    let keyed: HashSet<_> = [1, 2, 0].map(|node| through(node, &key)).into();
    assert_eq!(keyed.len(), 1, "{keyed:?}");
    let logged = |offset: usize| {
        let piece = format!("_{offset}_{PIECE} ");
        cluster.nodes[1].access_log().matches(&piece).count()
    };
    wait_until("the last piece is logged", || logged(2 * PIECE) > 0);
    assert_eq!(logged(0), 1, "the first piece was fetched once");
    // Without a key the same list of parts is the same request, too.
    let whole = through(1, &[]);
    assert_eq!(made(&join(&clients[2], &paths, &[])), whole);
    assert!(!keyed.contains(&whole));
    for path in keyed.iter().chain([&whole]) {
        assert_eq!(path[17..21], *"0001", "the first part's node has it");
        for client in &clients {
            assert!(client.get(&file_of(path)).body == content, "other bytes");
        }
    }
    assert_eq!(whole_at(&cluster), [60_000, content.len(), content.len()]);
    // The parts stay, as those of one node do, and make another file if the first one is deleted.
    assert_eq!(clients[2].delete(&file_of(&whole)).status, 204);
    cluster.nodes[0].ask_admin("POST", "/drain");
    let again = made(&join(&clients[2], &paths, &[]));
    assert!(again != whole && clients[1].get(&file_of(&again)).body == content);
}

#[test]
fn parts_of_another_subject_are_no_parts_on_any_node() {
    let keys = Keys::make();
    let builder = keys.guard(Builder::without_log());
    let cluster = Cluster::start_without_mongodb(2, &builder);
    let clients = cluster.clients();
    let bearer = |sub: &str| keys.bearer(&["--scope", "upload download", "--sub", sub]);
    let [alice, bob] = ["alice", "bob"].map(bearer);
    let part = |node: usize, token: &str| {
        let token = ("Authorization", token);
        let path = begin_part(&clients[node], 3, &[token]);
        let kind = ("Content-Type", "application/offset+octet-stream");
        let head = [TUS, kind, ("Upload-Offset", "0"), token];
        assert_eq!(clients[node].patch(&path, &head, b"abc").status, 204);
        path
    };
    let [own, here, elsewhere] =
        [(0, &alice), (0, &bob), (1, &bob)].map(|(node, token)| part(node, token));
    let others = part(1, &alice);
    for foreign in [&here, &elsewhere] {
        for parts in [[&*own, foreign], [foreign, &*own]] {
            for client in &clients {
                let refused = join(client, &parts, &[("Authorization", &alice)]);
                refused.assert_problem(400, "no-complete-part");
            }
        }
    }
    let joined = join(&clients[1], &[&own, &others], &[("Authorization", &alice)]);
    let got = clients[0].get_with(&file_of(&made(&joined)), &[("Authorization", &alice)]);
    assert_eq!(got.body, b"abcabc");
}

#[test]
fn a_file_of_parts_belongs_to_its_client_although_another_node_has_sent_the_request_on() {
    let builder = Builder::without_log().set("subject_pending_bytes", 45_000);
    let cluster = Cluster::start_without_mongodb(2, &builder);
    let clients = cluster.clients();
    let part = begin_part(&clients[0], 20_000, &[]);
    let appended = append(&clients[0], &part, 0, &noise(1, 20_000));
    assert_eq!(appended.status, 204, "{appended:?}");
    let list = format!("Upload-Concat: final;{part}");
    let ask = |from: &str, node: usize, key: &str| {
        let url = format!("{}/uploads", cluster.nodes[node].url());
        let key = format!("Idempotency-Key: {key}");
        let version = "Tus-Resumable: 1.0.0";
        let lines = ["-X", "POST", "-H", &list, "-H", &key, "-H", version, &url];
        curl(
            ("body", b""),
            &[&["--interface", from], &lines[..]].concat(),
        )
        .answer
    };
    // The key is that of one address, through both nodes.
    let first = made(&ask("127.0.0.2", 1, "a"));
    assert_eq!(made(&ask("127.0.0.2", 0, "a")), first);
    let others = made(&ask("127.0.0.3", 0, "a"));
    assert_ne!(others, first);
    assert_eq!(made(&ask("127.0.0.3", 1, "a")), others);
    // The quota is so, too.
    made(&ask("127.0.0.2", 1, "b"));
    for node in [1, 0] {
        let refused = ask("127.0.0.2", node, "c");
        refused.assert_problem(429, "too-much-pending");
    }
    made(&ask("127.0.0.3", 1, "c"));
    // Nobody else states an address.
    let forged = [
        ("X-Gridspool-Client", "127.0.0.2 1-00"),
        ("Idempotency-Key", "a"),
    ];
    let own = made(&join(&clients[0], &[&part], &forged));
    assert!(own != first && own != others);
}
