//! The example for haproxy, which checks the nodes once a second.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::balancer::repeats::{assert_no_upload_is_sent_twice, relays};
use crate::balancer::uploads::assert_each_goes_to_its_node;
use kit::{Answer, Builder, Cluster, Haproxy, curl, eventually, noise, skip, wait_until};

/// Uploads in four ways: two of them by HTTP/2, and two larger than haproxy's buffers.
fn upload_all(url: &str) -> Vec<Answer> {
    let files = format!("{url}/files/");
    let by = |body: &[u8], options: &[&str]| {
        let arguments = [options, &[&files]].concat();
        curl(("body", body), &arguments).answer
    };
    vec![
        by(b"small", &["--http1.1", "-T", "body"]),
        by(&noise(1, 300_000), &["--http1.1", "-T", "-"]),
        by(
            b"small",
            &[
                "--http2",
                "--data-binary",
                "@body",
                "-H",
                "Content-Type: a/b",
            ],
        ),
        by(&noise(1, 1_000_000), &["--http2", "-T", "body"]),
    ]
}

/// Sends a message with a clip; returns its path.
fn send(url: &str) -> String {
    let messages = format!("{url}/messages");
    let form = [
        "-F",
        "to=bob",
        "-F",
        "message=words",
        "-F",
        "clip=@body",
        &messages,
    ];
    paths(&[curl(("body", b"a clip"), &form).answer]).remove(0)
}

/// The paths of uploads that have all arrived.
fn paths(answers: &[Answer]) -> Vec<String> {
    let path = |answer: &Answer| {
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    };
    answers.iter().map(path).collect()
}

#[test]
fn behind_haproxy_a_dead_node_costs_no_upload_and_a_drained_one_those_of_a_moment() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::default());
    let relays = relays(&cluster);
    let trapped = relays.each_ref().map(|relay| relay.address.clone());
    let Some(haproxy) = Haproxy::before(&cluster, &trapped) else {
        skip("the example for haproxy", "haproxy is not installed");
        return;
    };
    assert_no_upload_is_sent_twice(&cluster, &relays, &haproxy.url);
    drop(haproxy);
    let haproxy = Haproxy::before(&cluster, &cluster.addresses()).unwrap();
    let url = &haproxy.url;
    let get = |path: &str| curl(("body", b""), &["--path-as-is", &format!("{url}{path}")]).answer;
    let is_first = |path: &String| path[15..19] == *"0001";
    let both_take_uploads = || {
        wait_until("both nodes take uploads", || {
            let firsts = paths(&upload_all(url)).into_iter().filter(is_first);
            firsts.count() == 2
        });
    };
    both_take_uploads();
    for path in [
        "/_gridspool/room",
        "/_gridspool/hop/node",
        "/files/..%2F_gridspool/hop/node",
    ] {
        let answer = get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.starts_with(b"{"), "haproxy's own: {path}");
    }
    assert_each_goes_to_its_node(&cluster, url);
    both_take_uploads();
    let message = send(url);
    let kept = paths(&upload_all(url));
    let [first, second] = [true, false].map(|wanted| {
        let found = kept.iter().find(|path| is_first(path) == wanted);
        found.expect("a file of each node").clone()
    });

    // The connection is refused, so the upload goes to the other node, even before the next check.
    cluster.nodes[0].kill_all();
    for _ in 0..4 {
        paths(&upload_all(url));
        // Nobody knows the dead node's file, and this does not count against any node.
        assert_eq!(get(&first).status, 503);
        assert_eq!(get(&second).status, 200);
    }
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].start_nginx();
    both_take_uploads();
    cluster.wait_until_seen(1, 1, "up");
    for _ in 0..2 {
        assert_eq!(
            get(&format!("{message}/1")).body,
            b"a clip",
            "through each node"
        );
    }

    // Until the next check the drained node refuses the uploads that it gets; reads go on.
    assert_eq!(cluster.nodes[0].ask_admin("POST", "/drain").0, 200);
    eventually("the drained node gets no uploads any more", || {
        let answers = upload_all(url);
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(!answer.header("retry-after").is_empty());
        }
        answers
            .iter()
            .all(|answer| answer.status == 201)
            .then_some(())
    });
    for _ in 0..4 {
        assert!(!paths(&upload_all(url)).iter().any(is_first));
        assert_eq!(get(&first).status, 200);
    }
    // Requests for lists go to all nodes that answer, although none takes uploads. There is no MongoDB here.
    assert_eq!(cluster.nodes[1].ask_admin("POST", "/drain").0, 200);
    let files = format!("{url}/files");
    wait_until("no node gets uploads any more", || {
        // haproxy answers at once, and cuts a body off.
        let refused = curl(("body", b""), &["-X", "POST", &files]).answer;
        refused.status == 503 && !refused.body.starts_with(b"{")
    });
    get("/receivers/bob/messages").assert_problem(503, "unavailable");
    let delivered = format!("{url}/receivers/bob/delivered");
    let words = [
        "-H",
        "Content-Type: application/json",
        "-d",
        "@body",
        &delivered,
    ];
    let said = curl(("body", br#"{"through":"0000000000000000"}"#), &words).answer;
    said.assert_problem(503, "unavailable");
}

#[test]
fn a_reload_of_haproxy_closes_no_kept_connection_before_its_next_answer() {
    let cluster = Cluster::start_without_mongodb(2, &Builder::default());
    let Some(mut haproxy) = Haproxy::before(&cluster, &cluster.addresses()) else {
        skip("a reload of haproxy", "haproxy is not installed");
        return;
    };
    let mut kept = BufReader::new(TcpStream::connect(("127.0.0.1", haproxy.plain)).unwrap());
    let mut ask = || {
        let question = b"GET /healthz?for=read HTTP/1.1\r\nHost: a\r\n\r\n";
        kept.get_mut().write_all(question).unwrap();
        let mut head = Vec::new();
        for line in kept.by_ref().lines() {
            match line.unwrap() {
                end if end.is_empty() => break,
                line => head.push(line.to_lowercase()),
            }
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        kept.read_exact(&mut vec![0; length]).unwrap();
        head
    };
    assert!(ask()[0].starts_with("http/1.1 200"));
    // A reload ends the old process in this way.
    haproxy.process.signal(Signal::USR1);
    wait_until("it takes no connections any more", || {
        TcpStream::connect(("127.0.0.1", haproxy.plain)).is_err()
    });
    assert!(haproxy.process.is_running(), "it has a connection still");
    let head = ask();
    assert!(head[0].starts_with("http/1.1 200"), "{head:?}");
    assert!(head.contains(&"connection: close".to_owned()), "{head:?}");
    wait_until("it ends then", || !haproxy.process.is_running());
}

#[test]
fn a_client_that_stalls_is_cut_off_before_its_node_does_it_and_a_nodes_own_word_comes_first() {
    let seconds = |file: &str, name: &str| -> Vec<u32> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/nginx.conf.d");
        let text = std::fs::read_to_string(format!("{directory}/{file}")).unwrap();
        let values = text.lines().filter_map(|line| {
            let value = line.trim().strip_prefix(name)?.strip_prefix(' ')?;
            value.trim_end_matches(';').strip_suffix('s')?.parse().ok()
        });
        values.collect()
    };
    // Receivers may wait, too.
    let list = seconds("gridspool/list.conf", "proxy_read_timeout")[0];
    let node = seconds("gridspool/body.conf", "client_body_timeout")[0];
    let answer = seconds("gridspool/spool.conf", "proxy_read_timeout")[0];
    for (file, stall, wait) in [
        (
            "examples/balancer.conf",
            "client_body_timeout",
            "proxy_read_timeout",
        ),
        ("examples/haproxy.cfg", "timeout client", "timeout server"),
    ] {
        assert!(seconds(file, stall)[0] + 10 < node, "{file}");
        assert!(seconds(file, wait).contains(&list), "{file}");
        let longest = seconds(file, wait).into_iter().max();
        assert!(longest > Some(answer), "{file}");
    }
}
