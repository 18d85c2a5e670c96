//! A key stands for one answer, also while nodes come and go.

use kit::{Builder, Mongo, Process, Site, eventually, wait_until};
use mongodb::bson::doc;

use super::{Cluster, kill, order, wait_for_word};
use crate::cluster_keys::kinds::{KINDS, Kind, WHOLE_BEGINNINGS};
use crate::cluster_keys::{lasting, put, until_sure};
use crate::rescue::assert_rescued;
use crate::upload_by_key::{by_key, go_on};

/// The lasting parts of an answer.
type Lasting = (String, String, String);

/// Keyed requests of every kind: kind, key and answer.
type Answered = Vec<(&'static Kind, String, Lasting)>;

/// Sends until nodes are sure, and none is at work under the key.
fn send(kind: &Kind, site: &Site, key: &str) -> Lasting {
    let client = site.client();
    let answer = eventually("enough nodes answer", || {
        let answer = kind.send(&client, key);
        (![409, 503].contains(&answer.status)).then_some(answer)
    });
    lasting(&answer)
}

/// Sends requests of these kinds to every node, so many times.
fn send_all(nodes: &[Site], kinds: &'static [Kind], times: usize) -> Answered {
    let mut answered = Vec::new();
    for kind in kinds {
        for time in 0..times {
            for (place, site) in nodes.iter().enumerate() {
                let key = format!("{place}-{time}");
                let answer = send(kind, site, &key);
                answered.push((kind, key, answer));
            }
        }
    }
    answered
}

fn assert_same(nodes: &[Site], answered: &Answered) {
    for (kind, key, answer) in answered {
        for site in nodes {
            let again = send(kind, site, key);
            assert_eq!(&again, answer, "{kind:?} {key} at {}", site.url());
        }
    }
}

#[test]
fn a_retry_through_a_node_that_has_just_come_gets_the_first_answer_of_every_kind_of_request() {
    let cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2, 3]);
    cluster.wait_until_carried(&[1, 2, 3], &[1, 2, 3]);
    let answered = send_all(&nodes, &KINDS, 2);
    let new = cluster.add_all(&[4, 5]);
    assert_same(&new, &answered);
    // From then on the old witnesses are not asked any more.
    cluster.wait_until_carried(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]);
    nodes.extend(new);
    assert_same(&nodes, &answered);
}

#[test]
fn a_fresh_cluster_takes_keyed_uploads_though_a_node_has_died_at_once() {
    for dead in 0..3 {
        let mongo = Mongo::start();
        let mut cluster = kit::Cluster::start(3, &Builder::default(), &mongo);
        cluster.nodes[dead].kill_sidecar();
        let clients = cluster.clients();
        let (first, second) = (&clients[(dead + 1) % 3], &clients[(dead + 2) % 3]);
        let answer = lasting(&until_sure(first, "k", b"content"));
        assert_eq!(lasting(&put(second, "k", b"content")), answer);
    }
}

#[test]
fn a_node_that_is_away_while_others_come_keeps_the_witnesses_of_its_keys() {
    let cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2, 3]);
    cluster.wait_until_carried(&[1, 2, 3], &[1, 2, 3]);
    let answered = send_all(&nodes[..1], &KINDS, 4);
    nodes[0].kill_sidecar();
    let new = cluster.add_all(&[4, 5]);
    for (kind, key, _) in &answered {
        for site in &new {
            // A ballot of the last one may still be under way.
            let refused = kind.send(&site.client(), key);
            assert!([409, 503].contains(&refused.status), "{refused:?}");
        }
    }
    nodes[0].start_sidecar();
    assert_same(&new, &answered);
}

#[test]
fn a_retry_gets_the_first_answer_after_the_node_that_gave_it_was_removed() {
    let cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2, 3]);
    cluster.wait_until_carried(&[1, 2, 3], &[1, 2, 3]);
    // A node goes when its last upload is complete, so none is left open.
    let files = &KINDS[..4];
    let answered = send_all(&nodes, files, 6);
    for number in ["3", "2"] {
        let removed = order(&nodes[0], &["remove", number]);
        assert!(removed.status.success(), "{removed:?}");
        kill(&mut nodes.pop().unwrap());
        assert_same(&nodes, &answered);
    }
}

/// Completes the uploads that these requests have begun. Returns the answers that the requests get from then on.
fn complete_all(nodes: &[Site], begun: &Answered) -> Answered {
    let completed = begun.iter().map(|(kind, key, (path, _, _))| {
        let (client, length) = (nodes[0].client(), (kind.body)().len());
        let last = go_on(&client, path, length, b"");
        assert_eq!(last.status, 201, "{kind:?}: {last:?}");
        (*kind, key.clone(), send(kind, &nodes[0], key))
    });
    completed.collect()
}

#[test]
fn a_beginning_gets_the_answer_of_its_complete_upload_after_the_node_of_that_was_removed() {
    let cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2, 3]);
    cluster.wait_until_carried(&[1, 2, 3], &[1, 2, 3]);
    let begun = send_all(&nodes[2..], &WHOLE_BEGINNINGS, 4);
    let answered = complete_all(&nodes[2..], &begun);
    let removed = order(&nodes[0], &["remove", "3"]);
    assert!(removed.status.success(), "{removed:?}");
    kill(&mut nodes.pop().unwrap());
    assert_same(&nodes, &answered);
    for ((kind, key, _), (_, _, (path, _, _))) in answered.iter().zip(&begun) {
        for client in nodes.iter().map(Site::client) {
            let found = by_key(&client, &kind.key(key));
            if ["tus", "draft"].contains(&kind.name) {
                assert_eq!((found.status, found.header("location")), (204, &**path));
                assert_eq!(found.header("upload-complete"), "?1");
            } else {
                // There is no one file.
                assert_eq!(found.status, 404, "{found:?}");
            }
        }
    }
}

#[test]
fn a_retry_gets_the_first_answer_after_its_node_was_rescued_and_others_can_leave() {
    let cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2, 3, 4, 5]);
    cluster.wait_until_carried(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]);
    let answered = send_all(&nodes[..1], &KINDS, 6);
    let mut dead = nodes.remove(0);
    kill(&mut dead);
    // An admin wants it to leave, which it cannot. The others go by a list without it from then on.
    cluster.change(1, doc! { "$set": { "leaving": true } });
    cluster.wait_until_carried(&[2, 3, 4, 5], &[2, 3, 4, 5]);
    wait_for_word(&nodes[3], 1, "it is seen down", |peer| {
        peer["state"] == "down"
    });
    assert_rescued(&nodes[3], &dead);
    assert_same(&nodes, &answered);
    for number in ["1", "2"] {
        let mut removing = nodes[1].command();
        removing.args(["node", "remove", number]);
        let mut removing = Process::spawn(&mut removing);
        wait_until("it is out of the list", || !removing.is_running());
        let left = cluster.record(number.parse().unwrap());
        assert!(left.get_datetime("left").is_ok(), "{left}");
        assert!(!left.get_bool("given_up").unwrap_or(false), "{left}");
    }
    kill(&mut nodes.remove(0));
    assert_same(&nodes, &answered);
    // A node that begins anew knows from its first request on who has rescued the dead one.
    for place in 0..nodes.len() {
        nodes[place].kill_sidecar();
        nodes[place].start_sidecar();
        assert_same(&nodes[place..=place], &answered);
    }
}
