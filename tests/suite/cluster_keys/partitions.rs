//! Nodes that do not reach each other: a retry through any node makes no second file.

use std::collections::BTreeMap;

use kit::{Answer, Builder, Cluster, Link, Relay, noise};

use super::{lasting, put, until_sure};

/// Three nodes, by their places. Each reaches each other one by a link of its own.
struct Linked {
    cluster: Cluster,
    links: BTreeMap<(usize, usize), Relay>,
}

impl Linked {
    fn start() -> Self {
        let mut cluster = Cluster::start_without_mongodb(3, &Builder::default());
        let mut links = BTreeMap::new();
        let addresses = cluster.addresses();
        for (from, node) in cluster.nodes.iter_mut().enumerate() {
            let mut peers = Vec::new();
            for (to, address) in addresses.iter().enumerate().filter(|(to, _)| *to != from) {
                let link = Relay::before(address.clone());
                peers.push(format!("{}=http://{}", to + 1, link.address));
                links.insert((from, to), link);
            }
            node.reconfigure(|builder| builder.set("peers", peers.join(" ")));
            node.kill_sidecar();
            node.start_sidecar();
        }
        cluster.wait_until_met();
        Self { cluster, links }
    }

    /// Sets the links between the first node and these others, in both directions.
    fn set(&self, others: &[usize], link: Link) {
        for ((from, to), relay) in &self.links {
            if from.min(to) == &0 && others.contains(from.max(to)) {
                relay.set(link);
            }
        }
    }
}

/// A body of each way into the journal.
fn bodies() -> [Vec<u8>; 2] {
    [noise(1, 100), noise(2, 300_000)]
}

#[test]
fn while_nodes_do_not_reach_each_other_and_afterwards_no_key_has_two_files() {
    let linked = Linked::start();
    let clients = linked.cluster.clients();
    let mut keys = 0;
    // The first node misses one other node, and then both.
    for others in [&[1][..], &[1, 2]] {
        let of = |from: usize, body: &[u8], when: &str| {
            format!("{}-{from}-{when}-{}", others.len(), body.len())
        };
        let mut first: BTreeMap<String, (Vec<u8>, Option<Answer>)> = BTreeMap::new();
        let mut send = |from: usize, when: &str| {
            for body in bodies() {
                let key = of(from, &body, when);
                let answer = put(&clients[from], &key, &body);
                let is_alone = when == "cut" && from == 0 && others.len() == 2;
                assert_eq!(
                    answer.status,
                    if is_alone { 503 } else { 201 },
                    "{key}: {answer:?}"
                );
                first.insert(
                    key,
                    (body, Some(answer).filter(|answer| answer.status == 201)),
                );
            }
        };
        (0..3).for_each(|from| send(from, "before"));
        linked.set(others, Link::Cut);
        (0..3).for_each(|from| send(from, "cut"));
        for (key, (body, answer)) in &mut first {
            for client in &clients {
                let again = put(client, key, body);
                match again.status {
                    503 => again.assert_problem(503, "key-unsure"),
                    // A witness is still giving a vote that was not needed.
                    409 => again.assert_problem(409, "still-running"),
                    _ => {
                        let answer = answer.get_or_insert_with(|| again.clone());
                        assert_eq!(lasting(&again), lasting(answer), "{key}");
                    }
                }
            }
        }
        linked.set(others, Link::Whole);
        linked.cluster.wait_until_met();
        for (key, (body, answer)) in &first {
            for client in &clients {
                let again = until_sure(client, key, body);
                assert_eq!(lasting(&again), lasting(answer.as_ref().unwrap()), "{key}");
            }
        }
        keys += u64::try_from(first.len()).unwrap();
    }
    let entries = linked.cluster.nodes.iter();
    let entries = entries.map(|node| node.entries("incoming") + node.entries("deferred"));
    assert_eq!(entries.sum::<u64>(), keys);
}
