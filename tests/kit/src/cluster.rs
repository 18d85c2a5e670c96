//! Several equal nodes, each an nginx and a sidecar, with one MongoDB.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Answer, Builder, Client, Host, Mongo, Site, wait_until};

/// Nodes numbered from 1, which know each other.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Site>,
    scratch: TempDir,
}

impl Cluster {
    /// Starts this many nodes with the same settings and this MongoDB.
    pub fn start(count: u16, builder: &Builder, mongo: &Mongo) -> Self {
        Self::start_each(count, builder, |builder| builder.start(mongo))
    }

    /// Starts this many nodes without a MongoDB: all uploads stay pending.
    pub fn start_without_mongodb(count: u16, builder: &Builder) -> Self {
        Self::start_each(count, builder, Builder::start_without_mongodb)
    }

    /// Starts this many nodes, each with settings of its own. A single one has no peers. `way` tells the
    /// address by which the node at one place reaches another one.
    pub fn start_with(
        count: u16,
        builder: impl Fn(u16) -> Builder,
        mongo: &Mongo,
        way: impl FnMut(usize, usize, &Site) -> String,
    ) -> Self {
        let nodes = (1..=count).map(|node| builder(node).set("node", node).start(mongo));
        Self::of(nodes.collect(), way)
    }

    /// Starts a node on each host, with `mongo` behind them.
    pub fn start_on(hosts: &[Host], builder: &Builder, mongo: &Mongo) -> Self {
        let count = u16::try_from(hosts.len()).expect("few hosts");
        let mut hosts = hosts.iter().cloned();
        Self::start_each(count, builder, |mut builder| {
            builder.host = hosts.next().expect("a host");
            builder.start(mongo)
        })
    }

    fn start_each(count: u16, builder: &Builder, mut start: impl FnMut(Builder) -> Site) -> Self {
        let nodes = (1..=count).map(|node| start(builder.clone().set("node", node)));
        Self::of(nodes.collect(), |_, _, to| to.url())
    }

    fn of(nodes: Vec<Site>, way: impl FnMut(usize, usize, &Site) -> String) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let mut cluster = Self { nodes, scratch };
        cluster.write_key("0123456789abcdef0123456789abcdef");
        if cluster.nodes.len() > 1 {
            cluster.introduce(way);
        }
        cluster
    }

    /// Tells each node of all others, now that their ports are known, and waits until they have met.
    fn introduce(&mut self, mut way: impl FnMut(usize, usize, &Site) -> String) {
        let key = self.key();
        for own in 0..self.nodes.len() {
            let nodes = self.nodes.iter().enumerate();
            let peers: Vec<_> = nodes
                .filter(|(place, _)| *place != own)
                .map(|(place, node)| format!("{}={}", place + 1, way(own, place, node)))
                .collect();
            let site = &mut self.nodes[own];
            let url = site.url();
            site.reconfigure(|builder| {
                let builder = builder
                    .set("peers", peers.join(" "))
                    .set("peer_key", key.display());
                peers
                    .iter()
                    .fold(builder, |builder, peer| builder.nginx("--peer", peer))
            });
            site.stop_nginx();
            site.kill_sidecar();
            site.start_sidecar();
            site.configure_nginx();
            site.start_nginx();
            assert_eq!(site.url(), url, "the port was taken");
        }
        self.wait_until_met();
    }

    /// Waits until each node sees all others.
    pub fn wait_until_met(&self) {
        for from in 0..self.nodes.len() {
            for (place, node) in (1..).enumerate().take(self.nodes.len()) {
                if place != from {
                    self.wait_until_seen(from, node, "up");
                }
            }
        }
    }

    /// The file of the key that all nodes share.
    pub fn key(&self) -> PathBuf {
        self.scratch.path().join("peer.key")
    }

    /// Changes that file; sidecars read it when they start.
    pub fn write_key(&self, key: &str) {
        std::fs::write(self.key(), key).expect("a key");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.key(), mode).expect("a mode");
    }

    /// A client of each node.
    pub fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(Site::client).collect()
    }

    /// Asks all nodes the same, and asserts that they answer alike, except for the time.
    pub fn agree(&self, ask: impl Fn(&Client) -> Answer) -> Answer {
        let mut answers = self.clients().into_iter().map(|client| ask(&client));
        let first = answers.next().expect("a node");
        for (answer, node) in answers.zip(2..) {
            assert_eq!(answer.status, first.status, "node {node}");
            assert_eq!(
                answer.lasting_headers(),
                first.lasting_headers(),
                "node {node}"
            );
            assert!(answer.body == first.body, "node {node}: other bytes");
        }
        first
    }

    /// Waits until the node at this place sees another as `up` or `down`.
    pub fn wait_until_seen(&self, from: usize, node: u64, state: &str) {
        wait_until("a node sees another", || {
            let status = self.nodes[from].status();
            let peers = status["cluster"]["peers"].as_array().expect("a list");
            peers
                .iter()
                .any(|peer| peer["node"] == node && peer["state"] == state)
        });
    }
}

impl Site {
    /// Freezes nginx and sidecar: they keep their connections and do not answer.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Ends [`Site::freeze`].
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        for id in self.nginx_workers() {
            // A worker that a reload has replaced ends after its last request.
            if let Err(err) = crate::process::try_signal(id, signal) {
                assert!(!crate::is_alive(id), "{err}");
            }
        }
        crate::signal(self.sidecar_id(), signal);
    }
}
