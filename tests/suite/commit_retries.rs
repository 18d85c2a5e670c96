//! Blame for failed commits: a faulty file delays only itself; an outage delays all files, and
//! its end is noticed at once.

use kit::{Builder, Client, Ledger, Mongo, Site, Uploaded, wait_until};
use mongodb::bson::doc;

fn builder() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 1500)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 500)
        .set("commit_attempts", 3)
}

/// Uploads a file with metadata that a text index does not accept (error 17262), and other files
/// before and after it.
fn upload_klingon(client: &Client, others: &Ledger) -> Uploaded {
    others.upload(client, 1, 300_000);
    others.upload(client, 2, 10);
    let klingon = [("Upload-Metadata", "language a2xpbmdvbg==")];
    let file = Uploaded::read(&client.post("/files", &klingon, b"nuqneH"));
    others.upload(client, 3, 10);
    others.upload(client, 4, 3_000_000);
    file
}

/// Asserts that nothing took the failure for an outage.
fn assert_was_no_outage(site: &Site) {
    let log = site.log();
    assert!(!log.contains("the store is not available"), "{log}");
    assert_eq!(site.client().get("/readyz").status, 200);
    assert_eq!(site.status()["mongodb"]["state"], "up");
}

#[test]
fn a_fault_that_nobody_has_listed_is_the_fault_of_its_file_and_so_is_a_time_out_while_mongodb_answers()
 {
    let mongo = Mongo::start();
    let words = doc! { "key": { "$**": "text" }, "name": "words" };
    mongo.run(doc! { "createIndexes": "fs.files", "indexes": [words] });
    let site = builder().start(&mongo);
    let client = site.client();
    wait_until("MongoDB is seen", || client.get("/readyz").status == 200);
    let others = Ledger::default();
    let file = upload_klingon(&client, &others);
    wait_until("it is held", || site.entries("hold") == 1);
    site.wait_until_committed();
    let (_, held) = site.ask_admin("GET", &format!("/waiting/{}", file.id));
    assert!(held.contains("17262"), "{held}");
    assert!(client.get(&file.path).body == b"nuqneH");
    assert_was_no_outage(&site);
    mongo.run(doc! { "dropIndexes": "fs.files", "index": "words" });
    assert_eq!(site.ask_admin("POST", "/hold/retry").0, 200);
    site.wait_until_empty();

    let before = mongo.heal();
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 6000 },
    );
    let slow = client.upload(b"slow");
    wait_until("it is put off", || site.entries("deferred") == 1);
    assert_was_no_outage(&site);
    assert!(mongo.heal() > before);
    site.wait_until_empty();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 6);
    assert!(client.get(&slow.path).body == b"slow");
}

#[test]
fn deletes_that_wait_for_the_end_of_an_outage_hold_up_no_upload_after_it() {
    let mongo = Mongo::start();
    let site = builder().start(&mongo);
    let client = site.client();
    wait_until("MongoDB is seen", || client.get("/readyz").status == 200);
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "errorCode": 10107 },
    );
    let gone: Vec<_> = (0..150).map(|_| client.upload(b"to be deleted")).collect();
    // From here on the sidecar makes its longest pauses.
    wait_until("an outage is seen", || {
        site.status()["commit"]["failures"].as_u64() >= Some(6)
    });
    for file in &gone {
        assert_eq!(client.delete(&file.path).status, 204);
    }
    mongo.heal();
    let ledger = Ledger::default();
    ledger.upload(&client, 1, 300_000);
    wait_until("the upload is committed", || site.entries("incoming") == 0);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
    ledger.assert_readable(&client);
}
