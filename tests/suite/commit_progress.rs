//! Large files are committed to a MongoDB that ends each attempt: no chunk is sent twice, and the file
//! gets in.

use kit::{Builder, CHUNK, Ledger, Mongo, Site, wait_until};
use mongodb::bson::{Document, doc};

/// Chunks of the file; each is an insert of its own.
const CHUNKS: usize = 50;

fn builder() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 1500)
        // This is longer than a blocked insert stays blocked after its client has gone: a fault is only
        // set again when none is active.
        .set("retry_first_ms", 1000)
        .set("retry_max_ms", 1000)
        .set("commit_bytes", 1 << 20)
        .set("commit_attempts", 3)
}

fn is_pending(site: &Site) -> bool {
    site.entries("incoming") + site.entries("deferred") > 0
}

/// Lets this many inserts through and then none, again and again until nothing is pending. Returns the
/// number of rounds.
fn commit_piece_by_piece(
    mongo: &Mongo,
    inserts: i32,
    fault: &Document,
    site: &mut Site,
    mut meanwhile: impl FnMut(&mut Site),
) -> usize {
    let mut rounds = 0;
    while is_pending(site) {
        rounds += 1;
        let failures = |site: &Site| site.status()["commit"]["failures"].as_u64();
        let before = failures(site);
        mongo.fail_sidecars(doc! { "skip": inserts }, fault.clone());
        wait_until("an attempt fails, or nothing is pending", || {
            failures(site) > before || !is_pending(site)
        });
        meanwhile(site);
    }
    mongo.heal();
    rounds
}

/// Blocks every insert of chunks until its own time bound ends it, and asserts that no attempt leaves
/// an insert running: the inserts of later attempts would add to it.
fn assert_nothing_piles_up(mongo: &Mongo, site: &Site) {
    let hang = |mode: &str| {
        let data = doc! { "nss": "gridspool.fs.chunks", "shouldCheckForInterrupt": true };
        mongo.admin(
            doc! { "configureFailPoint": "hangDuringBatchInsert", "mode": mode, "data": data },
        );
    };
    let failures = || site.status()["commit"]["failures"].as_u64().unwrap();
    let before = failures();
    hang("alwaysOn");
    site.client().upload(&vec![1; 100_000]);
    let mut most = 0;
    wait_until("two attempts fail", || {
        most = most.max(mongo.running("insert", &["fs.chunks"]));
        failures() >= before + 2
    });
    wait_until("a third one is made", || {
        most = most.max(mongo.running("insert", &["fs.chunks"]));
        failures() >= before + 3 || mongo.running("insert", &["fs.chunks"]) > 0
    });
    hang("off");
    assert_eq!(most, 1);
}

/// Bytes that MongoDB has received since its start.
fn bytes_in(mongo: &Mongo) -> u64 {
    let status = mongo.admin(doc! { "serverStatus": 1 });
    let network = status.get_document("network").expect("the network");
    let bytes = network.get_i64("bytesIn").expect("a count");
    bytes.try_into().expect("a count")
}

#[test]
fn a_large_file_gets_in_piece_by_piece_and_no_piece_is_sent_twice() {
    let mongo = Mongo::start();
    let mut site = builder().start(&mongo);
    let ledger = Ledger::default();
    // The indexes exist before the faults begin.
    ledger.upload(&site.client(), 1, CHUNK);
    site.wait_until_empty();

    // Connections break. Halfway the sidecar is restarted with another chunk size.
    mongo.hide_from_sidecars();
    ledger.upload(&site.client(), 2, CHUNKS * CHUNK - 1);
    let cut = doc! { "failCommands": ["insert"], "closeConnection": true };
    let mut is_restarted = false;
    let before = bytes_in(&mongo);
    let rounds = commit_piece_by_piece(&mongo, 12, &cut, &mut site, |site| {
        if !std::mem::replace(&mut is_restarted, true) {
            site.kill_sidecar();
            site.reconfigure(|builder| builder.set("chunk_size_bytes", 100_000));
            site.start_sidecar();
        }
    });
    let sent = bytes_in(&mongo) - before;
    assert!((3..20).contains(&rounds), "{rounds}");
    let length = u64::try_from(CHUNKS * CHUNK).unwrap();
    assert!((length..2 * length).contains(&sent), "{sent}");
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);

    // Inserts take too long while pings are answered, more often than attempts may fail.
    site.stop_sidecar();
    site.reconfigure(|builder| builder.set("chunk_size_bytes", CHUNK));
    site.start_sidecar();
    mongo.hide_from_sidecars();
    ledger.upload(&site.client(), 3, CHUNKS * CHUNK);
    let slow = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 1550 };
    let rounds = commit_piece_by_piece(&mongo, 9, &slow, &mut site, |_| {});
    assert!(rounds > 3, "{rounds}");
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&site.client());
    assert_nothing_piles_up(&mongo, &site);
    assert_eq!(site.ask_admin("POST", "/hold/retry").0, 200);
    site.wait_until_empty();
}
