//! Lists with messages that MongoDB has damaged.

use kit::{Builder, Mongo, object_id};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use serde_json::json;

use super::{JSON, ids, list, messages, read, send};

#[test]
fn a_damaged_message_is_listed_as_damaged_and_hides_no_other() {
    let mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    // The words of a long message stand in its package alone.
    let long = "long ".repeat(4000);
    let sent: Vec<_> = (0..6).map(|_| send(&client, &["bob"], &long)).collect();
    site.wait_until_empty();
    let change = |part: &str, filter: Document, change: Document| {
        let collection = mongo.database().collection::<Document>(part);
        let changed = mongo.block_on(async { collection.update_one(filter, change).await });
        assert_eq!(changed.unwrap().modified_count, 1);
    };
    let chunk_of = |id: &str| doc! { "files_id": object_id(id) };
    let chunks = mongo.chunks();
    let removed = mongo.block_on(async { chunks.delete_one(chunk_of(&sent[0])).await });
    assert_eq!(removed.unwrap().deleted_count, 1);
    let short = Binary {
        subtype: BinarySubtype::Generic,
        bytes: vec![b'x'; 7],
    };
    let cut = doc! { "$set": { "data": short } };
    change("fs.chunks", chunk_of(&sent[2]), cut);
    let unreadable = doc! { "$set": { "metadata.to": "bob" } };
    change("fs.files", doc! { "_id": object_id(&sent[3]) }, unreadable);
    // Two messages of a page, and one that nobody can tell of.
    let (found, next) = read(&client, "bob", 5);
    let listed = [0, 1, 2, 4, 5].map(|place| sent[place].clone());
    assert_eq!(ids(&found), listed);
    for (place, message) in found.iter().enumerate() {
        let is_damaged = matches!(place, 0 | 2);
        let text = if is_damaged { json!(null) } else { json!(long) };
        assert_eq!(message["message"], text, "{place}");
        assert_eq!(message["damaged"], json!(is_damaged.then_some(true)));
        assert_eq!(message["from"], "alice");
        assert!(message.get("message_base64").is_none());
    }
    let all = || messages(&list(&client, "bob", ""));
    assert_eq!(ids(&all()), listed, "and again");
    let logged = site.log();
    for place in [0, 2, 3] {
        let said = format!("the message {} is damaged", sent[place]);
        assert_eq!(logged.matches(&said).count(), 1, "{logged}");
    }
    let alone = client.get(&format!("/messages/{}", sent[0]));
    alone.assert_problem(500, "damaged");
    let through = json!({ "through": next }).to_string();
    let delivered = client.post("/receivers/bob/delivered", &[JSON], through.as_bytes());
    assert_eq!(delivered.status, 204);
    assert!(all().is_empty());
}
