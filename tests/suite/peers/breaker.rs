//! A node that is slow, frozen or down delays nothing but its own files, and those for a moment.

use std::net::TcpListener;

use kit::{Builder, Client, Cluster, Uploaded, noise, wait_until};

use super::two_without_mongodb;

/// Deletes all files at the same time. Returns the statuses.
fn delete_all(client: &Client, files: &[Uploaded]) -> Vec<u16> {
    std::thread::scope(|scope| {
        let asked = files
            .iter()
            .map(|file| scope.spawn(|| client.delete(&file.path).status));
        let asked: Vec<_> = asked.collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect()
    })
}

fn upload_some(client: &Client, count: u64) -> Vec<Uploaded> {
    let files = (0..count).map(|seed| client.upload(&noise(seed, 500)));
    files.collect()
}

#[test]
fn many_deletes_at_once_wait_for_a_place_at_their_owner() {
    let cluster = two_without_mongodb();
    let files = upload_some(&cluster.nodes[0].client(), 100);
    let deleted = delete_all(&cluster.nodes[1].client(), &files);
    assert_eq!(deleted, [204; 100]);
}

#[test]
fn a_frozen_node_delays_no_question_to_another_one_and_is_soon_not_asked() {
    let cluster = Cluster::start_without_mongodb(3, &Builder::without_log());
    let [one, other, frozen] = [0, 1, 2].map(|node| cluster.nodes[node].client());
    let (well, lost) = (upload_some(&other, 60), upload_some(&frozen, 100));
    cluster.wait_until_seen(0, 3, "up");
    cluster.nodes[2].freeze();
    std::thread::scope(|scope| {
        let lost = scope.spawn(|| delete_all(&one, &lost[..80]));
        assert_eq!(delete_all(&one, &well), [204; 60]);
        assert_eq!(lost.join().unwrap(), [503; 80]);
    });
    cluster.wait_until_seen(0, 3, "down");
    for file in &lost[80..] {
        for refused in [one.get(&file.path), one.delete(&file.path)] {
            refused.assert_problem(503, "unavailable");
            assert!((1..10).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
        }
    }
    cluster.nodes[2].thaw();
    cluster.wait_until_seen(0, 3, "up");
    let node = &cluster.nodes[2];
    let marker = frozen.upload(b"marker");
    assert_eq!(one.get(&marker.path).status, 200);
    wait_until("what the frozen node got before is logged", || {
        node.access_log().contains(&format!("hop{}", marker.path))
    });
    let log = node.access_log();
    for file in &lost[80..] {
        assert!(!log.contains(&format!("hop{}", file.path)), "{log}");
        assert_eq!(one.get(&file.path).status, 200);
    }
}

#[test]
fn among_many_nodes_that_refuse_or_hang_one_that_answers_is_seen_and_asked() {
    let mut cluster = two_without_mongodb();
    let files = upload_some(&cluster.nodes[1].client(), 60);
    let silent = TcpListener::bind("0.0.0.0:0").unwrap();
    let refusing = TcpListener::bind("0.0.0.0:0").unwrap();
    let ports = [&silent, &refusing].map(|listener| listener.local_addr().unwrap().port());
    drop(refusing);
    let lost = |number: u64| {
        format!(
            "{number}=http://127.0.1.{number}:{}",
            ports[usize::from(number.is_multiple_of(2))]
        )
    };
    let peers: Vec<_> = (3..=99).map(lost).collect();
    let peers = format!("{} 2={}", peers.join(" "), cluster.nodes[1].url());
    let node = &mut cluster.nodes[0];
    node.reconfigure(|builder| builder.set("peers", peers));
    node.kill_sidecar();
    node.start_sidecar();
    let client = node.client();
    for number in 3..=99 {
        cluster.wait_until_seen(0, number, "down");
        let file = format!("/files/65000000{number:04x}0102030405ff");
        for refused in [client.get(&file), client.delete(&file)] {
            refused.assert_problem(503, "unavailable");
        }
    }
    cluster.wait_until_seen(0, 2, "up");
    assert_eq!(client.get(&files[0].path).status, 200);
    assert_eq!(delete_all(&client, &files), [204; 60]);
}
