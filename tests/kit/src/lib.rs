//! The stage for all tests and measurements: a MongoDB, a site (nginx and sidecar), and a client.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::return_self_not_must_use,
    clippy::len_without_is_empty,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod answer;
mod balancer;
mod browser;
mod bucket;
mod builds;
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
pub mod loop_disk;
pub mod media;
mod members;
mod metrics;
mod mongo;
mod network;
mod nginx;
mod points;
mod process;
mod program;
mod raw;
mod relay;
mod replica_set;
mod routes;
mod secured;
mod site;
mod small_disk;
mod stock;
mod tokens;
mod written;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

pub use answer::{Answer, read_to_end};
pub use balancer::{Balancer, Haproxy, RoundRobin};
pub use browser::Browser;
pub use bucket::{CHUNK, object_id};
pub use client::{Client, Uploaded};
pub use cluster::Cluster;
pub use curl::curl;
pub use ledger::{Ledger, Promise};
pub use load::Load;
pub use metrics::Metrics;
pub use mongo::Mongo;
pub use network::{Host, Network};
pub use points::points;
pub use process::{Process, children, finish, free_port, is_alive, signal, try_signal};
pub use program::{CHECKOUT, program, program_with_points};
pub use relay::{Link, Relay};
pub use replica_set::ReplicaSet;
pub use routes::Routes;
pub use secured::{PASSWORD, Secured};
pub use site::{Builder, Site};
pub use small_disk::SmallDisk;
pub use stock::Stock;
pub use tokens::Keys;

/// How long a busy machine may take until a condition holds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `probe` returns a value, and fails the test if it never does.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    eventually_at(Duration::from_millis(20), what, probe)
}

/// Waits like [`eventually`], with this pause between two probes.
pub fn eventually_at<T>(pause: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(pause);
    }
}

/// Waits until something is true.
pub fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    eventually(what, || is_true().then_some(()));
}

/// Reports a test that cannot run here, like the scripts do: by name, with the reason. Continuous
/// integration must have all programs, so there an omission is a failure.
pub fn skip(test: &str, reason: &str) {
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
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; length.next_multiple_of(8)];
    for word in bytes.as_chunks_mut().0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *word = state.to_le_bytes();
    }
    bytes.truncate(length);
    bytes
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("room in memory");
        text
    })
}
