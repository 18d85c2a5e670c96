//! A disk with a failing fsync: no promise is made from then on, and no earlier promise is lost.

use kit::{Builder, Ledger, Metrics, Mongo, Site, noise, wait_until};

use crate::syscall_faults::Strace;

/// One call syncs bodies and directories, the other the log.
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];

/// Restarts the sidecar; strace lets one of these calls fail in the given way from then on. A start
/// itself needs both calls: without them it is refused.
fn restart_with_fault(site: &mut Site, sync: &str, fault: &str) -> Strace {
    site.stop_sidecar();
    site.start_sidecar();
    Strace::attach(site, sync, &format!("error=EIO:{fault}"))
}

/// Restarts it on a sound disk.
fn restart_sound(site: &mut Site, strace: Strace) {
    assert!(strace.detach(), "an fsync failed");
    site.stop_sidecar();
    site.start_sidecar();
}

/// Asserts that the first upload without a promise, and all after it, are refused as problems.
fn assert_poisoned(site: &Site, ledger: &Ledger) {
    let client = site.client();
    let refusal = (0..100).find_map(|seed| {
        let refused = ledger.try_upload(&client, 100 + seed, 300_000).err()?;
        Some(refused.expect("an answer"))
    });
    let refusal = refusal.expect("an fsync failed");
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.header("Content-Type"), "application/problem+json");
    let problem = "urn:gridspool:problem:journal-not-writable";
    assert_eq!(refusal.json()["type"], problem);
    for seed in 0..10 {
        let again = ledger.try_upload(&client, 300 + seed, 1).unwrap_err();
        assert_eq!(again.unwrap().status, 503);
    }
    assert_eq!(client.get("/healthz").status, 503);
    assert_eq!(client.get("/readyz").status, 503);
    let status = site.status();
    assert_eq!(status["journal"]["writable"], false);
    let uploads = &status["uploads"];
    assert_eq!(uploads["refused_for"], serde_json::json!(["poison"]));
    assert!(
        uploads["refused"]["poison"].as_u64() >= Some(10),
        "{uploads}"
    );
    assert_eq!(Metrics::of(site).value("journal_writable"), 0);
    assert_eq!(Metrics::of(site).value("journal_poisoned"), 1);
    let poison = status["journal"]["poison"].as_str().unwrap();
    assert!(poison.contains("fsync"), "{poison}");
    ledger.assert_readable(&client);
}

#[test]
fn a_failed_fsync_ends_all_promises_until_a_restart_while_downloads_go_on() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    ledger.upload(&site.client(), 1, 700_000);
    site.wait_until_empty();
    for (seed, sync) in (2..).zip(SYNCS) {
        mongo.hide_from_sidecars();
        ledger.upload(&site.client(), seed, 700_000);
        let strace = restart_with_fault(&mut site, sync, "when=1+");
        // The pending file is read from the journal, the committed one from MongoDB.
        mongo.heal();
        assert_poisoned(&site, &ledger);

        restart_sound(&mut site, strace);
        assert_eq!(site.client().get("/healthz").status, 200);
        ledger.upload(&site.client(), 10 + seed, 700_000);
        site.wait_until_empty();
        mongo.assert_holds_just(&ledger);
    }
}

#[test]
fn one_failed_fsync_in_many_poisons_even_if_the_next_ones_go_well() {
    let mut mongo = Mongo::start();
    mongo.stop();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    // strace counts the calls of each thread separately. An upload syncs its body and the bodies'
    // directory, then the log.
    for (sync, fault) in SYNCS.into_iter().zip(["when=7", "when=4"]) {
        let strace = restart_with_fault(&mut site, sync, fault);
        assert_poisoned(&site, &ledger);
        restart_sound(&mut site, strace);
        ledger.assert_readable(&site.client());
    }
    mongo.restart();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_record_that_is_damaged_on_disk_is_set_aside_and_the_others_go_on() {
    let mut mongo = Mongo::start();
    mongo.stop();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let ledger = Ledger::default();
    ledger.upload(&client, 1, 300_000);
    let damaged = client.upload(&noise(2, 300_000));
    site.stop_sidecar();
    site.damage_record(&damaged.id);
    site.start_sidecar();
    assert_eq!(site.status()["journal"]["corrupt_files"], 1);
    assert_eq!(site.names("journal/corrupt").len(), 1);
    let journal = site.data_dir().join("journal");
    let kept = journal.join(format!("corrupt/body-{}", damaged.id));
    assert!(std::fs::read(kept).unwrap() == noise(2, 300_000));
    mongo.restart();
    site.wait_until_committed();
    wait_until("the body has left", || {
        site.names("journal/body").is_empty()
    });
    mongo.assert_holds_just(&ledger);
}
