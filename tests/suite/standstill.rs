//! A sidecar that stands still, or whose disk does: balancers and the service manager are told.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::syscall_faults::Strace;
use kit::{Builder, Process, Site, skip, wait_until};
use rustix::process::Signal;

/// A pause of a system call that ends only with the test, in microseconds.
const FOR_EVER: &str = "delay_enter=600000000";

fn has_strace(what: &str) -> bool {
    let is_there = Command::new("strace").arg("-V").output().is_ok();
    if !is_there {
        skip(what, "strace is not installed");
    }
    is_there
}

/// A thread of the sidecar that serves nginx.
fn worker(site: &Site) -> String {
    let threads = format!("/proc/{}/task", site.sidecar_id());
    let mut threads = std::fs::read_dir(threads).unwrap().map(Result::unwrap);
    let worker = threads.find(|thread| {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap();
        name.starts_with("actix-server wo")
    });
    worker.unwrap().file_name().into_string().unwrap()
}

#[test]
fn a_thread_that_stands_still_turns_the_health_red_until_it_goes_on() {
    if !has_strace("a thread that stands still") {
        return;
    }
    let site = Builder::default().start_without_mongodb();
    let healthy = || site.ask_admin("GET", "/healthz?for=read").0 == 200;
    assert!(healthy());
    let worker = worker(&site);
    let inject = format!("inject=epoll_wait,epoll_pwait,epoll_pwait2:{FOR_EVER}");
    let mut strace = Command::new("strace");
    let mut strace = Process::spawn(strace.args(["-qq", "-e", &inject, "-p", &worker]));
    wait_until("the log names it", || {
        site.log().contains("a worker: stands still")
    });
    // Another thread answers.
    wait_until("balancers are told", || !healthy());
    strace.end_by(Signal::TERM);
    wait_until("it goes on", || site.log().contains("a worker: goes on"));
    wait_until("all is well", healthy);
}

#[test]
fn a_disk_that_stands_still_turns_the_health_red_for_uploads_and_reads_go_on() {
    if !has_strace("a disk that stands still") {
        return;
    }
    let site = Builder::default().start_without_mongodb();
    let client = site.client();
    let before = client.upload(b"before");
    let strace = Strace::attach(&site, "fdatasync", FOR_EVER);
    let uploaded = std::thread::scope(|scope| {
        let uploading = scope.spawn(|| client.upload(b"on its way"));
        wait_until("balancers are told", || {
            client.get("/healthz").status == 503
        });
        assert_eq!(client.get("/healthz?for=read").status, 200);
        assert_eq!(site.status()["journal"]["writable"], false);
        assert_eq!(client.get(&before.path).body, b"before");
        strace.detach();
        uploading.join().unwrap()
    });
    assert_eq!(client.get(&uploaded.path).body, b"on its way");
    wait_until("balancers are told", || {
        client.get("/healthz").status == 200
    });
}

#[test]
fn a_service_manager_is_told_when_it_serves_that_it_goes_on_and_that_it_stops() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(90)))
        .unwrap();
    let word = || {
        let mut word = [0; 100];
        let bytes = manager.recv(&mut word).unwrap();
        String::from_utf8(word[..bytes].to_vec()).unwrap()
    };
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let mut site = Builder::default()
        .wrap(&["env", &socket])
        .start_without_mongodb();
    let first = [word(), word(), word()].map(|word| word.trim().to_owned());
    assert!(first.contains(&"READY=1".to_owned()), "{first:?}");
    assert_eq!(word().trim(), "WATCHDOG=1");
    assert_eq!(word().trim(), "WATCHDOG=1");
    assert!(site.stop_sidecar().success());
    while word().trim() != "STOPPING=1" {}
}
