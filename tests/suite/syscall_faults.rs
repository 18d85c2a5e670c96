//! Faults between any two system calls of an upload and its commit: the sidecar is killed there, or the
//! call fails. All promises are kept, and nothing is torn.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kit::{Builder, Ledger, Mongo, Process, Site, is_alive, wait_until};
use mongodb::bson::doc;
use rustix::process::Signal;

/// Calls to the disk, without write(2), by which threads also wake each other.
const CALLS: &str = "openat,openat2,linkat,rename,unlink,pwritev,fsync,fdatasync,ftruncate,\
                     utimensat,fadvise64,lseek";

/// More calls than any thread makes for one upload.
const MANY: u32 = 80;

/// The approximate number of settled entries that kills may leave. Each start makes some calls for each
/// of them, and would be killed at these calls.
const SETTLED: u32 = 8;

/// strace, attached to the sidecar. Dropping it detaches it.
pub(crate) struct Strace {
    process: Process,
    output: PathBuf,
    /// Its process id.
    sidecar: u32,
}

/// The time for which strace may let go.
const PATIENCE: Duration = Duration::from_secs(10);

impl Strace {
    /// Tampers with calls as strace is told.
    pub(crate) fn attach(site: &Site, calls: &str, fault: &str) -> Self {
        let output = site.run_dir().join("strace");
        let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{fault}"));
        let id = site.sidecar_id();
        let process = Process::spawn(
            Command::new("strace")
                .args(["-f", "-qq", "-e", &trace, "-e", &inject, "-o"])
                .arg(&output)
                .args(["-p", &id.to_string()])
                .stderr(Stdio::null()),
        );
        wait_until("strace has all threads", || is_traced(id));
        Self {
            process,
            output,
            sidecar: id,
        }
    }

    /// Ends strace after it has killed the sidecar. A strace that should detach from a dead process may
    /// wait for ever.
    fn end(mut self) {
        self.process.end_by(Signal::KILL);
    }

    /// Detaches strace; returns whether it has tampered with any call. It may kill the sidecar at this
    /// very moment, and then has nothing to detach from.
    pub(crate) fn detach(mut self) -> bool {
        self.process.signal(Signal::TERM);
        // It may wait for ever for a process that it has just killed, and that process for it. Its own end lets all
        // threads go, too.
        let asked = Instant::now();
        wait_until("strace lets go", || {
            !self.process.is_running() || !is_alive(self.sidecar) || asked.elapsed() > PATIENCE
        });
        self.process.end_by(Signal::KILL);
        let output = std::fs::read_to_string(&self.output).unwrap();
        output.contains("(INJECTED)")
    }
}

fn is_traced(id: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status"));
        // A process that has ended needs no tracer.
        status.map_or(true, |status| {
            !status.contains("TracerPid:\t0\n") || status.contains("State:\tZ")
        })
    })
}

/// Every kind of upload.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// An upload without a spool file.
    Small,
    Logged,
    File,
    Form,
}

impl Kind {
    /// Uploads. Returns whether there was a promise, which then is in the ledger.
    fn upload(self, site: &Site, ledger: &Ledger, seed: u64) -> bool {
        let client = site.client();
        match self {
            Self::Small => ledger.try_upload(&client, seed, 1000).is_ok(),
            Self::Logged => ledger.try_upload(&client, seed, 50_000).is_ok(),
            Self::File => ledger.try_upload(&client, seed, 300_000).is_ok(),
            Self::Form => {
                let seeds = [seed, seed + 1000];
                ledger.try_upload_form(&client, &seeds, 150_000).is_ok()
            }
        }
    }
}

fn site(mongo: &Mongo) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("retry_first_ms", 20)
        .set("retry_max_ms", 100)
        .start(mongo)
}

fn assert_all_is_kept(mongo: &Mongo, site: &Site, ledger: &Ledger) {
    ledger.assert_readable(&site.client());
    site.wait_until_empty();
    mongo.assert_holds(ledger);
    ledger.assert_readable(&site.client());
}

/// Kills the sidecar before the first call that any thread makes for an upload, then before the second,
/// and so on until two rounds passed without a kill: strace counts the calls of each thread separately,
/// and it is chance which thread makes a call. Then the same for the commit.
fn kill_in_every_gap(kind: Kind) {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let ledger = Ledger::default();
    for is_commit in [false, true] {
        let mut kills = 0_u32;
        let mut left_alone = 0;
        for n in 1..MANY {
            let fault = format!("signal=KILL:when={n}");
            let committed = mongo.count(&mongo.files(), doc! {});
            let is_committed = || mongo.count(&mongo.files(), doc! {}) > committed;
            mongo.hide_from_sidecars();
            let strace;
            if is_commit {
                assert!(kind.upload(&site, &ledger, n.into()));
                strace = Strace::attach(&site, CALLS, &fault);
                mongo.heal();
                // The commit goes on, and the entry is settled then.
                wait_until("a kill, or the commit", || {
                    !is_alive(site.sidecar_id())
                        || is_committed() && site.names("journal/body").is_empty()
                });
            } else {
                strace = Strace::attach(&site, CALLS, &fault);
                let is_promised = kind.upload(&site, &ledger, u64::from(MANY + n));
                wait_until("a kill, or the promise", || {
                    is_promised || !is_alive(site.sidecar_id())
                });
                mongo.heal();
            }
            if is_alive(site.sidecar_id()) {
                strace.detach();
            } else {
                strace.end();
            }
            // A kill may come to its end with that of strace alone.
            wait_until("the sidecar is dead, or answers", || {
                !is_alive(site.sidecar_id()) || site.client().get("/healthz").status == 200
            });
            if is_alive(site.sidecar_id()) {
                left_alone += 1;
            } else {
                kills += 1;
                site.kill_sidecar();
                site.start_sidecar();
            }
            // Files that have left the journal are read from MongoDB.
            wait_until("MongoDB is seen", || {
                site.client().get("/readyz").status == 200
            });
            ledger.assert_readable(&site.client());
            if kills.is_multiple_of(SETTLED) {
                site.wait_until_empty();
            } else {
                site.wait_until_committed();
            }
            if left_alone == 2 {
                break;
            }
        }
        assert!(kills > 0, "{kind:?}, {is_commit}: never killed");
        assert_eq!(left_alone, 2, "{kind:?}, {is_commit}");
    }
    assert_all_is_kept(&mongo, &site, &ledger);
}

#[test]
fn a_kill_between_any_two_calls_of_a_small_upload_loses_no_promise() {
    kill_in_every_gap(Kind::Small);
}

#[test]
fn a_kill_between_any_two_calls_of_a_logged_upload_loses_no_promise() {
    kill_in_every_gap(Kind::Logged);
}

#[test]
fn a_kill_between_any_two_calls_of_an_upload_with_files_loses_no_promise() {
    kill_in_every_gap(Kind::File);
}

#[test]
fn a_kill_between_any_two_calls_of_a_form_loses_no_promise() {
    kill_in_every_gap(Kind::Form);
}

/// Lets each call of this name fail once, in this way, during an upload and its commit.
fn fail_each(kind: Kind, faults: &[(&str, &str)]) {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let ledger = Ledger::default();
    let mut seed = 0;
    for (call, error) in faults {
        for n in 1..MANY {
            seed += 1;
            let strace = Strace::attach(&site, call, &format!("error={error}:when={n}"));
            let before = mongo.count(&mongo.files(), doc! {});
            let is_promised = kind.upload(&site, &ledger, seed);
            let is_over = || mongo.count(&mongo.files(), doc! {}) > before;
            // Bodies are removed after the commit, but not on a disk that is not trusted any more.
            let is_cleared = || *call != "unlink" || site.names("journal/body").is_empty();
            wait_until("a refusal, or the commit", || {
                !is_promised || is_over() && is_cleared()
            });
            let has_failed = strace.detach();
            assert!(is_alive(site.sidecar_id()), "{call} {n} {error}");
            ledger.assert_readable(&site.client());
            // It may be poisoned.
            site.stop_sidecar();
            site.start_sidecar();
            site.wait_until_committed();
            if !has_failed {
                assert!(n > 1, "{call} is never called");
                assert!(is_promised);
                break;
            }
        }
    }
    assert!(site.names("journal/corrupt").is_empty());
    assert_all_is_kept(&mongo, &site, &ledger);
}

#[test]
fn each_call_of_an_upload_with_files_fails_once_and_no_promise_is_lost() {
    fail_each(
        Kind::File,
        &[
            ("linkat", "ENOSPC"),
            ("linkat", "EMFILE"),
            ("fsync", "EIO"),
            ("fsync", "EINTR"),
            ("pwritev", "ENOSPC"),
            ("fdatasync", "EIO"),
        ],
    );
}

/// The calls that write a log.
const LOG_FAULTS: [(&str, &str); 3] = [
    ("pwritev", "ENOSPC"),
    ("pwritev", "EINTR"),
    ("fdatasync", "EIO"),
];

#[test]
fn each_call_of_a_small_upload_fails_once_and_no_promise_is_lost() {
    fail_each(Kind::Small, &LOG_FAULTS);
}

#[test]
fn each_call_of_a_form_fails_once_and_no_promise_is_lost() {
    fail_each(
        Kind::Form,
        &[
            ("linkat", "ENOSPC"),
            ("fsync", "EIO"),
            ("pwritev", "ENOSPC"),
            ("fdatasync", "EIO"),
            ("unlink", "EIO"),
        ],
    );
}

#[test]
fn each_call_of_a_logged_upload_fails_once_and_no_promise_is_lost() {
    fail_each(Kind::Logged, &LOG_FAULTS);
}
