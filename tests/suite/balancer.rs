//! The examples for several nodes behind one name: clients see one service.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::support::{Builder, Client, Cluster, Mongo, Site, curl, noise, wait_until};

/// A balancer in front of these nodes: an nginx of its own, with the example.
fn balancer(cluster: &Cluster) -> (Site, String) {
    let mut host = Site::without_mongodb();
    let port = Site::free_port();
    let address = |place: usize| cluster.nodes[place].url().replace("http://", "");
    let changes = [
        ("127.0.0.1:8443", format!("127.0.0.1:{port}")),
        ("10.0.0.1:8080", address(0)),
        ("10.0.0.2:8080", address(1)),
        (
            "  server 10.0.0.3:8080 max_fails=2 fail_timeout=10s;\n",
            String::new(),
        ),
    ];
    host.add_example("balancer.conf", "balancer.conf", &changes);
    (host, format!("https://127.0.0.1:{port}"))
}

/// Uploads with HTTP/2 until that is a 201, as a client does that heeds `Retry-After`; the path.
fn upload(url: &str, body: &[u8], options: &[&str]) -> String {
    crate::support::eventually("the upload is taken", || {
        let files = format!("{url}/files/");
        let arguments = [options, &["--http2", "-T", "body", &files]].concat();
        let sent = curl(("body", body), &arguments);
        assert_eq!(sent.version, "2");
        match sent.answer.status {
            201 => Some(sent.answer.header("location").to_owned()),
            status => {
                assert_eq!(status, 503, "{:?}", sent.answer);
                assert!(!sent.answer.header("retry-after").is_empty());
                None
            }
        }
    })
}

fn assert_content(url: &str, path: &str, content: &[u8]) {
    let got = curl(("body", b""), &["--http2", &format!("{url}{path}")]);
    assert_eq!((got.answer.status, got.version.as_str()), (200, "2"));
    assert!(got.answer.body == content, "{path}");
}

#[test]
fn behind_a_balancer_files_go_in_and_out_while_nodes_come_and_go() {
    let mongo = Mongo::start();
    let mut cluster = Cluster::start(2, &Builder::default(), &mongo);
    let (_host, url) = balancer(&cluster);
    let content = noise(1, 2_500_000);
    let paths = [0; 4].map(|_| upload(&url, &content, &[]));
    let nodes: std::collections::BTreeSet<_> = paths.iter().map(|path| &path[15..19]).collect();
    assert_eq!(nodes.len(), 2, "both nodes take uploads: {paths:?}");
    for path in &paths {
        assert_content(&url, path, &content);
    }
    // One is drained: the other takes all, and both are read from.
    assert_eq!(cluster.nodes[0].ask_admin("POST", "/drain").0, 200);
    for _ in 0..4 {
        let path = upload(&url, b"while one is drained", &[]);
        assert!(path.starts_with(&format!("{}0002", &path[..15])), "{path}");
        assert_content(&url, &path, b"while one is drained");
    }
    cluster.nodes.iter().for_each(Site::wait_until_committed);
    // And switched off.
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[0].stop_nginx();
    for path in &paths {
        assert_content(&url, path, &content);
    }
    let path = upload(&url, b"while one is off", &[]);
    assert_content(&url, &path, b"while one is off");
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].start_nginx();
    wait_until("the node takes uploads again", || {
        let path = upload(&url, b"again", &[]);
        path[15..19] == *"0001"
    });
}

#[test]
fn the_way_between_nodes_is_closed_at_the_balancer() {
    let cluster = Cluster::start_without_mongodb(2, &Builder::default());
    let (_host, url) = balancer(&cluster);
    for path in ["/_gridspool/hop/node", "/files/..%2F_gridspool/hop/node"] {
        let answer = curl(("body", b""), &["--path-as-is", &format!("{url}{path}")]).answer;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.starts_with(b"{"), "the balancer's own: {path}");
    }
}

#[test]
fn nodes_count_the_uploads_of_a_client_by_its_own_address_behind_a_balancer() {
    let builder = Builder::default().set("subject_uploads_per_minute", 1);
    let mut cluster = Cluster::start_without_mongodb(2, &builder);
    for node in &mut cluster.nodes {
        add_edge(node);
    }
    let mut host = Site::without_mongodb();
    let port = Site::free_port();
    let private = cluster
        .nodes
        .iter()
        .map(edge_ports)
        .map(|(_, private)| private);
    let private: Vec<_> = private.collect();
    // Both lines lead to one node, as each counts for itself.
    let changes = [
        ("127.0.0.1:8443", format!("127.0.0.1:{port}")),
        ("10.0.0.1:8080", format!("127.0.0.1:{}", private[0])),
        (
            "  server 10.0.0.2:8080 max_fails=2 fail_timeout=10s;\n",
            String::new(),
        ),
        (
            "  server 10.0.0.3:8080 max_fails=2 fail_timeout=10s;\n",
            String::new(),
        ),
    ];
    host.add_example("balancer.conf", "balancer.conf", &changes);
    let url = format!("https://127.0.0.1:{port}/files/");
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
    // The other port, for nodes and balancers, gives the same.
    assert!(Client::new(private).get(&path).body == noise(1, 100_000));
}

/// Adds the example of a node at the edge, beside the site that is there.
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

/// The public and the private port that stand in that example.
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

/// A TCP balancer: says who the client is, and passes bytes on.
fn proxy_protocol_relay(to: u16, line: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It ends with the test's process; its connections end with nginx.
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
                    // Fails if the other direction has ended it already.
                    to.shutdown(Shutdown::Both).unwrap_or_default();
                });
            }
        }
    });
    port
}
