//! fsck and gc, beside a working sidecar. They find all faults and nothing else, and remove only
//! chunks without a file.

mod fsck;
mod gc;
mod journal;

use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use kit::{Builder, Mongo, Site, finish, object_id};
use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

/// An id or a chunk of November 2023.
const OLD: &str = "655000000001";

/// A site that evicts bodies at once.
pub(super) fn site(mongo: &Mongo) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .start(mongo)
}

pub(super) fn run(site: &Site, words: &[&str]) -> Output {
    let output = finish(site.command().args(words));
    assert_ne!(output.status.code(), Some(1), "{output:?}");
    output
}

/// The report of one run: its findings, as kind and name, and its summary.
pub(super) fn told(output: &Output) -> (Vec<(String, String)>, Value) {
    let text = str::from_utf8(&output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let (mut findings, mut summary) = (Vec::new(), Value::Null);
    for line in lines {
        let line: Value = line;
        if line["summary"].is_object() {
            summary = line["summary"].clone();
        } else {
            let text = |name: &str| line["finding"][name].as_str().unwrap().to_owned();
            findings.push((text("kind"), text("name")));
        }
    }
    findings.sort();
    (findings, summary)
}

pub(super) fn fsck(site: &Site, more: &[&str]) -> (Option<i32>, Vec<(String, String)>, Value) {
    let output = run(site, &[&["fsck", "--json"], more].concat());
    let (findings, summary) = told(&output);
    (output.status.code(), findings, summary)
}

pub(super) fn gc(site: &Site, more: &[&str]) -> Vec<String> {
    let output = run(site, &[&["gc", "--json"], more].concat());
    assert!(output.status.success(), "{output:?}");
    let findings = told(&output).0.into_iter();
    findings.map(|(_, name)| name).collect()
}

/// Chunks that were written in 2023.
pub(super) fn insert_old_chunks(mongo: &Mongo, files_id: &Bson, count: i32) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let chunks = (0..count).map(|n| {
        let id = format!("{OLD}{:012x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let data = mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes: vec![7; 10],
        };
        let (files_id, id) = (files_id.clone(), object_id(&id));
        doc! { "_id": id, "files_id": files_id, "n": n, "data": data }
    });
    let chunks: Vec<_> = chunks.collect();
    mongo
        .block_on(async { mongo.chunks().insert_many(chunks).await })
        .unwrap();
}

pub(super) fn chunks_of(mongo: &Mongo, files_id: &Bson) -> u64 {
    mongo.count(&mongo.chunks(), doc! { "files_id": files_id.clone() })
}

pub(super) fn old_id(number: u32) -> Bson {
    Bson::ObjectId(object_id(&format!("{OLD}{number:012x}")))
}

pub(super) fn update(mongo: &Mongo, collection: &str, filter: Document, update: Document) {
    let collection = mongo.database().collection::<Document>(collection);
    let updated = mongo.block_on(async { collection.update_one(filter, update).await });
    assert_eq!(updated.unwrap().modified_count, 1);
}
