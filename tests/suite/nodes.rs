//! The list of nodes in MongoDB: who has a number, and who comes and goes.

mod cut_off;
mod joining;
mod keys;
mod leaving;
mod number;

use std::path::PathBuf;
use std::process::Output;

use kit::{Builder, Host, Mongo, Site, wait_until};
use mongodb::bson::{Bson, Document, doc};
use tempfile::TempDir;

/// A MongoDB, and the key of the nodes that share it.
struct Cluster {
    mongo: Mongo,
    scratch: TempDir,
}

impl Cluster {
    fn start() -> Self {
        Self::with(Mongo::start())
    }

    fn with(mongo: Mongo) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let cluster = Self { mongo, scratch };
        std::fs::write(cluster.key(), "0123456789abcdef0123456789abcdef").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(cluster.key(), mode).unwrap();
        cluster
    }

    fn key(&self) -> PathBuf {
        self.scratch.path().join("peer.key")
    }

    /// Starts a node that nobody's settings name.
    fn add(&self, number: u16) -> Site {
        self.add_on(number, &Host::default())
    }

    /// Does the same on a host.
    fn add_on(&self, number: u16, host: &Host) -> Site {
        let mut builder = Builder::default().set("settled_grace_seconds", 0);
        builder.host = host.clone();
        builder.listed(number, &self.key()).start(&self.mongo)
    }

    /// Starts a node that also knows another one by its settings.
    fn add_beside(&self, number: u16, (other, site): (u16, &Site)) -> Site {
        let builder = Builder::default().set("peers", format!("{other}={}", site.url()));
        builder.listed(number, &self.key()).start(&self.mongo)
    }

    /// Starts nodes with these numbers, and waits until they take uploads.
    fn add_all(&self, numbers: &[u16]) -> Vec<Site> {
        let nodes: Vec<_> = numbers.iter().map(|&number| self.add(number)).collect();
        nodes.iter().for_each(Site::wait_until_open);
        nodes
    }

    /// Stops all commits, so that new files wait where they are.
    fn stop_commits(&self) {
        // An error that does not speak of the server: it still answers all other commands.
        let data = doc! { "failCommands": ["insert"], "errorCode": 96 };
        self.mongo.fail_sidecars("alwaysOn", data);
    }

    /// Changes the document of a number.
    fn change(&self, number: i32, change: Document) {
        let nodes = self.mongo.database().collection::<Document>("fs.nodes");
        let changed = nodes.update_one(doc! { "_id": number }, change);
        assert_eq!(
            self.mongo
                .block_on(changed.into_future())
                .unwrap()
                .matched_count,
            1
        );
    }

    /// Waits until these nodes tell that their keys are known for the nodes of a list.
    fn wait_until_carried(&self, numbers: &[i32], list: &[i32]) {
        let list: Vec<_> = list.iter().copied().map(Bson::Int32).collect();
        let tells = |number: &i32| self.record(*number).get_array("carried").ok() == Some(&list);
        wait_until("each node tells that its keys are known", || {
            numbers.iter().all(tells)
        });
    }

    fn record(&self, number: i32) -> Document {
        let found = self.mongo.find("fs.nodes", doc! { "_id": number });
        found.into_iter().next().expect("the node is in the list")
    }
}

/// Carries out `gridspool node` with these words, by this node's settings.
fn order(site: &Site, words: &[&str]) -> Output {
    let mut command = site.command();
    command.arg("node").args(words).env("GRIDSPOOL_LOG", "info");
    command.output().unwrap()
}

/// Kills a node whole, as a power cut does.
fn kill(site: &mut Site) {
    site.kill_nginx();
    site.kill_sidecar();
}

/// Waits until this node's status tells of another one.
fn wait_for_word(site: &Site, number: u64, what: &str, says: impl Fn(&serde_json::Value) -> bool) {
    wait_until(what, || {
        let status = site.status();
        let peers = status["cluster"]["peers"].as_array().unwrap();
        let mut peers = peers.iter();
        peers.any(|peer| peer["node"] == number && says(peer))
    });
}
