//! Nodes that are restarted, upgraded and taken out of service, while clients go on.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kit::{Builder, Mongo, Process, Site, finish, noise, wait_until};

const DRAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/drain");

fn drain(site: &Site) -> Command {
    let mut command = Command::new(DRAIN);
    command.arg("--socket").arg(site.admin_socket());
    command
}

#[test]
fn a_restart_of_the_sidecar_under_load_fails_no_request() {
    let mut site = Builder::default().start_without_mongodb();
    site.stop_sidecar();
    site.keep_socket_open();
    site.start_sidecar();
    let kept = site.client().upload(&noise(0, 200_000));
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = site.client();
    std::thread::scope(|scope| {
        for seed in 1..=40 {
            let (client, kept, is_over, answered) = (&client, &kept, &is_over, &answered);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let file = client.upload(&noise(seed, 3000));
                    assert_eq!(client.get(&file.path).body.len(), 3000);
                    assert_eq!(client.head(&kept.path).status, 200);
                    assert_eq!(client.delete(&file.path).status, 204);
                    answered.fetch_add(4, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..4 {
            let before = answered.load(Ordering::SeqCst);
            wait_until("requests are answered", || {
                answered.load(Ordering::SeqCst) > before + 400
            });
            assert!(site.stop_sidecar().success());
            site.start_sidecar();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(site.log().contains("inherited"));
}

#[test]
fn a_node_that_is_drained_takes_no_new_uploads_and_says_when_it_may_go() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = Site::start(&mongo);
    let client = site.client();
    let file = client.upload(b"content");
    let room =
        |length: &str| client.get_with("/_gridspool/room", &[("X-Gridspool-Body-Length", length)]);
    let yes = room("1000000");
    assert_eq!((yes.status, yes.header("x-gridspool-node")), (204, "1"));
    room("99999999999999").assert_problem(404, "no-room");
    assert_eq!(client.delete(&client.upload(b"deleted").path).status, 204);
    let half = site.half_upload(&noise(1, 200_000));
    let log = site.run_dir().join("drain.log");
    let said = || std::fs::read_to_string(&log).unwrap();
    let talk = std::fs::File::create(&log).unwrap();
    let mut draining = Process::spawn(drain(&site).stderr(talk));
    for waited_for in [
        "MongoDB, which is down: the store is not available: ",
        "1 bodies on their way",
        "1 files to be committed",
        "1 deleted files to be cleared away",
    ] {
        wait_until("the script says what it waits for", || {
            said().contains(waited_for)
        });
    }
    assert_eq!(client.get("/healthz").status, 503);
    let refused = client.post("/files", &[], b"refused");
    refused.assert_problem(503, "draining");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    assert_eq!(client.get("/readyz").status, 503);
    client
        .get("/_gridspool/room")
        .assert_problem(404, "no-room");
    assert!(client.get(&file.path).body == b"content");
    assert!(half.finish().unwrap().starts_with("HTTP/1.1 201"));
    assert_eq!(site.entries("incoming") + site.entries("deferred"), 2);
    assert!(draining.is_running());
    mongo.heal();
    wait_until("the script has ended", || !draining.is_running());
    assert!(said().contains("may be switched off"), "{}", said());
    assert_eq!(site.entries("incoming") + site.entries("deferred"), 0);
    let undone = finish(drain(&site).arg("--undo"));
    assert!(undone.status.success());
    assert_eq!(client.get("/healthz").status, 200);
    client.upload(b"taken again");
}

#[test]
fn an_upgrade_of_nginx_loses_no_upload_of_the_old_one_or_the_new() {
    let mut site = Builder::default().nginx_daemon().start_without_mongodb();
    let half = site.half_upload(&noise(0, 300_000));
    let successor = site.start_nginx_successor();
    // Both serve, and the new one begins its counter of spool files anew.
    let mut files: Vec<_> = (1..20)
        .map(|seed| (seed, site.client().upload(&noise(seed, 300_000))))
        .collect();
    let answer = half.finish().expect("an answer of the old one");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    site.end_nginx_for(successor);
    files.push((20, site.client().upload(&noise(20, 300_000))));
    for (seed, file) in files {
        assert!(site.client().get(&file.path).body == noise(seed, 300_000));
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
}
