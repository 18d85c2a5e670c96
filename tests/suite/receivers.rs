//! Lists of receivers: filled by commits, read by pages, waited for, and emptied by what is delivered.

use kit::{Builder, Client, Mongo, eventually, noise};
use mongodb::bson::doc;
use serde_json::json;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Sends a message without parts; its id.
fn send(client: &Client, to: &[&str], words: &str) -> String {
    let message = json!({ "from": "alice", "to": to, "message": words });
    let answer = client.post("/messages", &[JSON], message.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_message_gets_into_the_lists_of_its_receivers_although_files_before_it_wait() {
    let mongo = Mongo::start();
    let site = Builder::without_log()
        .set("commit_entries", 1)
        .set("commit_pace", "fixed")
        .start(&mongo);
    let client = site.client();
    // Large files wait for each other, and the first for MongoDB. Its command may take no longer.
    let slow = doc! {
        "failCommands": ["insert"], "namespace": "gridspool.fs.chunks",
        "blockConnection": true, "blockTimeMS": 7000,
    };
    mongo.fail_sidecars(doc! { "times": 1 }, slow);
    let first = client.upload(&noise(1, 1_000_000));
    eventually("the first is at MongoDB", || {
        (mongo.running("insert", &["fs.chunks"]) > 0).then_some(())
    });
    let later = [2, 3].map(|seed| client.upload(&noise(seed, 1_000_000)));
    let id = send(&client, &["bob", "eve"], "words");
    let entries = eventually("the message is in both lists", || {
        let entries = mongo.find("fs.inbox", doc! {});
        (entries.len() == 2).then_some(entries)
    });
    for file in [&first, &later[0], &later[1]] {
        let meta = client.get(&format!("{}/meta", file.path)).json();
        assert_eq!(meta["state"], "pending", "the message went ahead of it");
    }
    for entry in entries {
        assert_eq!(entry.get_object_id("m").unwrap().to_hex(), id);
        assert_eq!(entry.get_i64("b").unwrap(), 5);
    }
    site.wait_until_committed();
}
