//! A constant load of uploads and reads that records every promise and fails on any wrong answer.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use crate::{Client, Ledger, wait_until};

/// The clients that upload, and the pause between two requests of a client: a load, and not a flood.
const USUAL: (usize, Duration) = (3, Duration::from_millis(20));

/// The same of a load whose files must not pile up.
const LIGHT: (usize, Duration) = (1, Duration::from_millis(100));

/// How long a client waits. A dead host does not close its connections, so a client (or the balancer)
/// would wait for minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lengths of bodies: inline in the journal's log, in a file of their own, and longer than a chunk.
const LENGTHS: [usize; 4] = [500, 40_000, 100_000, 600_000];

/// Clients in threads of their own.
#[derive(Debug)]
pub struct Load {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    ledger: Ledger,
    is_over: AtomicBool,
    seed: AtomicU64,
    read: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Uploads through `front`, and reads promised files through it and each of `nodes`.
    pub fn start(front: &Client, nodes: &[Client]) -> Self {
        Self::of(USUAL, front, nodes)
    }

    /// Does the same with fewer uploads, for a test that waits until they are all in MongoDB.
    pub fn light(front: &Client, nodes: &[Client]) -> Self {
        Self::of(LIGHT, front, nodes)
    }

    fn of((uploaders, pause): (usize, Duration), front: &Client, nodes: &[Client]) -> Self {
        let seen = Arc::new(Seen::default());
        let spawn = |client: &Client, work: fn(&Seen, &Client)| {
            let (seen, client) = (Arc::clone(&seen), client.hurried(PATIENCE));
            std::thread::spawn(move || {
                while !seen.is_over.load(Ordering::SeqCst) {
                    work(&seen, &client);
                    sleep(pause);
                }
            })
        };
        let uploading = (0..uploaders).map(|_| spawn(front, Seen::upload));
        let mut threads: Vec<_> = uploading.collect();
        let readers = nodes.iter().chain([front]);
        threads.extend(readers.map(|client| spawn(client, Seen::read)));
        Self { seen, threads }
    }

    /// Waits until this many more uploads are promised, and as many files are read.
    pub fn go_on(&self, count: usize) {
        let read = || self.seen.read.load(Ordering::SeqCst);
        let (promised, given) = (self.ledger().len(), read());
        wait_until("uploads and reads go on", || {
            let has_failed = self.threads.iter().any(JoinHandle::is_finished);
            assert!(!has_failed, "a client saw what must not be");
            self.ledger().len() >= promised + count && read() >= given + count
        });
    }

    /// Ends the load.
    pub fn stop(&mut self) {
        self.seen.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client saw what must not be");
        }
    }

    /// Returns the requests that had no answer, or one that tells to try again.
    pub fn failures(&self) -> Vec<String> {
        self.seen.failures.lock().expect("the failures").clone()
    }

    /// Returns everything that was promised.
    pub fn ledger(&self) -> &Ledger {
        &self.seen.ledger
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A failing test ends them too: otherwise the clients would go on during the next test.
        self.seen.is_over.store(true, Ordering::SeqCst);
    }
}

impl Seen {
    fn upload(&self, client: &Client) {
        let seed = self.seed.fetch_add(1, Ordering::SeqCst);
        let length = LENGTHS[usize::try_from(seed).expect("a number") % LENGTHS.len()];
        // An upload without an answer may be there or not; nothing is promised.
        if let Err(refused) = self.ledger.try_upload(client, seed, length) {
            let status = refused.as_ref().map(|refused| refused.status);
            assert!(status.is_none_or(|status| status >= 502), "{refused:?}");
            self.fail(format!("an upload: {refused:?}"));
        }
    }

    fn read(&self, client: &Client) {
        let number = self.read.load(Ordering::SeqCst);
        // This reads the last one often, which is pending, and a random one often.
        let newest = self.ledger.len().saturating_sub(1);
        let number = [newest, number.wrapping_mul(7919)][number % 2];
        let Some(promise) = self.ledger.any(number) else {
            return;
        };
        // `None` means that the node is gone, or went during the read.
        match client.try_get(&promise.path) {
            Some(answer) if answer.status == 200 => {
                assert!(answer.body == promise.content(), "other bytes: {promise:?}");
                self.read.fetch_add(1, Ordering::SeqCst);
            }
            answer => {
                let status = answer.as_ref().map(|answer| answer.status);
                assert!(
                    status.is_none_or(|status| status >= 502),
                    "{promise:?}: {answer:?}"
                );
                self.fail(format!("{promise:?}: {answer:?}"));
            }
        }
    }

    fn fail(&self, failure: String) {
        self.failures.lock().expect("the failures").push(failure);
    }
}
