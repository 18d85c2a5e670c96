//! Clients of tus behind a balancer that gives each request to the next node, while a node dies and comes back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::{Builder, Cluster, RoundRobin, finish, noise, wait_until};
use serde_json::{Value, json};

use crate::upload_clients::{
    BY_TUS, BY_UPPY, assert_sent, browser_with_clients, by_python, told_by_python,
};

/// The length of the file, which is sent in many pieces.
const LENGTH: usize = 6_000_000;

const NAME: &str = "long.bin";

/// The uploads that all clients of one test have open together: a file, another one, and three parts of a
/// third one.
const OPEN: u64 = 5;

/// Three nodes, the balancer, and the file.
struct Stage {
    cluster: Cluster,
    balancer: RoundRobin,
    scratch: tempfile::TempDir,
    content: Vec<u8>,
}

impl Stage {
    fn new(builder: &Builder) -> Self {
        let cluster = Cluster::start_without_mongodb(3, builder);
        let balancer = RoundRobin::before(&cluster.addresses());
        let scratch = tempfile::tempdir().unwrap();
        let content = noise(1, LENGTH);
        std::fs::write(scratch.path().join(NAME), &content).unwrap();
        Self {
            cluster,
            balancer,
            scratch,
            content,
        }
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join(NAME)
    }

    fn endpoint(&self) -> String {
        format!("{}/uploads", self.balancer.url)
    }

    /// Runs clients, and kills a node when they have begun all uploads. It comes back when a request was
    /// refused.
    fn strike<T: Send>(&mut self, clients: impl FnOnce() -> T + Send) -> T {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let sent = clients();
                is_over.store(true, Ordering::SeqCst);
                sent
            });
            let is_over = || is_over.load(Ordering::SeqCst);
            let cluster = &mut self.cluster;
            wait_until("all uploads grow", || {
                let open = cluster.nodes.iter().map(|node| {
                    let status = node.status();
                    status["journal"]["open_uploads"]["entries"]
                        .as_u64()
                        .unwrap()
                });
                is_over() || open.sum::<u64>() == OPEN
            });
            let place = cluster
                .nodes
                .iter()
                .position(|node| !node.names("journal/body").is_empty());
            let place = place.expect("a node with an upload");
            cluster.nodes[place].kill_sidecar();
            let balancer = &self.balancer;
            let is_refused = || balancer.given().iter().any(|line| line.starts_with("50"));
            wait_until("a request is refused", || is_over() || is_refused());
            assert!(!is_over(), "the clients were too fast");
            cluster.nodes[place].start_sidecar();
            running.join().unwrap()
        })
    }

    /// Checks that a client has sent the file.
    fn check(&self, what: &str, url: &str) {
        for client in self.cluster.clients() {
            let kept_as = assert_sent(&client, what, url, &self.content);
            assert!(kept_as.contains(NAME), "{what}: {kept_as}");
        }
    }
}

#[test]
fn tuspy_and_aiotus_send_through_whichever_node_comes_next_while_one_dies() {
    let mut stage = Stage::new(&Builder::default());
    let mut command = by_python(&stage.endpoint(), stage.scratch.path());
    let output = stage.strike(|| finish(command.arg("--struck")));
    for (what, told) in &told_by_python(&output, 3) {
        stage.check(what, told[1].as_str().unwrap());
    }
}

#[test]
fn tus_js_client_and_uppy_send_through_whichever_node_comes_next_while_one_dies() {
    let name_of_test = "tus-js-client and Uppy behind a balancer";
    let Some((browser, page)) = browser_with_clients(name_of_test) else {
        return;
    };
    let mut stage = Stage::new(&Builder::default().nginx("--origin", "localhost"));
    browser.open(&page);
    browser.type_into("input", stage.file().to_str().unwrap());
    let retries = json!(vec![100; 100]);
    let options = |more: Value| {
        let mut options = json!({ "chunkSize": 100_000, "retryDelays": retries });
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        options
    };
    let ways = [
        ("tus-js-client", BY_TUS, options(json!({}))),
        (
            "tus-js-client, in parts",
            BY_TUS,
            options(json!({ "parallelUploads": 3 })),
        ),
        ("Uppy", BY_UPPY, options(json!({}))),
    ];
    // All clients of the page send together.
    let together: Vec<_> = ways
        .iter()
        .map(|(_, script, options)| {
            format!("new Promise(done => (function () {{ {script} }})(endpoint, {options}, done))")
        })
        .collect();
    let together = format!(
        "const [endpoint, done] = arguments; Promise.all([{}]).then(done);",
        together.join(",")
    );
    let endpoint = stage.endpoint();
    let sent = stage.strike(|| browser.run(&together, &json!([endpoint])));
    for ((what, ..), sent) in ways.iter().zip(sent.as_array().unwrap()) {
        let url = sent["url"].as_str();
        stage.check(what, url.unwrap_or_else(|| panic!("{what}: {sent}")));
    }
}
