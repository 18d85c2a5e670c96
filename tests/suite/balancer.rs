//! The examples for several nodes behind one name: clients see one service.

mod messages;
pub(crate) mod repeats;
pub(crate) mod uploads;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use kit::{
    Balancer, Builder, Client, Cluster, Mongo, Site, Uploaded, curl, eventually, noise,
    read_to_end, wait_until,
};

use repeats::relays;

/// Uploads with HTTP/2; returns the path.
fn upload(url: &str, body: &[u8], options: &[&str]) -> String {
    let files = format!("{url}/files/");
    let arguments = [options, &["--http2", "-T", "body", &files]].concat();
    let sent = curl(("body", body), &arguments);
    assert_eq!(sent.version, "2");
    assert_eq!(sent.answer.status, 201, "{:?}", sent.answer);
    sent.answer.header("location").to_owned()
}

fn assert_content(url: &str, path: &str, content: &[u8]) {
    let got = curl(("body", b""), &["--http2", &format!("{url}{path}")]);
    assert_eq!((got.answer.status, got.version.as_str()), (200, "2"));
    assert!(got.answer.body == content, "{path}");
}

#[test]
fn behind_a_balancer_files_go_in_and_out_while_nodes_come_and_go() {
    let mut mongo = Mongo::start();
    let mut cluster = Cluster::start(2, &Builder::default(), &mongo);
    let mut balancer = cluster.balancer();
    let url = &balancer.url.clone();
    let content = noise(1, 2_500_000);
    let paths = [0; 4].map(|_| upload(url, &content, &[]));
    let nodes: BTreeSet<_> = paths.iter().map(|path| &path[15..19]).collect();
    assert_eq!(nodes.len(), 2, "both nodes take uploads: {paths:?}");
    for path in &paths {
        assert_content(url, path, &content);
    }
    messages::assert_messages_go_through(&cluster, &mut balancer);
    uploads::assert_each_goes_to_its_node(&cluster, url);
    assert_a_yes_outlasts_a_drain(&cluster, &balancer);
    // The first node is drained: the other one takes all uploads, and both serve reads.
    assert_eq!(cluster.nodes[0].ask_admin("POST", "/drain").0, 200);
    for _ in 0..4 {
        let path = upload(url, b"while one is drained", &[]);
        assert!(path.starts_with(&format!("{}0002", &path[..15])), "{path}");
        assert_content(url, &path, b"while one is drained");
    }
    cluster.nodes.iter().for_each(Site::wait_until_committed);
    // Then it is switched off.
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].stop_nginx();
    for path in &paths {
        assert_content(url, path, &content);
    }
    let path = upload(url, b"while one is off", &[]);
    assert_content(url, &path, b"while one is off");
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].start_nginx();
    mongo.stop();
    let again = eventually("the node takes uploads again", || {
        let path = upload(url, b"again", &[]);
        (path[15..19] == *"0001").then_some(path)
    });
    let relays = relays(&cluster);
    let trapped = Balancer::before(&relays.each_ref().map(|relay| relay.address.clone()));
    repeats::assert_no_upload_is_sent_twice(&cluster, &relays, &trapped.url);
    assert_faults_of_files_count_against_no_node(&mut cluster, &mut balancer, &again);
}

/// Both nodes are drained while a client with a `100 Continue` has not sent its small body yet.
fn assert_a_yes_outlasts_a_drain(cluster: &Cluster, balancer: &Balancer) {
    let address = balancer.client.base.replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = "POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 7\r\n\
                Expect: 100-continue\r\nContent-Type: text/plain\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    for node in &cluster.nodes {
        assert_eq!(node.ask_admin("POST", "/drain").0, 200);
    }
    let refused = balancer.client.post("/files", &[], b"content");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    stream.write_all(b"content").unwrap();
    let answer = String::from_utf8(read_to_end(stream)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    for node in &cluster.nodes {
        assert_eq!(node.ask_admin("DELETE", "/drain").0, 200);
    }
}

/// MongoDB is away, and the first node dies with a pending file.
fn assert_faults_of_files_count_against_no_node(
    cluster: &mut Cluster,
    balancer: &mut Balancer,
    pending: &str,
) {
    cluster.nodes[0].kill_sidecar();
    let kept = upload(&balancer.url, b"kept", &[]);
    for path in [pending, "/readyz", "/files/6500000000010102030405ff"] {
        for _ in 0..8 {
            let answer = balancer.client.get(path);
            assert_eq!(answer.status, 503, "{path}: {answer:?}");
            assert!(!answer.body.is_empty(), "{path}");
        }
        assert_content(&balancer.url, &kept, b"kept");
        upload(&balancer.url, b"still taken", &[]);
    }
    // The balancer cuts stalled phones off before a node notices them.
    balancer.host.change_nginx(&[(
        "examples/balancer.conf",
        "client_body_timeout 45s",
        "client_body_timeout 1s",
    )]);
    let address = balancer.client.base.replace("http://", "");
    let stalled: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let head = "POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegun";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    for stream in stalled {
        read_to_end(stream);
    }
    for _ in 0..4 {
        assert_content(&balancer.url, &kept, b"kept");
        upload(&balancer.url, b"still taken", &[]);
    }
}

#[test]
fn nodes_count_the_uploads_of_a_client_by_its_own_address_behind_a_balancer() {
    let builder = Builder::default().set("subject_uploads_per_minute", 1);
    let mut cluster = Cluster::start_without_mongodb(2, &builder);
    for node in &mut cluster.nodes {
        add_edge(node);
    }
    // One node only, as each node counts for itself.
    let (public, private) = edge_ports(&cluster.nodes[0]);
    let balancer = Balancer::before(&[format!("127.0.0.1:{private}")]);
    let url = format!("{}/files/", balancer.url);
    let upload = |client: &str, claim: &str| {
        let claim = format!("X-Forwarded-For: {claim}");
        let arguments = ["--interface", client, "-H", &claim, "-T", "body", &url];
        curl(("body", b"content"), &arguments).answer.status
    };
    assert_eq!(upload("127.0.0.2", "192.0.2.1"), 201);
    assert_eq!(upload("127.0.0.3", "192.0.2.1"), 201);
    assert_eq!(
        upload("127.0.0.2", "192.0.2.2"),
        429,
        "the claim does not count"
    );
    // Nodes and balancers ask each other only at the private port.
    for path in [
        "/_gridspool/hop/node",
        "/_gridspool/room",
        "/files/..%2F_gridspool/hop/node",
    ] {
        let url = format!("{}{path}", balancer.url);
        let answer = curl(("body", b""), &["--path-as-is", &url]).answer;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let of_node = answer.header("referrer-policy");
        assert!(of_node.is_empty(), "the balancer's own: {path}");
    }
    for (path, status) in [("/_gridspool/room", 204), ("/_gridspool/hop/node", 403)] {
        assert_eq!(Client::new(private).get(path).status, status, "{path}");
        let url = format!("https://127.0.0.1:{public}{path}");
        let closed = curl(("body", b""), &["--haproxy-protocol", &url]).answer;
        closed.assert_problem(404, "not-found");
    }
}

#[test]
fn a_node_at_the_edge_speaks_tls_and_http2_and_learns_the_clients_address_by_proxy_protocol() {
    let mut site = Builder::default().start_without_mongodb();
    add_edge(&mut site);
    let (public, private) = edge_ports(&site);
    let relay = proxy_protocol_relay(public, "PROXY TCP4 203.0.113.7 203.0.113.8 4711 443\r\n");
    let url = format!("https://127.0.0.1:{relay}");
    let path = upload(&url, &noise(1, 100_000), &[]);
    assert_content(&url, &path, &noise(1, 100_000));
    wait_until("the log has the client's address", || {
        let log = std::fs::read_to_string(site.run_dir().join("gridspool.log")).unwrap();
        log.lines()
            .any(|line| line.starts_with("203.0.113.7 ") && line.contains(" 201 "))
    });
    // The port for nodes and balancers gives the same answers.
    assert!(Client::new(private).get(&path).body == noise(1, 100_000));
    assert_each_address_is_bounded(&mut site, private);
}

/// The public port is bounded in uploads at once and in requests; the private port is not.
fn assert_each_address_is_bounded(site: &mut Site, private: u16) {
    let bounds = "gridspool/limits.conf";
    site.change_nginx(&[
        (
            bounds,
            "gridspool_uploads_at_once 300",
            "gridspool_uploads_at_once 2",
        ),
        ("gridspool/own-addresses.conf", "127.0.0.0/8 1;", ""),
    ]);
    let (public, private) = (site.client(), Client::new(private));
    // At a port that is not for balancers alone, other addresses may not ask.
    let room = "/_gridspool/room";
    public.get(room).assert_problem(404, "not-found");
    assert_eq!(private.get(room).status, 204);
    let halves = [1, 2].map(|seed| site.half_upload(&noise(seed, 200_000)));
    for length in [10, 100_000] {
        let refused = public.post("/files", &[], &noise(3, length));
        refused.assert_problem(429, "too-many-requests");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    assert_eq!(public.get("/healthz").status, 200);
    private.upload(b"content");
    for half in halves {
        assert!(half.finish().unwrap().starts_with("HTTP/1.1 201"));
    }
    let file = eventually("the two are no longer counted", || {
        let answer = public.post("/files", &[], b"content");
        (answer.status == 201).then(|| Uploaded::read(&answer))
    });
    site.change_nginx(&[
        (bounds, "burst=2000", "burst=5"),
        ("gridspool.conf", "rate=500r/s", "rate=1r/m"),
    ]);
    // This is the burst; one of them was the test's own check that nginx runs.
    let answers = [(); 8].map(|()| public.get(&file.path));
    assert_eq!(answers[0].status, 200);
    answers[7].assert_problem(429, "too-many-requests");
    for _ in 0..8 {
        assert_eq!(private.get(&file.path).status, 200);
    }
}

/// Adds the example of a node at the edge to the site.
fn add_edge(site: &mut Site) {
    let [public, private] = [(); 2].map(|()| Site::free_port());
    let changes = [
        ("127.0.0.1:8444", format!("127.0.0.1:{public}")),
        ("10.0.0.1:8080", format!("127.0.0.1:{private}")),
        (
            "set_real_ip_from 10.0.0.100",
            "set_real_ip_from 127.0.0.1".to_owned(),
        ),
    ];
    site.add_example("edge.conf", "edge.conf", &changes);
}

/// The public and the private port of that example.
fn edge_ports(site: &Site) -> (u16, u16) {
    let path = site.nginx_conf().with_file_name("examples/edge.conf");
    let text = std::fs::read_to_string(path).unwrap();
    let mut ports = text.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("listen 127.0.0.1:")?;
        let end = rest.find([' ', ';'])?;
        rest[..end].parse().ok()
    });
    (ports.next().unwrap(), ports.next().unwrap())
}

/// A TCP balancer: states the client's address, and passes bytes on.
fn proxy_protocol_relay(to: u16, line: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The thread ends with the test's process; its connections end with nginx.
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let mut node = TcpStream::connect(("127.0.0.1", to)).unwrap();
            node.write_all(line.as_bytes()).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), node.try_clone().unwrap()),
                (node, client),
            ] {
                std::thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).unwrap_or_default();
                    // It fails if the other direction has ended it already.
                    to.shutdown(Shutdown::Both).unwrap_or_default();
                });
            }
        }
    });
    port
}
