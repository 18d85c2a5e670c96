//! Pace. This row measures the reads of another client of MongoDB while a backlog is committed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{RawDocumentBuf, doc};

use crate::block::Body;
use crate::case::{Case, Goal, Metric, P99, RATE};
use crate::commits::{fill, watch_drain};
use crate::mongo::{DATABASE, Mongo, RIVALS};
use crate::report::Report;
use crate::rivals;
use crate::sidecar::Settings;
use crate::stage::Stage;
use crate::stats::Sample;

const BYTES: u64 = 8 * 1024;

/// The time between two reads.
const PAUSE: Duration = Duration::from_millis(1);

const P50: Metric = Metric::new("p50", " ms p50");

/// Adds the row of pace to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let work = "pace: reads while 8 KiB files drain";
    if stage.options.wants(work) {
        report.add(pace(stage, work));
    }
}

fn pace(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    let set = |pace: &str| [("commit-pace", pace.to_owned())];
    let (adaptive, fixed) = (set("adaptive"), set("fixed"));
    for _ in 0..stage.options.of(1, 3) {
        case.round("idle", || Ok(idle(stage)));
        case.round("adaptive", || draining(stage, &adaptive));
        case.round("fixed", || draining(stage, &fixed));
    }
    stage.mongo.forget(RIVALS);
    for metric in [P50, P99] {
        case.compare("adaptive", "idle", metric, Goal::None);
        case.compare("adaptive", "fixed", metric, Goal::None);
    }
    case.compare("adaptive", "fixed", RATE, Goal::None);
    case
}

fn idle(stage: &Stage) -> Sample {
    let id = insert_file(&stage.mongo);
    let begun = Instant::now();
    let seconds = stage.options.of(1.0, 3.0);
    let latencies = read_until(&stage.mongo, id, || begun.elapsed().as_secs_f64() > seconds);
    let mut sample = Sample::default();
    sample.set_latencies(&latencies);
    sample
}

fn draining(stage: &mut Stage, settings: &Settings) -> Result<Sample, String> {
    let id = insert_file(&stage.mongo);
    fill(stage, BYTES, stage.options.of(3000, 10_000), settings)?;
    let first = stage.sidecar.wait_until_up();
    let longest = stage.options.of(5.0, 30.0);
    let is_done = AtomicBool::new(false);
    let sample = stage.measure(|| {
        std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| read_until(&stage.mongo, id, || is_done.load(Ordering::Relaxed)));
            let mut sample = watch_drain(stage, first, longest);
            is_done.store(true, Ordering::Relaxed);
            let latencies = reader.join().map_err(|_| "the reader is lost")?;
            sample.set_latencies(&latencies);
            Ok(sample)
        })
    });
    stage.end();
    stage.mongo.forget(DATABASE);
    sample
}

/// Inserts a file that is not the sidecar's.
fn insert_file(mongo: &Mongo) -> ObjectId {
    let id = ObjectId::new();
    let bytes = Body::of(0, BYTES).to_vec();
    let database = mongo.database(RIVALS);
    mongo
        .runtime
        .block_on(async {
            let [chunks, files] =
                ["fs.chunks", "fs.files"].map(|name| database.collection::<RawDocumentBuf>(name));
            chunks.insert_one(rivals::chunk(id, 0, bytes)).await?;
            files.insert_one(rivals::file(id, BYTES)).await
        })
        .expect("a file");
    id
}

/// Reads the file again and again; returns how long its document and its chunk took together.
fn read_until(mongo: &Mongo, id: ObjectId, is_done: impl Fn() -> bool) -> Vec<Duration> {
    let database = mongo.database(RIVALS);
    let files: Collection<RawDocumentBuf> = database.collection("fs.files");
    let chunks: Collection<RawDocumentBuf> = database.collection("fs.chunks");
    let mut latencies = Vec::new();
    mongo.runtime.block_on(async {
        while !is_done() {
            let begun = Instant::now();
            let file = files.find_one(doc! { "_id": id }).await.expect("a find");
            let chunk = chunks
                .find_one(doc! { "files_id": id, "n": 0 })
                .await
                .expect("a find");
            assert!(file.is_some() && chunk.is_some(), "the file is gone");
            latencies.push(begun.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
    });
    latencies
}
