//! Messages on their way into lists and out of them, while MongoDB is slow or refuses.

use kit::{Builder, Metrics, Mongo, object_id, wait_until};
use mongodb::bson::doc;

use super::{ids, read, send};

const INBOX: &str = "gridspool.fs.inbox";

#[test]
fn a_message_is_not_held_because_a_majority_is_slow() {
    let mongo = Mongo::start();
    let site = Builder::default().set("commit_attempts", 1).start(&mongo);
    let client = site.client();
    let slow = doc! {
        "failCommands": ["insert", "update"], "namespace": INBOX,
        "blockConnection": true, "blockTimeMS": 1000,
    };
    mongo.fail_sidecars("alwaysOn", slow);
    let id = send(&client, &["bob"], "words");
    // The first of them has brought in its chunk.
    wait_until("it was tried again and again", || {
        assert_eq!(site.entries("hold"), 0, "{}", site.log());
        Metrics::of(&site).value("commit_failures_total") >= 3
    });
    mongo.heal();
    site.wait_until_committed();
    assert_eq!(ids(&read(&client, "bob", 1).0), [id]);
}

#[test]
fn a_deleted_message_has_its_package_until_no_list_names_it() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .set("delete_watch_seconds", 0)
        .start(&mongo);
    let client = site.client();
    // It is entered, and neither confirmed nor taken out again.
    let refused = doc! {
        "failCommands": ["update", "delete"], "namespace": INBOX, "errorCode": 13,
    };
    mongo.fail_sidecars("alwaysOn", refused);
    let id = send(&client, &["bob", "eve"], "words");
    wait_until("it is in both lists", || {
        mongo.find("fs.inbox", doc! {}).len() == 2
    });
    assert_eq!(client.delete(&format!("/messages/{id}")).status, 204);
    let failures = || Metrics::of(&site).value("commit_failures_total");
    let before = failures();
    wait_until("its delete was tried", || failures() >= before + 3);
    let package = mongo.count(&mongo.files(), doc! { "_id": object_id(&id) });
    assert_eq!((mongo.find("fs.inbox", doc! {}).len(), package), (2, 1));
    mongo.heal();
    site.wait_until_empty();
    let parts = ["fs.inbox", "fs.files", "fs.chunks"];
    assert_eq!(parts.map(|part| mongo.find(part, doc! {}).len()), [0; 3]);
}
