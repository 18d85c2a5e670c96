//! The stage of tests: a MongoDB, a site (nginx and sidecar), and a client.

mod answer;
mod balancer;
mod browser;
mod bucket;
mod client;
mod cluster;
mod conf;
mod curl;
mod entries;
mod fault;
mod half;
mod kept_socket;
mod ledger;
mod load;
pub(crate) mod media;
mod metrics;
mod mongo;
mod network;
mod nginx;
mod points;
mod process;
mod raw;
mod replica_set;
mod routes;
mod secured;
mod site;
mod small_disk;
mod stock;
mod tokens;
mod written;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, read_to_end};
pub(crate) use balancer::{Balancer, Haproxy};
pub(crate) use browser::Browser;
pub(crate) use bucket::{CHUNK, object_id};
pub(crate) use client::{Client, Uploaded};
pub(crate) use cluster::Cluster;
pub(crate) use curl::curl;
pub(crate) use ledger::{Ledger, Promise};
pub(crate) use load::Load;
pub(crate) use metrics::Metrics;
pub(crate) use mongo::Mongo;
pub(crate) use network::{Host, Network};
pub(crate) use points::points;
pub(crate) use process::{Process, children, finish, is_alive, signal};
pub(crate) use replica_set::ReplicaSet;
pub(crate) use routes::Routes;
pub(crate) use secured::{PASSWORD, Secured};
pub(crate) use site::{Builder, Site};
pub(crate) use small_disk::SmallDisk;
pub(crate) use stock::Stock;
pub(crate) use tokens::Keys;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `probe` gives something, and fails the test if it never does.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until something is true.
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    eventually(what, || is_true().then_some(()));
}

/// Tells of a test that cannot run here, as the scripts do: by name, with the reason. A machine that
/// checks for others must have everything: there an omission is a failure.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("{test}: {reason}");
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "{line}"
    );
    eprintln!("skipped {line}");
    if let Some(list) = std::env::var_os("GRIDSPOOL_SKIPPED_LIST") {
        let list = File::options().append(true).create(true).open(list);
        let mut list = list.expect("the list of what is skipped");
        // At once, as tests that run side by side write there.
        list.write_all(format!("{line}\n").as_bytes())
            .expect("a line in the list");
    }
}

/// Bytes that look random and are the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
