//! A start after a kill, in which each system call fails once: either the sidecar does not start, or it
//! has every promised file; and so has the next start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::{
    Builder, Ledger, Mongo, Process, Site, Uploaded, children, eventually, noise, signal,
    wait_until,
};
use rustix::process::Signal;

/// More calls of one name than any start makes.
const MANY: u32 = 120;

/// An entry of each kind, promised and never committed; a deleted one; and the remains of a cut.
fn killed(ledger: &Ledger) -> Site {
    let mut site = Builder::default().start_without_mongodb();
    let client = site.client();
    for (seed, length) in (1..).zip([0, 1000, 50_000, 300_000]) {
        ledger.upload(&client, seed, length);
    }
    let headers = [("Idempotency-Key", "\"once\"")];
    let answer = client.post("/files", &headers, &noise(10, 200_000));
    ledger.enter(Uploaded::read(&answer), 10, 200_000);
    let form = ledger.try_upload_form(&client, &[11, 12], 100_000);
    form.expect("a promise");
    let gone = ledger.upload(&client, 20, 70_000);
    assert_eq!(client.delete(&gone.path).status, 204);
    ledger.forget(&gone);
    site.kill_sidecar();
    site
}

/// Leaves a body without a record, like a cut.
fn leave_behind(site: &Site) {
    let journal = site.data_dir().join("journal");
    std::fs::write(journal.join("body/000000000000000000000000"), "lone").unwrap();
}

/// All names below a directory, including its own.
fn paths_below(directory: &Path, paths: &mut Vec<PathBuf>) {
    paths.push(directory.to_owned());
    for found in std::fs::read_dir(directory).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() {
            paths_below(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

/// Starts the sidecar while one call for the journal fails, compares the result with the ledger, and
/// ends it. Returns whether a call has failed.
fn start_once(site: &Site, ledger: &Ledger, call: &str, error: &str, when: u32) -> bool {
    leave_behind(site);
    let mut paths = Vec::new();
    paths_below(&site.data_dir().join("journal"), &mut paths);
    let output = site.run_dir().join("strace");
    let sidecar = site.command();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:error={error}:when={when}")]);
    strace.arg("-o").arg(&output);
    for path in &paths {
        strace.arg("-P").arg(path);
    }
    strace.arg(sidecar.get_program());
    let settings = sidecar.get_envs();
    strace.envs(settings.filter_map(|(name, value)| Some((name, value?))));
    let mut process = Process::spawn(strace.stdin(Stdio::null()).stderr(Stdio::null()));
    let is_started = eventually("a start, or the end of it", || {
        if !process.is_running() {
            return Some(false);
        }
        site.try_status().map(|_| true)
    });
    if is_started {
        ledger.assert_readable(&site.client());
        // If strace is asked to end, it lets the sidecar go on.
        let [id] = children(process.id()).unwrap()[..] else {
            panic!("strace runs one program");
        };
        signal(id, Signal::KILL);
        wait_until("strace has ended", || !process.is_running());
    }
    let seen = std::fs::read_to_string(&output).unwrap();
    let has_failed = seen.contains("(INJECTED)");
    assert!(is_started || has_failed, "it does not start: {seen}");
    has_failed
}

#[test]
fn each_call_of_a_start_fails_once_and_no_promise_is_lost() {
    let ledger = Ledger::default();
    let mut site = killed(&ledger);
    for (call, error) in [
        ("openat", "EMFILE"),
        ("getdents64", "EIO"),
        ("read", "EIO"),
        ("statx", "EIO"),
        ("unlink", "EIO"),
        ("flock", "ENOLCK"),
        ("pwritev", "EIO"),
        ("pwritev", "ENOSPC"),
        ("fsync", "EIO"),
        ("fdatasync", "EIO"),
    ] {
        for when in 1..MANY {
            let has_failed = start_once(&site, &ledger, call, error, when);
            assert!(has_failed || when > 1, "{call} is never called");
            assert!(when < MANY - 1, "{call}: none was left alone");
            if !has_failed {
                break;
            }
        }
        site.start_sidecar();
        ledger.assert_readable(&site.client());
        assert!(site.names("journal/corrupt").is_empty(), "{call} {error}");
        site.kill_sidecar();
    }
    let mongo = Mongo::start();
    site.reconfigure(|builder| builder.set("mongodb_uri", mongo.uri()));
    site.start_sidecar();
    site.wait_until_committed();
    mongo.assert_holds(&ledger);
}
