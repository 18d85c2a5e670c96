//! Messages and lists of receivers, behind one name.

use kit::{Answer, Balancer, Client, Cluster, eventually, noise};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// The time for which the balancer waits for the answer of a node.
const PATIENCE: &str = "proxy_read_timeout 40s";
const SHORT: &str = "proxy_read_timeout 1s";

/// Sends words and a clip from alice to bob; returns the message's id.
fn send(client: &Client, clip: &[u8]) -> String {
    let head = "--b\r\nContent-Disposition: form-data; name=";
    let texts = format!("{head}\"to\"\r\n\r\nbob\r\n{head}\"message\"\r\n\r\nwords\r\n");
    let file = format!("{head}\"clip\"; filename=\"a.ogg\"\r\n\r\n");
    let body = [texts.as_bytes(), file.as_bytes(), clip, b"\r\n--b--\r\n"].concat();
    let answer = client.post("/messages", &[FORM], &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn list(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("/receivers/bob/messages?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn delivered(client: &Client, words: &Value) -> Answer {
    let body = words.to_string();
    client.post("/receivers/bob/delivered", &[JSON], body.as_bytes())
}

/// Asserts that a message to any node is listed and fetched at every node, and through the balancer.
pub(super) fn assert_messages_go_through(cluster: &Cluster, balancer: &mut Balancer) {
    let clip = noise(9, 40_000);
    let there = [
        &balancer.client,
        &cluster.nodes[0].client(),
        &cluster.nodes[1].client(),
    ];
    let mut next = "0".repeat(16);
    let mut takers = Vec::new();
    for place in 0..4 {
        let id = send(&balancer.client, &clip);
        let page = list(there[place % 3], &format!("after={next}&wait=30"));
        assert_eq!(page["messages"][0]["id"], id, "{page}");
        page["next"].as_str().unwrap().clone_into(&mut next);
        for client in there {
            let path = format!("/messages/{id}");
            assert_eq!(client.get(&path).json()["message"], "words");
            let part = client.get_with(&format!("{path}/1"), &[("Range", "bytes=39000-")]);
            assert_eq!(part.status, 206, "{part:?}");
            assert!(part.body == clip[39_000..], "other bytes");
        }
        takers.push(id[8..12].to_owned());
    }
    assert!(takers.iter().any(|node| *node != takers[0]), "{takers:?}");
    let path = format!("/messages/{}", send(&balancer.client, &clip));
    assert_eq!(balancer.client.delete(&path).status, 204);
    // If it is deleted at the moment of its commit, it may be seen for some seconds more.
    eventually("it is gone from every node", || {
        let is_gone = |client: &Client| client.get(&path).status == 404;
        there.iter().all(|client| is_gone(client)).then_some(())
    });
    // Lists need no room: drained nodes have them, too.
    for node in &cluster.nodes {
        assert_eq!(node.ask_admin("POST", "/drain").0, 200);
    }
    assert_eq!(
        delivered(&balancer.client, &json!({ "through": next })).status,
        204
    );
    assert_eq!(list(&balancer.client, "")["messages"], json!([]));
    let nothing = balancer.client.get("/receivers");
    assert_eq!(nothing.status, 404, "{nothing:?}");
    let refused = delivered(&balancer.client, &json!({ "ids": ["x".repeat(70_000)] }));
    assert_eq!(refused.status, 413, "{refused:?}");
    assert_eq!(refused.json()["type"], "urn:gridspool:problem:too-large");
    for node in &cluster.nodes {
        assert_eq!(node.ask_admin("DELETE", "/drain").0, 200);
    }
    // A receiver may wait for longer than the balancer waits for other answers.
    let file = "examples/balancer.conf";
    balancer.host.change_nginx(&[(file, PATIENCE, SHORT)]);
    assert_eq!(
        list(&balancer.client, &format!("after={next}&wait=3"))["messages"],
        json!([])
    );
    balancer.host.change_nginx(&[(file, SHORT, PATIENCE)]);
}
