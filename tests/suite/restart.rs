//! Sudden ends of the sidecar, of nginx, and of clients. All promises are kept.

use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::{Builder, Ledger, Mongo, Site, finish, noise, object_id, signal, wait_until};
use mongodb::bson::doc;
use rustix::process::Signal;

/// A site that evicts bodies at once.
fn site(mongo: &Mongo) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .start(mongo)
}

/// Lengths of every kind, mostly small: 0 to 3 MB.
fn length(seed: u64) -> usize {
    let bytes = noise(seed, 3);
    match bytes[0] % 8 {
        0 => 0,
        1..=4 => usize::from(bytes[1]) * 100,
        5 | 6 => usize::from(bytes[1]) * 2000,
        _ => usize::from(bytes[1]) * 12_000,
    }
}

/// Uploads by several clients at once while `meanwhile` runs.
fn under_load(site: &mut Site, ledger: &Ledger, meanwhile: impl FnOnce(&mut Site)) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..4_u64 {
            let (client, is_over) = (site.client(), &is_over);
            scope.spawn(move || {
                for seed in number * 1_000_000.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    // Any answer but 201 is no promise: a client would try again.
                    let tried = ledger.try_upload(&client, seed, length(seed));
                    if let Err(Some(refusal)) = tried {
                        assert_eq!(refusal.status, 503, "{refusal:?}");
                    }
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(site)));
        is_over.store(true, Ordering::Relaxed);
        done.unwrap();
    });
}

#[test]
fn what_was_committed_before_a_stop_is_not_committed_again() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    for seed in 0..20 {
        site.client().upload(&noise(seed, 100));
    }
    site.wait_until_committed();
    assert_eq!(site.stop_sidecar().code(), Some(0));
    mongo.hide_from_sidecars();
    site.start_sidecar();
    assert_eq!(site.entries("incoming"), 0);
}

/// Waits until this many more uploads were promised.
fn wait_for_promises(ledger: &Ledger, more: usize) {
    let wanted = ledger.len() + more;
    wait_until("uploads are promised", || ledger.len() >= wanted);
}

#[test]
fn a_sidecar_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let ledger = Ledger::default();
    under_load(&mut site, &ledger, |site| {
        for round in 0..18 {
            wait_for_promises(&ledger, 1 + round % 7);
            site.kill_sidecar();
            site.start_sidecar();
        }
        wait_for_promises(&ledger, 4);
        site.kill_sidecar();
    });
    site.start_sidecar();
    let client = site.client();
    ledger.assert_readable(&client);
    site.wait_until_empty();
    ledger.assert_readable(&client);
    // An upload without an answer may still have been taken.
    assert!(mongo.assert_holds(&ledger) >= ledger.len());
}

#[test]
fn a_sidecar_killed_right_after_its_answer_has_the_file() {
    let mut mongo = Mongo::start();
    mongo.stop();
    let mut site = site(&mongo);
    let client = site.client();
    let ledger = Ledger::default();
    for (seed, length) in (0..).zip([0, 1, 300_000, 2_000_000]) {
        ledger.upload(&client, seed, length);
        site.kill_sidecar();
        site.start_sidecar();
    }
    ledger.assert_readable(&client);
    mongo.restart();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn leftovers_of_a_cut_adoption_are_cleared_away_at_the_start() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    site.stop_sidecar();
    let journal = site.data_dir().join("journal");
    std::fs::write(journal.join("body/0123456789abcdef01234567"), b"half").unwrap();
    std::fs::write(journal.join("body/0123456789abcdef01234568"), b"").unwrap();
    site.start_sidecar();
    site.wait_until_empty();
    let missing = site.client().get("/files/0123456789abcdef01234567");
    assert_eq!(missing.status, 404);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
}

#[test]
fn a_second_sidecar_on_the_same_journal_refuses_to_start_and_disturbs_nobody() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let mut second = site.command();
    second
        .env("GRIDSPOOL_SOCKET", site.run_dir().join("second.sock"))
        .env(
            "GRIDSPOOL_ADMIN_SOCKET",
            site.run_dir().join("second-admin"),
        );
    let ended = finish(&mut second);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    let expected = "another sidecar works on this journal";
    assert!(said.contains(expected), "{said}");
    assert!(!site.run_dir().join("second.sock").exists());
    site.client().upload(b"all is well");
}

#[test]
fn a_sidecar_whose_socket_is_taken_refuses_to_start_and_disturbs_nobody() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    for (node, taken) in [("2", "GRIDSPOOL_SOCKET"), ("3", "GRIDSPOOL_ADMIN_SOCKET")] {
        let other = |what: &str| site.run_dir().join(format!("{taken}-{what}"));
        let mut second = site.command();
        second.env("GRIDSPOOL_DATA_DIR", other("data"));
        assert!(finish(second.arg("init")).status.success());
        let mut second = site.command();
        // A number belongs to one journal.
        second.env("GRIDSPOOL_DATA_DIR", other("data"));
        second.env("GRIDSPOOL_NODE", node);
        for socket in ["GRIDSPOOL_SOCKET", "GRIDSPOOL_ADMIN_SOCKET"] {
            if socket != taken {
                second.env(socket, other("sock"));
            }
        }
        let ended = finish(&mut second);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("another process answers there"), "{said}");
        site.client().upload(b"all is well");
        site.status();
    }
}

#[test]
fn without_a_sidecar_nginx_says_come_again_and_keeps_nothing() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    site.kill_sidecar();
    let refusal = site.client().post("/files", &[], &noise(1, 400_000));
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.header("Content-Type"), "application/problem+json");
    assert_eq!(refusal.json()["status"], 503);
    assert!(!refusal.header("Retry-After").is_empty());
    site.start_sidecar();
    site.wait_until_empty();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
}

#[test]
fn a_client_that_hangs_up_in_mid_body_leaves_nothing() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let half = site.half_upload(&noise(1, 3_000_000));
    drop(half);
    site.wait_until_empty();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
    assert_eq!(site.status()["commit"]["committed_entries"], 0);
}

#[test]
fn an_upload_goes_on_through_a_reload_of_nginx() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let content = noise(1, 3_000_000);
    let half = site.half_upload(&content);
    let before = site.nginx_workers();
    signal(site.nginx_id(), Signal::HUP);
    wait_until("new workers are there", || {
        site.nginx_workers().iter().any(|id| !before.contains(id))
    });
    let answer = half.finish().unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    site.wait_until_empty();
    let files = mongo.find("fs.files", doc! {});
    assert_eq!(files.len(), 1);
    assert!(mongo.whole(&files[0]) == content);
}

#[test]
fn a_restart_of_nginx_under_load_loses_nothing_and_leaves_an_empty_spool() {
    let mongo = Mongo::start();
    // When nginx has to stop at once, it leaves the bodies that it was receiving.
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .set("spool_orphan_seconds", 2)
        .start(&mongo);
    let ledger = Ledger::default();
    let half = site.half_upload(&noise(1, 3_000_000));
    under_load(&mut site, &ledger, |site| {
        for _ in 0..4 {
            wait_for_promises(&ledger, 5);
            site.stop_nginx();
            site.start_nginx();
        }
        wait_for_promises(&ledger, 5);
    });
    assert_eq!(half.finish(), None);
    site.wait_until_empty();
    assert!(mongo.assert_holds(&ledger) >= ledger.len());
    ledger.assert_readable(&site.client());
}

#[test]
fn what_a_killed_nginx_worker_leaves_in_the_spool_is_removed_when_it_is_old() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .set("spool_orphan_seconds", 1)
        .start(&mongo);
    let half = site.half_upload(&noise(1, 3_000_000));
    let killed = site.nginx_workers();
    for &worker in &killed {
        signal(worker, Signal::KILL);
    }
    assert_eq!(half.finish(), None);
    wait_until("nginx has new workers", || {
        let workers = site.nginx_workers();
        !workers.is_empty() && workers.iter().all(|id| !killed.contains(id))
    });
    wait_until("the orphan is gone", || site.names("spool").is_empty());
    // The log line comes after the removal.
    wait_until("the log tells of it", || {
        site.log().contains("spool files were left behind")
    });
    let file = site.client().upload(b"all is well");
    site.wait_until_empty();
    let filter = doc! { "_id": object_id(&file.id) };
    assert_eq!(mongo.count(&mongo.files(), filter), 1);
}

#[test]
fn a_file_of_300_mb_goes_in_and_out_within_48_mib_of_memory() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let scratch = tempfile::tempdir().unwrap();
    let (sent, received) = (scratch.path().join("sent"), scratch.path().join("received"));
    let mut file = std::fs::File::create(&sent).unwrap();
    for seed in 0..300 {
        file.write_all(&noise(seed, 1_000_000)).unwrap();
    }
    let curl = |arguments: &[&std::ffi::OsStr]| {
        let mut curl = Command::new("curl");
        let ended = finish(curl.args(["-sSf"]).args(arguments));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{said}");
        String::from_utf8(ended.stdout).unwrap()
    };
    let to = format!("{}/files/", site.url());
    let answer = curl(&["-T".as_ref(), sent.as_ref(), to.as_ref()]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let from = format!("{}{}", site.url(), answer["url"].as_str().unwrap());
    let assert_comes_back = || {
        curl(&["-o".as_ref(), received.as_ref(), from.as_ref()]);
        let mut compare = Command::new("cmp");
        assert!(finish(compare.args([&sent, &received])).status.success());
    };
    assert_comes_back();
    site.wait_until_empty();
    assert_comes_back();
    let id = object_id(answer["id"].as_str().unwrap());
    let chunks = mongo.count(&mongo.chunks(), doc! { "files_id": id });
    assert_eq!(chunks, 300_000_000_u64.div_ceil(255 * 1024));
    let peak = site.sidecar_peak_kib();
    assert!(peak < 48 * 1024, "{peak} KiB");
}
