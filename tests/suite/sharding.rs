//! Questions to a router: it asks only the shard that has the answer.

use std::collections::BTreeSet;

use kit::{CHUNK, Ledger, Mongo, wait_until};
use mongodb::bson::{Bson, Document, doc};

use crate::upkeep::{fsck, gc, insert_old_chunks, old_id, site};

/// The sidecar's operations on the bucket, as mongod recorded them.
fn operations(mongo: &Mongo) -> Vec<Document> {
    let of_sidecars = doc! {
        "appName": "gridspool",
        "ns": { "$regex": "\\.(chunks|files|gone|inbox)$" },
        // An inserted document contains the shard key, and indexes are made on all shards.
        "op": { "$ne": "insert" },
        "command.createIndexes": { "$exists": false },
        "command.listIndexes": { "$exists": false },
    };
    mongo.find("system.profile", of_sidecars)
}

/// The command of an operation.
fn command(operation: &Document) -> &Document {
    operation
        .get_document("originatingCommand")
        .or_else(|_| operation.get_document("command"))
        .unwrap()
}

/// The filter of a command.
fn filter(command: &Document) -> Option<&Document> {
    let pipeline = command.get_array("pipeline").ok();
    let first = pipeline.and_then(|stages| stages.first()?.as_document());
    let of_pipeline = first.and_then(|stage| stage.get_document("$match").ok());
    let of_find = command.get_document("filter").ok();
    of_pipeline
        .or(of_find)
        .or_else(|| command.get_document("q").ok())
}

/// A listing visits everything, and names its index. In the collection of lists every question does.
fn is_listing(part: &str, command: &Document) -> bool {
    command.contains_key("count") || part != "inbox" && command.contains_key("hint")
}

#[test]
fn each_question_about_a_file_names_the_field_that_it_is_sharded_by() {
    let mongo = Mongo::start();
    mongo.run(doc! { "create": "system.profile", "capped": true, "size": 64 << 20 });
    mongo.hide_from_sidecars();
    let site = site(&mongo);
    let (client, ledger) = (site.client(), Ledger::default());
    mongo.run(doc! { "profile": 2 });
    // Two small ones, and two with more than one answer of MongoDB; one of each kind was begun before.
    for (seed, length) in [(1, 100), (2, CHUNK), (3, 20 * CHUNK), (4, 20 * CHUNK)] {
        let promise = ledger.upload(&client, seed, length);
        if seed % 2 == 0 {
            mongo.insert_chunk(&promise.id, 0, &promise.content()[..CHUNK]);
        }
    }
    let head = "--b\r\nContent-Disposition: form-data; name=";
    let send = |to: &str| {
        let to = format!("\"to\"\r\n\r\n{to}");
        let parts = [to.as_str(), "\"a\"; filename=\"a\"\r\n\r\na part"];
        let form = parts.map(|part| format!("{head}{part}\r\n")).concat() + "--b--\r\n";
        let kind = ("Content-Type", "multipart/form-data; boundary=b");
        client.post("/messages", &[kind], form.as_bytes()).json()
    };
    let message = send("bob");
    mongo.heal();
    site.wait_until_empty();
    // The count of a receiver's messages is asked beside the message, and only if MongoDB is up.
    send("eve");
    wait_until("a list is counted", || {
        operations(&mongo).iter().any(|operation| {
            let is_of_lists = operation.get_str("ns").unwrap() == "gridspool.fs.inbox";
            is_of_lists && command(operation).contains_key("aggregate")
        })
    });
    site.wait_until_empty();
    ledger.assert_readable(&client);
    let message = client.get(message["url"].as_str().unwrap());
    assert_eq!(message.json()["state"], "committed");
    assert_eq!(fsck(&site, &[]).0, Some(0));
    for promise in ledger.promises() {
        assert_eq!(client.delete(&promise.path).status, 204);
    }
    insert_old_chunks(&mongo, &old_id(1), 3);
    assert_eq!(gc(&site, &["--remove"]).len(), 1);
    mongo.run(doc! { "profile": 0 });

    let mut seen = BTreeSet::new();
    for operation in operations(&mongo) {
        let command = command(&operation);
        let namespace = operation.get_str("ns").unwrap();
        let part = namespace.rsplit('.').next().unwrap();
        if is_listing(part, command) {
            continue;
        }
        let key = match part {
            "chunks" => "files_id",
            "inbox" => "r",
            _ => "_id",
        };
        let filter = filter(command).unwrap_or_else(|| panic!("{operation}"));
        let exact = filter
            .get(key)
            .and_then(Bson::as_document)
            .is_none_or(|by| {
                let mut operators = by.keys();
                operators.all(|operator| ["$eq", "$in"].contains(&operator.as_str()))
            });
        assert!(filter.contains_key(key) && exact, "{operation}");
        let name = command.keys().next().unwrap();
        seen.insert(format!(
            "{} {name} {part}",
            operation.get_str("op").unwrap()
        ));
    }
    let seen: Vec<_> = seen.iter().map(String::as_str).collect();
    assert_eq!(
        seen,
        [
            "command aggregate chunks",
            "command aggregate inbox",
            "getmore find chunks",
            "query find chunks",
            "query find files",
            "query find gone",
            "remove q chunks",
            "remove q files",
            "update q inbox",
        ]
    );
}
