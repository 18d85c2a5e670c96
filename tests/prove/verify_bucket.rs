//! Checks the files in MongoDB, without a sidecar: each is there once, with exactly its chunks.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kit::{CHUNK, Mongo};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};

use crate::ledger::{State, Upload};
use crate::tally::Tally;
use crate::verify::side_by_side;

/// The number of files with chunks in one question: fewer than MongoDB can sort in memory.
const AT_ONCE: usize = 16;

/// Checks the files in MongoDB, without the sidecar.
pub(crate) fn files(mongo: &Mongo, uploads: &[Upload], tally: &Tally) {
    let uploads: BTreeMap<_, _> = uploads.iter().map(|upload| (upload.key, upload)).collect();
    let (mut seen, mut found_files) = (HashSet::new(), Vec::new());
    for file in mongo.find("fs.files", of_no_message()) {
        let name = file.get_str("filename").unwrap_or_default();
        let found = name.parse().ok().and_then(|key: u64| uploads.get(&key));
        let Some(upload) = found else {
            tally.violate(&format!("nobody expects {file}"));
            continue;
        };
        let wrong = |what: &str| tally.violate(&format!("{upload:?}: {what}: {file}"));
        if !seen.insert(upload.key) {
            wrong("there is another file of the same upload");
        }
        let id = file.get_object_id("_id").map(ObjectId::to_hex);
        if upload
            .id()
            .is_some_and(|promised| id.as_deref().ok() != Some(promised))
        {
            wrong("promised under another id");
        }
        if matches!(upload.state, State::Deleted(_)) {
            wrong("was deleted");
        }
        found_files.push((file, *upload));
    }
    let groups: Vec<_> = found_files.chunks(AT_ONCE).collect();
    side_by_side(&groups, |group| are_whole(mongo, group, tally));
    for upload in uploads.values() {
        if matches!(upload.state, State::Promised(_)) && !seen.contains(&upload.key) {
            tally.violate(&format!("{upload:?} is not in the bucket"));
        }
    }
}

/// A filter for files that were uploaded without a message.
pub(crate) fn of_no_message() -> Document {
    doc! { "metadata.message": { "$exists": false } }
}

/// Checks that files have exactly their chunks, with the right bytes.
fn are_whole(mongo: &Mongo, files: &[(Document, &Upload)], tally: &Tally) {
    let ids: Vec<_> = files
        .iter()
        .filter_map(|(file, _)| file.get("_id"))
        .collect();
    let mut chunks = BTreeMap::<_, Vec<_>>::new();
    for chunk in mongo.find("fs.chunks", doc! { "files_id": { "$in": ids } }) {
        let id = chunk.get_object_id("files_id").expect("one of ours");
        chunks.entry(id).or_default().push(chunk);
    }
    for (file, upload) in files {
        let id = file.get_object_id("_id").expect("one of ours");
        let chunks = chunks.get(&id).map_or(&[][..], Vec::as_slice);
        if let Err(what) = is_whole(file, chunks, upload) {
            tally.violate(&format!("{upload:?}: {what}: {file}"));
        }
    }
}

fn is_whole(file: &Document, chunks: &[Document], upload: &Upload) -> Result<(), String> {
    let length = i64::try_from(upload.length).expect("a small number");
    if file.get_i64("length").ok() != Some(length) {
        return Err("another length".to_owned());
    }
    if chunks.len() != upload.length.div_ceil(CHUNK) {
        return Err(format!("{} chunks", chunks.len()));
    }
    let content = upload.content();
    for (place, (chunk, part)) in chunks.iter().zip(content.chunks(CHUNK)).enumerate() {
        let n = chunk
            .get_i32("n")
            .ok()
            .and_then(|n| usize::try_from(n).ok());
        let is_right = chunk
            .get_binary_generic("data")
            .is_ok_and(|data| data == part);
        if n != Some(place) || !is_right {
            return Err(format!("chunk {place} is wrong"));
        }
    }
    Ok(())
}

/// Checks that each id has as many chunks as its file, and that no chunk is without a file.
pub(crate) fn chunks_are_the_files(mongo: &Mongo, tally: &Tally) {
    let size = u64::try_from(CHUNK).expect("a small number");
    let count = |length: i64| u64::try_from(length).unwrap_or_default().div_ceil(size);
    let files = mongo.find("fs.files", doc! {});
    let expected: BTreeMap<_, _> = files
        .iter()
        .map(|file| {
            let id = file.get_object_id("_id").expect("one of ours");
            (id, count(file.get_i64("length").unwrap_or_default()))
        })
        .filter(|(_, chunks)| *chunks > 0)
        .collect();
    let found = mongo.chunk_counts();
    let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for id in ids {
        let (expected, found) = (expected.get(id), found.get(id));
        if expected != found {
            tally.violate(&format!(
                "{id}: {found:?} chunks, its file has {expected:?}"
            ));
        }
    }
}
