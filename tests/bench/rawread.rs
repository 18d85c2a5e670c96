//! This contestant reads chunks with the driver as fast as it can. It does not look at the raw
//! batches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use crate::mongo::{DATABASE, Mongo};
use crate::stats::{self, Sample, float};

/// The approximate bytes of one answer: some MiB, as the sidecar may hold in memory, too.
const BATCH_BYTES: u64 = 4 << 20;

/// Reads files of `bytes` bytes each, `at_once` at a time.
///
/// # Errors
/// The error of the driver, in words.
pub(crate) fn read(
    mongo: &Mongo,
    places: &[String],
    bytes: u64,
    at_once: usize,
) -> Result<Sample, String> {
    let chunks = chunks(mongo);
    let chunk_size = chunk_size(mongo, &places[0]);
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let reader = || async {
        let mut latencies = Vec::new();
        while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            read_one(&chunks, id_of(place), chunk_size).await?;
            latencies.push(begun.elapsed());
        }
        Ok::<_, mongodb::error::Error>(latencies)
    };
    let readers = join_all((0..at_once).map(|_| reader()));
    let done: Result<Vec<_>, _> = mongo.runtime.block_on(readers).into_iter().collect();
    let latencies = done.map_err(|err| err.to_string())?.concat();
    let seconds = begun.elapsed().as_secs_f64();
    let files = float(places.len());
    let mut sample = Sample::default()
        .with("rate", files / seconds)
        .with("mib", files * float(bytes) / stats::MIB / seconds)
        .with("seconds", seconds);
    sample.set_latencies(&latencies);
    Ok(sample)
}

async fn read_one(
    chunks: &Collection<RawDocumentBuf>,
    id: ObjectId,
    chunk_size: u64,
) -> mongodb::error::Result<()> {
    let batch = u32::try_from((BATCH_BYTES / chunk_size).max(1)).expect("few");
    let mut batches = chunks
        .find(doc! { "files_id": id })
        .sort(doc! { "n": 1 })
        .batch_size(batch)
        .batch()
        .await?;
    while let Some(batch) = batches.next().await {
        batch?;
    }
    Ok(())
}

/// Measures how long the first chunk of each file takes, one file after the other.
pub(crate) fn find_chunks(mongo: &Mongo, places: &[String]) -> Vec<Duration> {
    let chunks = chunks(mongo);
    mongo.runtime.block_on(async {
        let mut latencies = Vec::new();
        for place in places {
            let begun = Instant::now();
            let filter = doc! { "files_id": id_of(place), "n": 0 };
            let found = chunks.find_one(filter).await.expect("a find");
            assert!(found.is_some(), "{place}: no chunk");
            latencies.push(begun.elapsed());
        }
        latencies
    })
}

/// Measures how long each file's document and first chunk take when both are asked for at the same
/// time.
pub(crate) fn find_both(mongo: &Mongo, places: &[String]) -> Vec<Duration> {
    let (files, chunks) = (files(mongo), chunks(mongo));
    mongo.runtime.block_on(async {
        let mut latencies = Vec::new();
        for place in places {
            let begun = Instant::now();
            let (files, id) = (files.clone(), id_of(place));
            // This find has a task of its own, so that both answers are read at the same time.
            let file = tokio::spawn(async move { files.find_one(doc! { "_id": id }).await });
            let filter = doc! { "files_id": id, "n": 0 };
            let (chunk, file) = futures::join!(chunks.find_one(filter).into_future(), file);
            assert!(chunk.expect("a find").is_some(), "{place}: no chunk");
            let file = file.expect("a find that ends").expect("a find");
            assert!(file.is_some(), "{place}: no file");
            latencies.push(begun.elapsed());
        }
        latencies
    })
}

fn chunks(mongo: &Mongo) -> Collection<RawDocumentBuf> {
    mongo.database(DATABASE).collection("fs.chunks")
}

fn files(mongo: &Mongo) -> Collection<RawDocumentBuf> {
    mongo.database(DATABASE).collection("fs.files")
}

/// Returns the size of a file's chunks in bytes.
fn chunk_size(mongo: &Mongo, place: &str) -> u64 {
    let files: Collection<Document> = mongo.database(DATABASE).collection("fs.files");
    let found = mongo
        .runtime
        .block_on(async { files.find_one(doc! { "_id": id_of(place) }).await });
    let file = found.expect("a find").expect("a committed file");
    let size = file
        .get_i32("chunkSize")
        .map(i64::from)
        .or_else(|_| file.get_i64("chunkSize"));
    u64::try_from(size.expect("a chunk size")).expect("a chunk size")
}

/// Returns the id in `/files/{id}`.
fn id_of(place: &str) -> ObjectId {
    let id = place.rsplit('/').next().unwrap_or_default();
    ObjectId::parse_str(id).unwrap_or_else(|err| panic!("{place}: {err}"))
}
