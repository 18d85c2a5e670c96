//! A node that does not reach the nodes that come.

use std::collections::BTreeMap;

use kit::{Answer, Client, Mongo, Network, Site, noise, wait_until};
use mongodb::bson::doc;

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
fn a_key_that_is_answered_while_its_node_does_not_reach_new_nodes_has_one_file() {
    let network = Network::new("a node that does not reach new nodes", 6);
    if !network.can_cut() {
        return;
    }
    let cluster = Cluster::with(Mongo::start_on(&network.hosts[5..]));
    let add = |number: u16| cluster.add_on(number, &network.hosts[usize::from(number) - 1]);
    let mut nodes: Vec<_> = (1..=3).map(add).collect();
    nodes.iter().for_each(Site::wait_until_open);
    cluster.wait_until_carried(&[1, 2, 3], &[1, 2, 3]);
    let first = nodes[0].client();
    // The first node cannot carry some of these, so it goes on by the old list, too.
    let before = send(&first, "before");
    assert!(before.values().all(|answer| answer.status == 201));
    network.cut(&[0], &[3, 4]);
    nodes.extend((4..=5).map(add));
    nodes[1..].iter().for_each(Site::wait_until_open);
    let all = [1, 2, 3, 4, 5];
    cluster.wait_until_carried(&[2, 3, 4, 5], &all);
    for number in [4, 5] {
        wait_for_word(&nodes[0], number, "it knows that they came", |peer| {
            peer["state"] == "down"
        });
    }
    // It may answer those whose witnesses it reaches, by both lists.
    let during = send(&first, "during");
    let answered = |answer: &&Answer| answer.status == 201;
    let count = during.values().filter(answered).count();
    assert!((1..during.len()).contains(&count), "{count} were answered");
    network.heal();
    cluster.wait_until_carried(&all, &all);
    for ((key, number), answer) in before.into_iter().chain(during) {
        let mut one = answered(&&answer).then(|| lasting(&answer));
        for node in nodes.iter().rev() {
            let again = lasting(&until_sure(&node.client(), &key, &body(number)));
            assert_eq!(one.get_or_insert(again.clone()), &again, "{key}");
        }
    }
    let files = || cluster.mongo.count(&cluster.mongo.files(), doc! {});
    nodes.iter().for_each(Site::wait_until_committed);
    wait_until("all are in MongoDB", || files() >= 2 * KEYS);
    assert_eq!(files(), 2 * KEYS);
}
