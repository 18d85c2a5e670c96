//! A standalone mongod: its acknowledgements prove less than those of a replica set.

use kit::{Builder, Ledger, Mongo, Site, finish, wait_until};

/// Lengths of a small file, and of one with several chunks.
const LENGTHS: [usize; 2] = [1000, 700_000];

fn upload(site: &Site, ledger: &Ledger, seed: u64) {
    for length in LENGTHS {
        ledger.upload(&site.client(), seed, length);
    }
}

fn wait_until_refused(site: &Site) {
    wait_until("the standalone is refused", || {
        site.status()["mongodb"]["state"] == "refused"
    });
}

/// How many times the log states the reason.
fn mentions(site: &Site) -> usize {
    site.log().matches("is a standalone mongod").count()
}

fn builder() -> Builder {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 1500)
}

#[test]
fn a_standalone_gets_nothing_until_it_is_a_replica_set() {
    let mut mongo = Mongo::standalone();
    let site = builder().start_with_uri(&mongo.plain_uri());
    let ledger = Ledger::default();
    wait_until_refused(&site);
    upload(&site, &ledger, 1);
    let client = site.client();
    ledger.assert_readable(&client);
    let ready = client.get("/readyz");
    assert_eq!(
        (ready.status, &ready.json()["mongodb"]),
        (503, &"refused".into())
    );
    assert_eq!(client.get("/healthz").status, 200);
    let error = site.status()["mongodb"]["error"].to_string();
    assert!(error.contains("mongodb_standalone"), "{error}");
    let checked = finish(site.command().arg("check"));
    let told = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains("is a standalone mongod"), "{told}");
    // After several pings the reason is still logged once, and nothing was written, not even an index.
    // The nodes' registrations promise nothing.
    wait_until("it was looked at again", || mongo.hellos() > 20);
    assert_eq!(mentions(&site), 1);
    let mut written = mongo.collections();
    written.retain(|name| name != "fs.nodes");
    assert!(written.is_empty(), "{written:?}");
    assert_eq!(site.entries("incoming"), 2);

    mongo.restart_as_member();
    mongo.initiate();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
    assert_eq!(client.get("/readyz").status, 200);
}

#[test]
fn a_standalone_gets_files_where_the_setting_allows_it() {
    let mongo = Mongo::standalone();
    let site = builder()
        .set("mongodb_standalone", true)
        .start_with_uri(&mongo.plain_uri());
    let ledger = Ledger::default();
    upload(&site, &ledger, 1);
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_member_that_comes_back_as_a_standalone_gets_nothing_and_can_return() {
    for uri in [Mongo::uri, Mongo::plain_uri, Mongo::direct_uri] {
        let mut mongo = Mongo::start();
        let site = builder().start_with_uri(&uri(&mongo));
        let ledger = Ledger::default();
        upload(&site, &ledger, 1);
        site.wait_until_empty();
        mongo.restart_as_standalone();
        // This happens before the sidecar notices.
        upload(&site, &ledger, 2);
        wait_until("it is not taken for a member", || {
            site.status()["mongodb"]["state"] != "up"
        });
        upload(&site, &ledger, 3);
        assert_eq!(site.entries("incoming"), 4);
        assert_eq!(mongo.count(&mongo.files(), mongodb::bson::doc! {}), 2);
        mongo.restart_as_member();
        site.wait_until_empty();
        mongo.assert_holds_just(&ledger);
    }
}

#[test]
fn nothing_is_deleted_from_a_standalone() {
    let mut mongo = Mongo::start();
    let site = builder().start_with_uri(&mongo.plain_uri());
    let ledger = Ledger::default();
    let client = site.client();
    let promise = ledger.upload(&client, 1, 1000);
    site.wait_until_empty();
    mongo.restart_as_standalone();
    wait_until_refused(&site);
    assert_eq!(client.delete(&promise.path).status, 503);
    mongo.restart_as_member();
    site.wait_until_committed();
    wait_until("the delete is carried out", || {
        client.delete(&promise.path).status == 204
    });
    assert_eq!(mongo.count(&mongo.files(), mongodb::bson::doc! {}), 0);
}
