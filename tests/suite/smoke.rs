//! The main job, once through.

use mongodb::bson::doc;

use crate::support::{Builder, Mongo, noise, wait_until};

#[test]
fn a_file_goes_in_is_committed_and_comes_back_by_both_routes() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let content = noise(1, 600_000);
    let file = client.upload(&content);
    assert!(client.get(&file.path).body == content);
    site.wait_until_committed();
    wait_until("the body has left the journal", || {
        site.names("journal/body").is_empty()
    });
    assert!(client.get(&file.path).body == content);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 3);
    assert_eq!(site.names("spool"), Vec::<String>::new());
}
