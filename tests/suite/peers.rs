//! Requests between nodes: who may ask, and how nodes recognise each other.

mod breaker;
mod impersonation;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use kit::{
    Answer, Builder, Cluster, Keys, Metrics, Mongo, Site, Uploaded, eventually, noise, wait_until,
};
use mongodb::bson::doc;

/// Two nodes and no MongoDB: all uploads stay pending.
fn two_without_mongodb() -> Cluster {
    Cluster::start_without_mongodb(2, &Builder::without_log())
}

#[test]
fn the_hop_between_nodes_takes_nothing_but_a_fresh_pass_for_the_very_thing() {
    let cluster = two_without_mongodb();
    let site = &cluster.nodes[0];
    let client = site.client();
    let [file, second] = [1, 2].map(|seed| client.upload(&noise(seed, 1000)));
    let hop = format!("/_gridspool/hop/files/{}", file.id);
    // A pass of the other node, straight from its sidecar, as its nginx gets it.
    let pass = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = cluster.nodes[1].raw_to_sidecar(request.as_bytes());
        assert!(
            answer
                .header("x-accel-redirect")
                .starts_with("/_gridspool/peer/1/files/")
        );
        answer.header("x-gridspool-pass").to_owned()
    };
    let good = pass(&file.path);
    let ask = |method: &str, path: &str, pass: &str| {
        client.ask(method, path, &[("X-Gridspool-Pass", pass)])
    };
    assert!(ask("GET", &hop, &good).body == noise(1, 1000));
    let flipped = |place: usize| {
        let mut pass = good.clone();
        let digit = if pass.as_bytes()[place] == b'0' {
            "1"
        } else {
            "0"
        };
        pass.replace_range(place..=place, digit);
        pass
    };
    let other_file = format!("/_gridspool/hop/files/{}", second.id);
    let (time, signature) = good.split_once('-').unwrap();
    let late = time.parse::<u64>().unwrap() - 3600;
    for (method, path, pass) in [
        ("GET", hop.as_str(), String::new()),
        ("GET", &hop, "x".to_owned()),
        ("GET", &hop, flipped(good.len() - 1)),
        ("GET", &hop, flipped(good.len() - 64)),
        ("GET", &hop, format!("{late}-{signature}")),
        (
            "GET",
            &hop,
            format!("{}-{signature}", time.parse::<u64>().unwrap() + 1),
        ),
        ("GET", &other_file, good.clone()),
        ("HEAD", &other_file, good.clone()),
        ("DELETE", &hop, good.clone()),
        ("GET", "/_gridspool/hop/node", good.clone()),
        ("GET", "/_gridspool/hop/node", String::new()),
    ] {
        let answer = ask(method, path, &pass);
        assert_eq!(answer.status, 403, "{method} {path} {pass}");
        if method != "HEAD" {
            answer.assert_problem(403, "forbidden");
        }
    }
    // The pass is for the first node: the second node refuses it.
    let elsewhere = cluster.nodes[1].client();
    let answer = elsewhere.ask("GET", &hop, &[("X-Gridspool-Pass", &good)]);
    assert_eq!(answer.status, 403);
    assert_eq!(client.get(&file.path).status, 200, "it is not deleted");
}

#[test]
fn the_way_to_other_nodes_is_closed_to_clients() {
    let cluster = two_without_mongodb();
    let file = cluster.nodes[0].client().upload(b"content");
    let other = &cluster.nodes[1];
    let hop = format!(
        "{}/_gridspool/hop/files/{}",
        cluster.nodes[0].url(),
        file.id
    );
    for path in [
        format!("/_gridspool/peer/1/files/{}", file.id),
        format!("/_gridspool/peer-live/1/live/{}", file.id),
        format!("/_gridspool/peer/1/..%2Fpeer/1/files/{}", file.id),
        format!(
            "/_gridspool/peer/1/files/..%2F..%2F..%2F..%2Ffiles%2F{}",
            file.id
        ),
        format!("/_gridspool/hop/../peer/1/files/{}", file.id),
        format!("/_gridspool/peer/..%2Fhop/files/{}", file.id),
        "/_gridspool/peer/1/node".to_owned(),
        "/_gridspool/hop/".to_owned(),
        "/_gridspool/hop/..%2Fstore%2Fa/b".to_owned(),
    ] {
        let target = format!(
            "X-Gridspool-Peer: {}\r\n",
            hop.trim_start_matches("http://")
        );
        for header in ["", "X-Gridspool-Pass: x\r\n", &target] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
            let answer = other.raw(request.as_bytes());
            let is_closed = matches!(answer.status, 400 | 403 | 404);
            assert!(is_closed, "{path}: {answer:?}");
            assert!(!answer.body.ends_with(b"content"), "{path}");
        }
    }
}

#[test]
fn a_nodes_token_check_stands_before_the_hop() {
    let keys = Keys::make();
    let builder = keys.guard(Builder::without_log());
    let cluster = Cluster::start_without_mongodb(2, &builder);
    let bearer = |scope: &str| keys.bearer(&["--scope", scope]);
    let upload = bearer("upload");
    let answer =
        cluster.nodes[0]
            .client()
            .post("/files", &[("Authorization", upload.as_str())], b"content");
    let file = Uploaded::read(&answer);
    let other = cluster.nodes[1].client();
    let ask = |method: &str, token: &str| -> Answer {
        other.ask(method, &file.path, &[("Authorization", token)])
    };
    other.get(&file.path).assert_problem(401, "unauthorized");
    ask("GET", &upload).assert_problem(403, "insufficient-scope");
    ask("DELETE", &bearer("download")).assert_problem(403, "insufficient-scope");
    assert!(ask("GET", &bearer("download")).body == b"content");
    // The node that has the file tells only an admin why it waits.
    let meta = |scope: &str| {
        let token = bearer(scope);
        let path = format!("{}/meta", file.path);
        other
            .get_with(&path, &[("Authorization", token.as_str())])
            .json()
    };
    // After the node has noticed it.
    let why = eventually("the node tells why the file waits", || {
        let why = meta("admin")["waiting"].clone();
        why["reason"].is_string().then_some(why)
    });
    assert_eq!(why["room"], "incoming");
    assert!(
        why["reason"].as_str().unwrap().contains("not available"),
        "{why}"
    );
    assert_eq!(meta("download")["waiting"], serde_json::Value::Null);
    let query = format!(
        "{}?token={}",
        file.path,
        keys.token(&["--scope", "download"])
    );
    assert!(other.get(&query).body == b"content");
    assert_eq!(ask("DELETE", &bearer("delete")).status, 204);
    assert_eq!(ask("GET", &bearer("download")).status, 404);
}

#[test]
fn no_secret_of_a_client_travels_to_another_node_and_an_impostor_there_is_not_believed() {
    let mut cluster = two_without_mongodb();
    let file = cluster.nodes[0].client().upload(b"content");
    cluster.nodes[0].stop_nginx();
    let ear = TcpListener::bind(cluster.nodes[0].url().replace("http://", "")).unwrap();
    let heard = impersonate(ear);
    let other = cluster.nodes[1].client();
    for (method, path) in [
        ("GET", file.path.clone()),
        ("HEAD", file.path.clone()),
        ("GET", format!("{}/meta", file.path)),
        ("DELETE", file.path.clone()),
    ] {
        let overheard = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let secrets = [("Authorization", "Bearer secret"), ("Cookie", "a=secret")];
                other.ask(method, &format!("{path}?token=secret"), &secrets)
            });
            let (_, overheard) = overhear(&heard, &file.id);
            assert_eq!(asking.join().unwrap().status, 503, "{method} {path}");
            overheard
        });
        let overheard = overheard.to_lowercase();
        assert!(overheard.contains("x-gridspool-pass: "), "{overheard}");
        assert!(!overheard.contains("secret"), "{overheard}");
    }
    impersonation::assert_is_not_believed(&heard, &cluster.nodes[1], &file);
    impersonation::assert_records_of_the_journal_cannot_be_sent(&mut cluster.nodes[1]);
}

/// The requests that come to an impostor, with their heads, not answered yet.
type Heard = Receiver<(TcpStream, String)>;

/// Listens at the address of node 1, and introduces itself as this node: a node that does not is asked for
/// nothing else.
fn impersonate(ear: TcpListener) -> Heard {
    let (requests, coming) = channel();
    std::thread::spawn(move || {
        for mut stream in ear.incoming().map(Result::unwrap) {
            let head = read_head(&mut stream);
            if head.contains("/_gridspool/hop/node?") {
                let body = r#"{"node":1,"instance":"impostor"}"#;
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                // The other node may have given up.
                stream.write_all(answer.as_bytes()).unwrap_or_default();
            } else if requests.send((stream, head)).is_err() {
                return;
            }
        }
    });
    coming
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// The next request about this file.
fn overhear(coming: &Heard, id: &str) -> (TcpStream, String) {
    loop {
        let next = coming.recv_timeout(Duration::from_mins(1));
        let (stream, head) = next.expect("another node asks");
        if head.contains(id) {
            return (stream, head);
        }
    }
}

#[test]
fn nodes_with_different_keys_do_not_trust_each_other() {
    let mut cluster = two_without_mongodb();
    let file = cluster.nodes[0].client().upload(b"content");
    cluster.write_key("fedcba9876543210fedcba9876543210");
    cluster.nodes[1].kill_sidecar();
    cluster.nodes[1].start_sidecar();
    let other = cluster.nodes[1].client();
    other.get(&file.path).assert_problem(503, "unavailable");
    other.delete(&file.path).assert_problem(503, "unavailable");
    assert!(cluster.nodes[0].log().contains("not signed by our key"));
    cluster.write_key("fedcba9876543210fedcba9876543210\n0123456789abcdef0123456789abcdef");
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].start_sidecar();
    cluster.wait_until_seen(1, 1, "up");
    assert!(other.get(&file.path).body == b"content");
}

#[test]
fn nodes_see_who_answers_and_who_does_not() {
    let mut cluster = two_without_mongodb();
    cluster.wait_until_seen(0, 2, "up");
    cluster.wait_until_seen(1, 1, "up");
    cluster.nodes[1].kill_sidecar();
    cluster.wait_until_seen(0, 2, "down");
    let peer_up = |site: &Site| Metrics::of(site).value("peer_up{node=\"2\"}");
    assert_eq!(peer_up(&cluster.nodes[0]), 0);
    cluster.nodes[1].start_sidecar();
    cluster.wait_until_seen(0, 2, "up");
    let site = &cluster.nodes[0];
    assert_eq!(peer_up(site), 1);
    assert!(site.status()["cluster"]["number_used_twice_by"].is_null());
    assert_eq!(Metrics::of(site).value("node_number_used_twice"), 0);
}

#[test]
fn two_nodes_with_one_number_are_found_out_by_their_answers() {
    let mut cluster = two_without_mongodb();
    cluster.nodes[1].stop_sidecar();
    cluster.nodes[1].reconfigure(|builder| builder.set("node", 1).set("peers", "none"));
    cluster.nodes[1].start_sidecar();
    assert_finds_twin(&cluster.nodes[0]);
    cluster.wait_until_seen(0, 2, "down");
}

#[test]
fn a_node_that_is_restarted_is_not_its_own_twin() {
    let mongo = Mongo::start();
    let mut site = Site::start(&mongo);
    // The time at which this very process last registered itself.
    let written = |site: &Site| {
        let nodes = mongo.find("fs.nodes", doc! {});
        let instance = site.status()["cluster"]["instance"].clone();
        let own = nodes
            .iter()
            .find(|node| node.get_str("instance").is_ok_and(|name| instance == name));
        own.map(|own| *own.get_datetime("seen").unwrap())
    };
    for _ in 0..2 {
        site.kill_sidecar();
        site.start_sidecar();
        let first = eventually("the node's word is there", || written(&site));
        // By then it has read the earlier registration, and its own.
        wait_until("it is written once more", || written(&site) > Some(first));
        assert!(site.status()["cluster"]["number_used_twice_by"].is_null());
    }
}

fn assert_finds_twin(site: &Site) {
    wait_until("the twin is found out", || {
        !site.status()["cluster"]["number_used_twice_by"].is_null()
    });
    assert!(site.log().contains("is used twice"));
    assert_eq!(Metrics::of(site).value("node_number_used_twice"), 1);
}
