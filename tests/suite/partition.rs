//! Hosts that die and links that are cut: each node and each member of MongoDB's replica set has a host
//! of its own.

use std::time::Duration;

use kit::{Builder, Cluster, Ledger, Load, Mongo, Network, Site, noise, wait_until};
use mongodb::bson::doc;

/// The hosts of the nodes; the hosts of MongoDB's members follow them.
const NODES: std::ops::Range<usize> = 0..3;

/// Answers that the load must get after each fault.
const GO_ON: usize = 40;

/// Evicts bodies at once, and does not wait long for MongoDB.
fn impatient() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 3000)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 1000)
}

/// Three nodes, and a member of MongoDB on each other host.
fn start(network: &Network) -> (Mongo, Cluster) {
    let mongo = Mongo::start_on(&network.hosts[NODES.end..]);
    let cluster = Cluster::start_on(&network.hosts[NODES], &impatient(), &mongo);
    (mongo, cluster)
}

/// Kills everything on a host, and restarts it after the load has gone on without it.
fn kill_host(network: &Network, cluster: &mut Cluster, node: usize, load: &Load) {
    network.plug(node, false);
    cluster.nodes[node].kill_all();
    load.go_on(GO_ON);
    network.plug(node, true);
    cluster.nodes[node].start_sidecar();
    cluster.nodes[node].start_nginx();
    load.go_on(GO_ON);
}

/// The same with the host of MongoDB's primary.
fn kill_primary(network: &Network, mongo: &mut Mongo, load: &Load) {
    let primary = mongo.wait_for_primary();
    network.plug(NODES.end + primary, false);
    mongo.kill_member(primary);
    load.go_on(GO_ON);
    network.plug(NODES.end + primary, true);
    mongo.restart_member(primary);
    mongo.wait_for_primary();
    load.go_on(GO_ON);
}

/// Asserts that every promised file is in GridFS once, and that every node serves it.
fn assert_kept(cluster: &Cluster, mongo: &Mongo, ledger: &Ledger) {
    cluster.nodes.iter().for_each(Site::wait_until_committed);
    mongo.assert_holds(ledger);
    for client in cluster.clients() {
        ledger.assert_readable(&client);
    }
}

#[test]
fn nodes_that_are_cut_from_each_other_call_pending_files_unavailable_and_never_missing() {
    let network = Network::new("nodes that are cut from each other", 4);
    if !network.can_cut() {
        return;
    }
    let (mongo, cluster) = start(&network);
    let ledger = Ledger::default();
    let [one, other, third] = [0, 1, 2].map(|node| cluster.nodes[node].client());
    let committed = ledger.upload(&one, 1, 700_000);
    cluster.nodes[0].wait_until_empty();
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "errorCode": 91 },
    );
    let pending = [500, 300_000].map(|length| ledger.upload(&one, 2, length));
    for promise in &pending {
        // This also leaves connections open between the nodes.
        assert_eq!(
            cluster.agree(|client| client.get(&promise.path)).status,
            200
        );
    }
    network.cut(&[0], &[1]);
    // A client gets its answer within the time that a node needs to notice a lost node.
    let hurried = other.hurried(Duration::from_secs(7));
    let assert_unavailable = || {
        for promise in &pending {
            let answer = hurried.try_get(&promise.path).expect("an answer in time");
            answer.assert_problem(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
            assert!(third.get(&promise.path).body == promise.content());
        }
        assert!(other.get(&committed.path).body == committed.content());
    };
    assert_unavailable();
    cluster.wait_until_seen(1, 1, "down");
    assert_unavailable();
    network.heal();
    for promise in &pending {
        wait_until("the file is there again", || {
            let status = other.get(&promise.path).status;
            assert!(matches!(status, 200 | 503), "{status}");
            status == 200
        });
    }
    mongo.heal();
    assert_kept(&cluster, &mongo, &ledger);
}

#[test]
fn a_node_that_is_cut_from_mongodb_takes_uploads_that_every_node_gives() {
    let network = Network::new("a node that is cut from MongoDB", 4);
    if !network.can_cut() {
        return;
    }
    let (mongo, cluster) = start(&network);
    let ledger = Ledger::default();
    let [one, other] = [0, 1].map(|node| cluster.nodes[node].client());
    let before = ledger.upload(&other, 1, 100_000);
    cluster.nodes[1].wait_until_empty();
    network.cut(&[0], &[NODES.end]);
    for seed in 2..12 {
        let promise = ledger.upload(&one, seed, 30_000 * usize::try_from(seed).unwrap());
        let answer = cluster.agree(|client| client.get(&promise.path));
        assert!(answer.status == 200 && answer.body == promise.content());
        // A file that is only in GridFS cannot be read from here, and is not reported missing.
        assert!(matches!(one.get(&before.path).status, 200 | 503));
    }
    wait_until("MongoDB is missed", || {
        cluster.nodes[0].status()["mongodb"]["state"] == "down"
    });
    one.get(&before.path).assert_problem(503, "unavailable");
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
    network.heal();
    assert_kept(&cluster, &mongo, &ledger);
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_host_that_dies_under_load_and_comes_back_has_lost_nothing() {
    let network = Network::new("a host that dies", 4);
    let (mongo, mut cluster) = start(&network);
    let balancer = cluster.balancer();
    let front = &balancer.client;
    let mut load = Load::start(front, &cluster.clients());
    load.go_on(GO_ON);
    for node in NODES {
        kill_host(&network, &mut cluster, node, &load);
    }
    load.stop();
    assert_kept(&cluster, &mongo, load.ledger());
}

#[test]
fn a_primary_that_dies_or_steps_down_under_load_has_every_file_once_in_the_end() {
    let network = Network::new("a primary that dies", 6);
    let (mut mongo, cluster) = start(&network);
    let balancer = cluster.balancer();
    let front = &balancer.client;
    let mut load = Load::start(front, &cluster.clients());
    load.go_on(GO_ON);
    kill_primary(&network, &mut mongo, &load);
    mongo.elect_another();
    load.go_on(GO_ON);
    load.stop();
    assert_kept(&cluster, &mongo, load.ledger());
}

#[test]
fn through_cuts_and_deaths_in_turn_uploads_and_reads_go_on_and_nothing_is_lost() {
    let network = Network::new("cuts and deaths in turn", 6);
    let (mut mongo, mut cluster) = start(&network);
    let balancer = cluster.balancer();
    let front = &balancer.client;
    let mut load = Load::start(front, &cluster.clients());
    load.go_on(GO_ON);
    // The link between two nodes, and that of one node to all of MongoDB.
    let members: Vec<_> = (NODES.end..network.hosts.len()).collect();
    for (some, others) in [([0], &[1][..]), ([1], &members)] {
        network.cut(&some, others);
        load.go_on(GO_ON);
        network.heal();
        load.go_on(GO_ON);
    }
    kill_host(&network, &mut cluster, 2, &load);
    kill_primary(&network, &mut mongo, &load);
    mongo.elect_another();
    cluster.nodes[0].kill_sidecar();
    load.go_on(GO_ON);
    cluster.nodes[0].start_sidecar();
    load.go_on(GO_ON);
    load.stop();
    assert_kept(&cluster, &mongo, load.ledger());
}

#[test]
fn each_of_many_files_is_given_by_every_node_at_once_with_one_etag() {
    let count = std::env::var("GRIDSPOOL_TEST_UPLOADS").map_or(1000, |text| text.parse().unwrap());
    let mongo = Mongo::start();
    let cluster = Cluster::start(3, &impatient(), &mongo);
    let balancer = cluster.balancer();
    let front = &balancer.client;
    let lengths = [500, 40_000, 100_000, 300_000];
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (front, nodes) = (front, cluster.clients());
            scope.spawn(move || {
                for seed in (worker..count).step_by(4) {
                    let content = noise(seed, lengths[usize::try_from(seed / 4 % 4).unwrap()]);
                    let file = front.upload(&content);
                    for client in &nodes {
                        let answer = client.get(&file.path);
                        assert_eq!(answer.status, 200, "{seed}: {}", file.path);
                        assert!(answer.body == content, "{seed}: {}", file.path);
                        assert_eq!(answer.header("etag"), file.etag);
                    }
                }
            });
        }
    });
    cluster.nodes.iter().for_each(Site::wait_until_committed);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), count);
}
