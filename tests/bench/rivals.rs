//! Other ways to commit: the driver's own stream, pymongo, and bare inserts of prepared chunks.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::join_all;
use futures::{AsyncWriteExt as _, StreamExt as _, TryStreamExt as _, stream};
use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, RawDocumentBuf, rawdoc};

use crate::block::Body;
use crate::mongo::{Mongo, RIVALS};
use crate::sampling::Usage;
use crate::stats::{self, Sample, float};

const CHUNK: u64 = 255 * 1024;

/// The bytes of one write into the driver's stream.
const WRITE: u64 = 1 << 20;

/// The amount to write: `files` files of `bytes` bytes each, or as many as `seconds` allow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) seconds: f64,
}

impl Amount {
    fn sample(self, files: f64, seconds: f64) -> Sample {
        Sample::default()
            .with("rate", files / seconds)
            .with("mib", files * float(self.bytes) / stats::MIB / seconds)
            .with("requests", files)
            .with("seconds", seconds)
    }
}

/// The bytes of a batch of bare inserts, and the number of batches in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batching {
    pub(crate) batch_bytes: u64,
    pub(crate) in_flight: usize,
}

/// Writes through the driver's GridFS upload stream, `at_once` files at a time.
///
/// # Errors
/// The error of the driver, in words.
pub(crate) fn stream_files(
    mongo: &Mongo,
    amount: Amount,
    at_once: usize,
) -> Result<Sample, String> {
    let bucket = mongo.database(RIVALS).gridfs_bucket(None);
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    let writer = || async {
        let mut written: u64 = 0;
        while begun.elapsed().as_secs_f64() < amount.seconds {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= amount.files {
                break;
            }
            let body = Body::of(number, amount.bytes);
            let mut upload = bucket.open_upload_stream(format!("file-{number}")).await?;
            let mut position = 0;
            while position < body.length {
                let end = body.length.min(position + WRITE);
                let piece = body.part(position, end - position).at(0);
                upload.write_all(piece).await?;
                position += u64::try_from(piece.len()).expect("small");
            }
            upload.close().await?;
            written += 1;
        }
        Ok::<_, mongodb::error::Error>(written)
    };
    let writers = join_all((0..at_once).map(|_| writer()));
    let done: Result<Vec<u64>, _> = mongo.runtime.block_on(writers).into_iter().collect();
    let files: u64 = done.map_err(|err| err.to_string())?.iter().sum();
    let sample = amount.sample(float(files), begun.elapsed().as_secs_f64());
    mongo.forget(RIVALS);
    Ok(sample)
}

/// Writes through pymongo's gridfs, in a process of its own.
///
/// # Errors
/// The error of the process, in words.
pub(crate) fn pymongo(mongo: &Mongo, amount: Amount) -> Result<Sample, String> {
    let python = std::env::var_os("GRIDSPOOL_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(kit::CHECKOUT).join("tests/bench/write_with_pymongo.py");
    let output = Command::new(python)
        .arg(script)
        .args([mongo.uri().as_str(), RIVALS])
        .args([amount.bytes, amount.files].map(|number| number.to_string()))
        .arg(amount.seconds.to_string())
        .output()
        .map_err(|err| format!("python: {err}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|err| format!("pymongo's answer: {err}"))?;
    let number = |name: &str| said[name].as_f64().unwrap_or_default();
    let mut sample = amount.sample(number("files"), number("seconds"));
    let usage = Usage {
        cpu_seconds: number("cpu_seconds"),
        peak_mib: number("peak_mib"),
        written_mib: 0.0,
    };
    sample.usage.insert("pymongo".to_owned(), usage);
    mongo.forget(RIVALS);
    Ok(sample)
}

/// A collection that sends its documents as they are.
pub(crate) type Documents = Collection<RawDocumentBuf>;

/// The documents of files, made before the clock runs.
#[derive(Debug)]
pub(crate) struct Prepared {
    amount: Amount,
    chunks: Vec<RawDocumentBuf>,
    files: Vec<RawDocumentBuf>,
}

impl Prepared {
    pub(crate) fn new(amount: Amount) -> Self {
        let mut prepared = Self {
            amount,
            chunks: Vec::new(),
            files: Vec::new(),
        };
        for number in 0..amount.files {
            prepared.add(Body::of(number, amount.bytes));
        }
        prepared
    }

    fn add(&mut self, body: Body) {
        let id = ObjectId::new();
        let (mut position, mut n) = (0, 0);
        while position < body.length {
            let length = CHUNK.min(body.length - position);
            let bytes = body.part(position, length).to_vec();
            self.chunks.push(chunk(id, n, bytes));
            position += length;
            n += 1;
        }
        self.files.push(file(id, body.length));
    }

    /// Inserts all chunks, then all files documents.
    ///
    /// # Errors
    /// The error of the driver, in words.
    pub(crate) fn insert(&self, mongo: &Mongo, batching: Batching) -> Result<Sample, String> {
        timed(mongo, self.amount, batching, async |chunks, files| {
            insert_all(&chunks, &self.chunks, batching).await?;
            insert_all(&files, &self.files, batching).await
        })
    }
}

/// Makes a chunk's document.
pub(crate) fn chunk(files_id: ObjectId, n: i32, bytes: Vec<u8>) -> RawDocumentBuf {
    let data = Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    };
    rawdoc! { "_id": ObjectId::new(), "files_id": files_id, "n": n, "data": data }
}

/// Makes a file's document.
pub(crate) fn file(id: ObjectId, length: u64) -> RawDocumentBuf {
    rawdoc! {
        "_id": id, "length": i64::try_from(length).expect("a length"),
        "chunkSize": i32::try_from(CHUNK).expect("small"),
        "uploadDate": DateTime::now(), "filename": id.to_hex(),
    }
}

/// Times `act`, which writes an amount into the bucket of the rivals, and then empties that bucket.
///
/// # Errors
/// The error of `act`, in words.
pub(crate) fn timed(
    mongo: &Mongo,
    amount: Amount,
    batching: Batching,
    act: impl AsyncFnOnce(Documents, Documents) -> mongodb::error::Result<()>,
) -> Result<Sample, String> {
    let database = mongo.database(RIVALS);
    let [chunks, files] = ["fs.chunks", "fs.files"].map(|name| database.collection(name));
    let seconds = mongo.runtime.block_on(async {
        let begun = Instant::now();
        act(chunks, files).await?;
        Ok::<_, mongodb::error::Error>(begun.elapsed().as_secs_f64())
    });
    let seconds = seconds.map_err(|err| err.to_string())?;
    mongo.forget(RIVALS);
    let batch_mib = float(batching.batch_bytes) / stats::MIB;
    let in_flight = float(u64::try_from(batching.in_flight).expect("few"));
    Ok(amount
        .sample(float(amount.files), seconds)
        .with("batch_mib", batch_mib)
        .with("in_flight", in_flight))
}

async fn insert_all(
    into: &Documents,
    documents: &[RawDocumentBuf],
    batching: Batching,
) -> mongodb::error::Result<()> {
    let mut batches = Vec::new();
    let mut rest = documents;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|document| {
            bytes += u64::try_from(document.as_bytes().len()).expect("small");
            bytes <= batching.batch_bytes
        });
        let count = fits.count().max(1);
        let (batch, others) = rest.split_at(count);
        batches.push(batch);
        rest = others;
    }
    stream::iter(batches)
        .map(|batch| async move { into.insert_many(batch).ordered(false).await })
        .buffer_unordered(batching.in_flight)
        .try_for_each(|_| async { Ok(()) })
        .await
}
