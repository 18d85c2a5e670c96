//! A node that is cut off while the list of nodes changes.

use std::collections::BTreeMap;

use kit::{Answer, Client, Mongo, Network, Site, noise};

use super::{Cluster, wait_for_word};
use crate::cluster_keys::{lasting, put, until_sure};

/// Some keys: enough that each node is a witness of some, and each pair of nodes a majority for some.
const KEYS: u64 = 24;

fn body(number: u64) -> Vec<u8> {
    noise(number, 100)
}

/// Sends uploads under new keys. Returns the answers by key.
fn send(client: &Client, when: &str) -> BTreeMap<(String, u64), Answer> {
    let sent = (0..KEYS).map(|number| {
        let key = format!("{when}-{number}");
        let answer = put(client, &key, &body(number));
        ((key, number), answer)
    });
    sent.collect()
}

#[test]
fn a_key_that_is_answered_while_its_node_sees_half_of_a_change_has_one_file() {
    let network = Network::new("a node that sees half of a change", 5);
    if !network.can_cut() {
        return;
    }
    let mongo = network.hosts.len() - 1;
    let cluster = Cluster::with(Mongo::start_on(&network.hosts[mongo..]));
    let add = |number: u16| cluster.add_on(number, &network.hosts[usize::from(number) - 1]);
    let mut nodes: Vec<_> = (1..=3).map(add).collect();
    nodes.iter().for_each(Site::wait_until_open);
    cluster.wait_until_carried(&[1, 2, 3], &[1, 2, 3]);
    let first = nodes[0].client();
    let before = send(&first, "before");
    assert!(before.values().all(|answer| answer.status == 201));
    // The first node learns that another one comes, cannot carry all keys there, and learns no more. The others learn it
    // later, and go by the new list.
    network.cut(&[0], &[2, 3]);
    network.cut(&[1, 2], &[mongo]);
    nodes.push(add(4));
    wait_for_word(&nodes[0], 4, "it knows of the new node", |_| true);
    network.heal();
    network.cut(&[0], &[2, 3, mongo]);
    nodes[1..].iter().for_each(Site::wait_until_open);
    let all = [1, 2, 3, 4];
    cluster.wait_until_carried(&[2, 3, 4], &all);
    // It may answer the keys whose witnesses it reaches by both lists.
    let during = send(&first, "during");
    let answered = |answer: &Answer| answer.status == 201;
    network.heal();
    cluster.wait_until_carried(&all, &all);
    for ((key, number), answer) in before.into_iter().chain(during) {
        let mut one = answered(&answer).then(|| lasting(&answer));
        // The third one is no witness that the first one has asked.
        for place in [2, 3, 1, 0] {
            let client = nodes[place].client();
            let again = lasting(&until_sure(&client, &key, &body(number)));
            assert_eq!(one.get_or_insert(again.clone()), &again, "{key}");
        }
    }
}
