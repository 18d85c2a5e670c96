//! gc: it removes only old chunks that belong to no file.

use gridspool::bucket::{Bucket, Removal};
use gridspool::config::Config;
use kit::{CHUNK, Ledger, Mongo, Site, finish, noise, object_id};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::{Value, json};

use super::{chunks_of, gc, insert_old_chunks, old_id, site, update};

#[test]
fn gc_removes_what_is_old_and_belongs_to_nobody_and_only_when_it_is_asked_to() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let ledger = Ledger::default();
    ledger.upload(&site.client(), 1, 2 * CHUNK);
    site.wait_until_empty();
    let (small, large) = (old_id(1), old_id(2));
    insert_old_chunks(&mongo, &small, 1);
    insert_old_chunks(&mongo, &large, 450);
    // An old id with a chunk of today, and an id of today.
    insert_old_chunks(&mongo, &old_id(3), 4);
    mongo.insert_chunk(&old_id(3).as_object_id().unwrap().to_hex(), 7, b"new");
    let young = ObjectId::new().to_hex();
    mongo.insert_chunk(&young, 0, b"new");
    // An id without a time; and a file with chunks that name it by a number of another type.
    insert_old_chunks(&mongo, &Bson::from("theirs"), 2);
    insert_old_chunks(&mongo, &Bson::Double(5.0), 3);
    mongo.insert(
        "fs.files",
        doc! { "_id": 5_i64, "length": 30, "chunkSize": 10 },
    );

    let hex = |id: &Bson| id.as_object_id().unwrap().to_hex();
    let old = [hex(&small), hex(&large)];
    let all = mongo.count(&mongo.chunks(), doc! {});
    assert_eq!(gc(&site, &[]), old);
    assert_eq!(
        mongo.count(&mongo.chunks(), doc! {}),
        all,
        "told, and not removed"
    );
    assert_eq!(gc(&site, &["--remove"]), old);
    assert_eq!(gc(&site, &["--remove"]), Vec::<String>::new());
    assert_eq!([&small, &large].map(|id| chunks_of(&mongo, id)), [0, 0]);
    assert_eq!(chunks_of(&mongo, &Bson::from("theirs")), 2);
    assert_eq!(gc(&site, &["--foreign"]), ["theirs"]);
    assert_eq!(gc(&site, &["--remove", "--foreign"]), ["theirs"]);
    assert_eq!(chunks_of(&mongo, &old_id(3)), 5);
    assert_eq!(chunks_of(&mongo, &Bson::Double(5.0)), 3);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 2);
    assert_eq!(
        gc(&site, &["--remove", "--older-than-days", "0"]),
        [hex(&old_id(3)), young]
    );
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 2 + 3);
}

#[test]
fn gc_takes_away_links_to_lost_messages_of_this_node_and_no_others() {
    let mongo = Mongo::start();
    let mut site = site(&mongo);
    let client = site.client();
    let send = |to: &str, part: &Value| -> Value {
        let body = json!({ "message": "m", "to": to, "parts": [part] }).to_string();
        let json = [("Content-Type", "application/json")];
        let answer = client.post("/messages", &json, body.as_bytes());
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    };
    let files = [1, 2].map(|seed| client.upload(&noise(seed, 1000)).id);
    let [both, only] = [0, 1].map(|file| send("bob", &json!({ "file": files[file] })));
    let kept = send("eve", &json!({ "file": files[0] }));
    site.wait_until_empty();
    // Another program deletes two packages.
    let delete = |message: &Value| {
        let id = doc! { "_id": object_id(message["id"].as_str().unwrap()) };
        let deleted = mongo.block_on(async { mongo.files().delete_one(id).await });
        assert_eq!(deleted.unwrap().deleted_count, 1);
    };
    delete(&both);
    delete(&only);
    // A message of another node, and one that waits in this journal.
    let other = Bson::ObjectId(object_id("6550000000020abcdef01234"));
    let linked = doc! { "$push": { "metadata.links": other } };
    update(
        &mongo,
        "fs.files",
        doc! { "_id": object_id(&files[0]) },
        linked,
    );
    let refused = doc! { "failCommands": ["insert"], "errorCode": 13 };
    mongo.fail_sidecars("alwaysOn", refused);
    let waiting = send("zoe", &json!({ "message": kept["id"], "part": 1 }));
    site.kill_sidecar();
    mongo.heal();
    let all = |more: &[&str]| gc(&site, &[&["--older-than-days", "0"], more].concat());
    let packages = [&both, &only].map(|message| message["id"].as_str().unwrap().to_owned());
    let of_node = ["--lost-messages-of", "1"];
    // The package's chunks are orphans.
    let mut found = [files.as_slice(), &packages].concat();
    found.sort();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(all(&of_node)), found);
    assert_eq!(sorted(all(&[])), packages);
    // Messages may wait in the journal of another node, unless that is given up or was taken over.
    let of_other = ["--lost-messages-of", "2", "--older-than-days", "0"];
    let assert_refused = |why: &str| {
        let refused = finish(site.command().arg("gc").args(of_other));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            refused.status.code() == Some(1) && told.contains(why),
            "{told}"
        );
    };
    assert_refused("node 2 is not in the list of nodes");
    mongo.insert(
        "fs.nodes",
        doc! { "_id": 2, "journal": "x", "instance": "x" },
    );
    let set = |change: Document| {
        update(
            &mongo,
            "fs.nodes",
            doc! { "_id": 2 },
            doc! { "$set": change },
        );
    };
    assert_refused("node 2 is in the list, and messages may wait in its journal");
    set(doc! { "rescued_by": 3 });
    assert_refused("node 2 was taken over by node 3. Run this there");
    set(doc! { "rescued_by": 1 });
    let with_other = sorted([&packages[..], &files[..1]].concat());
    assert_eq!(sorted(all(&of_other[..2])), with_other);
    let left = doc! { "$set": { "left": DateTime::now() }, "$unset": { "rescued_by": "" } };
    update(&mongo, "fs.nodes", doc! { "_id": 2 }, left);
    assert_eq!(sorted(all(&of_other[..2])), with_other);
    assert!(gc(&site, &of_node).is_empty(), "nothing is old");
    let links = || {
        let file = mongo.find("fs.files", doc! { "_id": object_id(&files[0]) });
        let metadata = file[0].get_document("metadata").unwrap();
        metadata.get_array("links").unwrap().len()
    };
    assert_eq!(
        (links(), mongo.count(&mongo.files(), doc! {})),
        (4, 3),
        "{waiting}"
    );
    assert_eq!(sorted(all(&[&of_node[..], &["--remove"]].concat())), found);
    assert!(all(&of_node).is_empty());
    assert_eq!((links(), mongo.count(&mongo.files(), doc! {})), (3, 2));
    assert_eq!(chunks_of(&mongo, &Bson::ObjectId(object_id(&files[1]))), 0);
    site.start_sidecar();
    site.wait_until_empty();
    let part = format!("{}/1", waiting["url"].as_str().unwrap());
    assert!(site.client().get(&part).body == noise(1, 1000));
}

#[test]
fn gc_leaves_alone_what_any_room_of_the_journal_or_its_log_has() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut site = site(&mongo);
    let ledger = Ledger::default();
    for (seed, length) in [(1, 100), (2, CHUNK), (3, 3 * CHUNK)] {
        let promise = ledger.upload(&site.client(), seed, length);
        let content = promise.content();
        mongo.insert_chunk(&promise.id, 0, &content[..length.min(CHUNK)]);
    }
    assert!(site.names("journal/body").len() < 3, "one is in the log");
    site.kill_sidecar();
    mongo.heal();
    mongo.make_plain_chunk_index();
    let remove = ["--remove", "--older-than-days", "0"];
    assert_eq!(gc(&site, &remove), Vec::<String>::new());
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 3);
    site.start_sidecar();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn gc_removes_chunks_whose_id_the_log_has_noted_as_gone() {
    let mongo = Mongo::start();
    let site = site(&mongo);
    let client = site.client();
    let (deleted, kept) = (client.upload(b"deleted"), client.upload(b"kept"));
    site.wait_until_empty();
    assert_eq!(client.delete(&deleted.path).status, 204);
    mongo.insert_chunk(&deleted.id, 0, b"deleted");
    let remove = ["--remove", "--older-than-days", "0"];
    assert_eq!(gc(&site, &remove), [deleted.id]);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 1);
    assert!(client.get(&kept.path).body == b"kept");
}

#[test]
fn gc_removes_nothing_while_the_log_cannot_be_read_or_there_is_no_journal() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut site = site(&mongo);
    for seed in 0..3 {
        site.client().upload(&noise(seed, 100));
    }
    site.kill_sidecar();
    mongo.heal();
    mongo.make_plain_chunk_index();
    insert_old_chunks(&mongo, &old_id(1), 1);
    assert_eq!(gc(&site, &[]).len(), 1);
    let mut segments = site.names("journal/wal").into_iter().map(|name| {
        let path = site.data_dir().join("journal/wal").join(name);
        let whole = std::fs::read(&path).unwrap();
        (path, whole)
    });
    // The head of the first group is there; a file in reserve has none.
    let used = segments.find(|(_, whole)| whole[8192] != 0);
    let (path, whole) = used.unwrap();
    let mut damaged = whole.clone();
    damaged[8192] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let refused = |site: &Site| {
        let output = finish(site.command().args(["gc", "--remove"]));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(chunks_of(&mongo, &old_id(1)), 1);
    };
    refused(&site);
    std::fs::write(&path, whole).unwrap();
    assert_eq!(gc(&site, &[]).len(), 1);
    std::fs::remove_file(site.data_dir().join("journal/gridspool-journal")).unwrap();
    refused(&site);
}

#[test]
fn a_file_that_gets_its_document_while_its_chunks_are_cleared_away_keeps_the_rest() {
    let mongo = Mongo::start();
    insert_old_chunks(&mongo, &old_id(1), 3);
    mongo.make_plain_chunk_index();
    let arguments = [
        "gridspool",
        "--insecure-no-auth",
        "--mongodb-uri",
        &mongo.uri(),
    ];
    let arguments = arguments.map(std::ffi::OsString::from);
    let (_, config) = Config::load(arguments, |_| None, |_| Ok(())).unwrap();
    mongo.block_on(async {
        let bucket = Bucket::new(&config.bucket, &config.data_dir).await.unwrap();
        let page = bucket.list_orphans(None).await.unwrap();
        let [orphan] = page.orphans.as_slice() else {
            panic!("{page:?}")
        };
        let file = doc! { "_id": old_id(1), "length": 30, "chunkSize": 10 };
        mongo.files().insert_one(file).await.unwrap();
        assert_eq!(bucket.remove_orphan(orphan).await.unwrap(), Removal::Taken);
    });
    assert_eq!(chunks_of(&mongo, &old_id(1)), 3);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
}
