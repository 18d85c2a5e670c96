//! Indexes that are built in the background, in a bucket with files.

use kit::{Builder, Cluster, Metrics, Mongo, Site, eventually, noise, wait_until};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use serde_json::Value;

/// MongoDB stops building an index at this document.
const STOP: &str = "hangIndexBuildDuringCollectionScanPhaseAfterInsertion";

const SUBJECT: &str = "files metadata.sub";

/// Waits until all indexes exist.
pub(crate) fn wait_for_indexes(site: &Site) {
    wait_until("all indexes are there", || {
        let status = site.status();
        let indexes = status["mongodb"]["indexes"].as_array().unwrap();
        assert_eq!(indexes.len(), 5, "{indexes:?}");
        indexes.iter().all(|index| index["state"] == "ready")
    });
}

fn state_of(site: &Site, name: &str) -> Value {
    let status = site.status();
    let indexes = status["mongodb"]["indexes"].as_array().unwrap().iter();
    let mut found = indexes.filter(|index| index["name"] == name);
    found.next().unwrap().clone()
}

fn count_of(mongo: &Mongo, collection: &str) -> usize {
    let collection = mongo.database().collection::<Document>(collection);
    let names = mongo.block_on(async { collection.list_index_names().await });
    // A missing collection has no indexes to tell.
    names.map_or(0, |names| names.len())
}

#[test]
fn an_old_bucket_gets_its_indexes_while_uploads_and_downloads_go_on() {
    let mongo = Mongo::start();
    let old = (0..1000).map(|number| {
        doc! {
            "_id": ObjectId::new(), "length": 0_i64, "chunkSize": 1024, "n": number,
            "metadata": { "sub": if number < 3 { "alice" } else { "bob" } },
        }
    });
    let files = mongo.files();
    mongo
        .block_on(async { files.insert_many(old).await })
        .unwrap();
    // The two of GridFS exist. Another index has the name of one of ours.
    mongo.make_plain_chunk_index();
    for (collection, key, name) in [
        (
            "fs.files",
            doc! { "filename": 1, "uploadDate": 1 },
            "filename_1_uploadDate_1",
        ),
        ("fs.gone", doc! { "other": 1 }, "at_1__id_1"),
    ] {
        let index = doc! { "key": key, "name": name };
        mongo.run(doc! { "createIndexes": collection, "indexes": [index] });
    }
    let stop = |mode: &str| {
        let data = doc! { "fieldsToMatch": { "n": 700 } };
        mongo.admin(doc! { "configureFailPoint": STOP, "mode": mode, "data": data });
    };
    stop("alwaysOn");
    let keys = kit::Keys::make();
    let cluster = Cluster::start(2, &keys.guard(Builder::default()), &mongo);
    let sites = &cluster.nodes;
    for site in sites {
        let building = eventually("MongoDB has come to that document", || {
            let state = state_of(site, SUBJECT);
            (state["done_percent"].as_u64() >= Some(60)).then_some(state)
        });
        assert_eq!(building["state"], "building");
        assert!(building["done_percent"].as_u64() <= Some(80), "{building}");
        let metrics = Metrics::of(site);
        assert_eq!(
            metrics.value(&format!("index_ready{{index=\"{SUBJECT}\"}}")),
            0
        );
        assert_eq!(metrics.value("index_ready{index=\"inbox r, ts\"}"), 1);
    }
    assert_eq!(mongo.running("createIndexes", &["fs.files"]), 1);
    let bearer = keys.bearer(&["--scope", "upload download list"]);
    let token = ("Authorization", bearer.as_str());
    for site in sites {
        let client = site.client();
        let body = noise(1, 100_000);
        let path = kit::Uploaded::read(&client.post("/files", &[token], &body)).path;
        site.wait_until_committed();
        assert!(client.get_with(&path, &[token]).body == body);
        // No question reads every file instead of the index.
        let answer = client.get_with("/files?subject=alice", &[token]);
        answer.assert_problem(503, "unavailable");
        assert!(!answer.header("Retry-After").is_empty());
    }
    stop("off");
    for site in sites {
        eventually("that index is there", || {
            (state_of(site, SUBJECT)["state"] == "ready").then_some(())
        });
        let listed = site.client().get_with("/files?subject=alice", &[token]);
        assert_eq!(listed.json()["files"].as_array().unwrap().len(), 3);
    }
    let failed = "index_failed{index=\"gone at\"}";
    let site = eventually("a node has found the one in its way", || {
        let failed = |site: &&Site| Metrics::of(site).value(failed) == 1;
        sites.iter().find(failed)
    });
    let error = state_of(site, "gone at")["error"].clone();
    assert!(
        error.as_str().unwrap().contains("IndexKeySpecsConflict"),
        "{error}"
    );
    assert!(site.log().contains("the index gone at cannot be made"));
    mongo.run(doc! { "dropIndexes": "fs.gone", "index": "at_1__id_1" });
    sites.iter().for_each(wait_for_indexes);
    assert_eq!(Metrics::of(site).value(failed), 0);
    // The sidecar builds them again after the database was emptied.
    mongo
        .block_on(async { mongo.database().drop().await })
        .unwrap();
    for (collection, count) in [("fs.files", 5), ("fs.gone", 2), ("fs.inbox", 2)] {
        wait_until("they are there again", || {
            count_of(&mongo, collection) == count
        });
    }
}
