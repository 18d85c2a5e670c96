//! Writing a promised file, so that doing it twice does no harm.

use std::io::{self, Read};
use std::sync::Arc;

use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::options::ReadConcern;
use sha2::Digest as _;

use super::{Bucket, document, error};
use crate::file::FileId;
use crate::store::{Committed, Evidence, Promised, Sent, Sha256, StoreError};

/// Bytes of a body in one insert, at most.
const BATCH_BYTES: u32 = 2 * 1024 * 1024;

impl Bucket {
    /// Commits a file.
    ///
    /// 1. The unique index on chunks exists.
    /// 2. After an earlier attempt, the file's document and all chunks may be there already. Then
    ///    the body is only hashed, and the proof tried.
    /// 3. The chunks are inserted, unordered, in batches; the body is hashed on the way. A chunk
    ///    that is there already is compared, byte by byte.
    /// 4. The file's document is inserted, once every chunk has a majority. One that is there
    ///    already is judged by step 5.
    /// 5. Document and chunks are read back with read concern majority, and held against what
    ///    was sent: the proof.
    ///
    /// Cut anywhere, it leaves chunks that no reader sees, or the whole file. Nothing is deleted.
    ///
    /// # Errors
    /// As [`crate::store::Store::commit`].
    pub(super) async fn put(&self, promised: Promised) -> Result<Committed, StoreError> {
        self.ensure_indexes().await?; // 1
        let Promised {
            id,
            meta,
            body,
            is_retry,
        } = promised;
        let found = if is_retry {
            self.evidence(id).await? // 2
        } else {
            None
        };
        if found.is_some_and(|found| found.length != meta.length) {
            return Err(StoreError::Refused(format!(
                "{id} is there as another file"
            )));
        }
        let has_all_chunks = found.is_some_and(|found| found.chunk_bytes == found.length);
        let mut source = Source::new(body, id, meta.length, self.chunk_size_bytes);
        let sent = loop {
            match self.next_batch(source).await? {
                Step::Batch(next, batch) => {
                    if !has_all_chunks {
                        self.insert_chunks(batch).await?; // 3
                    }
                    source = next;
                }
                Step::End(sent) => break sent,
            }
        };
        if found.is_none() {
            let file = document::file(id, &meta, sent, self.chunk_size_bytes)?;
            self.insert_file(file).await?; // 4
        }
        self.prove(id, sent).await // 5
    }

    /// Reads and hashes the next batch on the blocking pool, within the budget of bytes.
    async fn next_batch(&self, source: Source) -> Result<Step, StoreError> {
        if source.remaining == 0 {
            return Ok(Step::End(source.sent()));
        }
        let batch_bytes = BATCH_BYTES
            .min(self.bytes_in_flight)
            .max(self.chunk_size_bytes);
        let wanted = u32::try_from(source.remaining)
            .unwrap_or(u32::MAX)
            .min(batch_bytes);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.budget)
            .acquire_many_owned(wanted)
            .await
            .map_err(|err| StoreError::Unavailable(err.to_string()))?;
        let read = self.runtime.spawn_blocking(move || source.read(wanted));
        let (source, documents) = read
            .await
            .map_err(|lost| StoreError::Failed(format!("reading the body: {lost}")))?
            .map_err(StoreError::Body)?;
        Ok(Step::Batch(
            source,
            Batch {
                documents: Arc::new(documents),
                _permit: permit,
            },
        ))
    }

    async fn insert_chunks(&self, batch: Batch) -> Result<(), StoreError> {
        let chunks = self.chunks.clone();
        let documents = Arc::clone(&batch.documents);
        let inserted = self
            .bounded(async move { chunks.insert_many(documents.iter()).ordered(false).await })
            .await;
        match inserted {
            Ok(_) => Ok(()),
            Err(err) => match error::duplicates(&err) {
                Some(there) => self.compare_chunks(&batch, &there).await,
                None => Err(error::of_write(&err)),
            },
        }
    }

    /// Sees that chunks which were there already are what we would have written.
    async fn compare_chunks(&self, batch: &Batch, there: &[usize]) -> Result<(), StoreError> {
        for &index in there {
            let (files_id, n, data) = batch
                .documents
                .get(index)
                .and_then(|ours| {
                    let n = ours.get_i32("n").ok()?;
                    Some((
                        ours.get_object_id("files_id").ok()?,
                        n,
                        ours.get_binary("data").ok()?,
                    ))
                })
                .ok_or_else(|| StoreError::Failed(format!("an answer about chunk {index}")))?;
            let chunks = self.chunks.clone();
            let stored = self
                .bounded(async move {
                    chunks
                        .find_one(doc! { "files_id": files_id, "n": n })
                        .read_concern(ReadConcern::majority())
                        .await
                })
                .await
                .map_err(|err| error::of_read(&err))?;
            match stored.as_ref().map(|stored| stored.get_binary("data")) {
                None => {
                    return Err(StoreError::Unavailable(format!(
                        "chunk {n} of {files_id} has no majority yet"
                    )));
                }
                Some(Ok(stored)) if stored.bytes == data.bytes => {}
                Some(_) => {
                    return Err(StoreError::Refused(format!(
                        "chunk {n} of {files_id} is there with other bytes"
                    )));
                }
            }
        }
        Ok(())
    }

    async fn insert_file(&self, file: RawDocumentBuf) -> Result<(), StoreError> {
        let files = self.files.clone();
        match self
            .bounded(async move { files.insert_one(file).await })
            .await
        {
            Err(err) if !error::is_duplicate(&err) => Err(error::of_write(&err)),
            _ => Ok(()),
        }
    }

    async fn prove(&self, id: FileId, sent: Sent) -> Result<Committed, StoreError> {
        let evidence = self.evidence(id).await?.ok_or_else(|| {
            StoreError::Unavailable(format!("the document of {id} has no majority yet"))
        })?;
        Committed::prove(id, sent, evidence).map_err(|difference| {
            if evidence.length == sent.length && evidence.sha256 == Some(sent.sha256) {
                // Our own file, with chunks missing: sending them again mends it.
                StoreError::Failed(difference)
            } else {
                StoreError::Refused(difference)
            }
        })
    }

    /// What a majority holds of a file; `None` without a document.
    async fn evidence(&self, id: FileId) -> Result<Option<Evidence>, StoreError> {
        let files_id = document::object_id(id);
        let files = self.files.clone();
        let file = self
            .bounded(async move {
                files
                    .find_one(doc! { "_id": files_id })
                    .read_concern(ReadConcern::majority())
                    .await
            })
            .await
            .map_err(|err| error::of_read(&err))?;
        let Some(file) = file else {
            return Ok(None);
        };
        let (chunks, chunk_bytes) = self.count_chunks(files_id).await?;
        document::evidence(&file, chunks, chunk_bytes)
            .map(Some)
            .ok_or_else(|| StoreError::Refused(format!("{id} is there with a strange document")))
    }

    async fn count_chunks(&self, files_id: ObjectId) -> Result<(u64, u64), StoreError> {
        let chunks = self.chunks.clone();
        let pipeline = [
            doc! { "$match": { "files_id": files_id } },
            doc! { "$group": {
                "_id": null,
                "chunks": { "$sum": 1 },
                "bytes": { "$sum": { "$binarySize": "$data" } },
            } },
        ];
        let groups: Vec<RawDocumentBuf> = self
            .bounded(async move {
                chunks
                    .aggregate(pipeline)
                    .read_concern(ReadConcern::majority())
                    .with_type()
                    .await?
                    .try_collect()
                    .await
            })
            .await
            .map_err(|err| error::of_read(&err))?;
        let Some(group) = groups.first() else {
            return Ok((0, 0));
        };
        let number = |name| {
            document::whole_number(group, name)
                .ok_or_else(|| StoreError::Failed(format!("counting chunks gave no {name}")))
        };
        Ok((number("chunks")?, number("bytes")?))
    }
}

/// Chunks on their way, and the permit for their bytes.
struct Batch {
    documents: Arc<Vec<RawDocumentBuf>>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

enum Step {
    Batch(Source, Batch),
    End(Sent),
}

/// A body, cut into chunks and hashed while it is read.
struct Source {
    body: Box<dyn Read + Send>,
    files_id: ObjectId,
    chunk_size_bytes: u32,
    length: u64,
    remaining: u64,
    next_n: i32,
    hasher: sha2::Sha256,
}

impl Source {
    fn new(body: Box<dyn Read + Send>, id: FileId, length: u64, chunk_size_bytes: u32) -> Self {
        Self {
            body,
            files_id: document::object_id(id),
            chunk_size_bytes,
            length,
            remaining: length,
            next_n: 0,
            hasher: sha2::Sha256::new(),
        }
    }

    /// Reads whole chunks of at most `batch_bytes` together, or the last one. Blocks.
    fn read(mut self, batch_bytes: u32) -> io::Result<(Self, Vec<RawDocumentBuf>)> {
        let mut documents = Vec::new();
        let mut room = u64::from(batch_bytes);
        let mut buffer = Vec::new();
        while self.remaining > 0 {
            let size = self.remaining.min(u64::from(self.chunk_size_bytes));
            if size > room {
                break;
            }
            buffer.clear();
            let read = (&mut self.body).take(size).read_to_end(&mut buffer)?;
            if u64::try_from(read) != Ok(size) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.hasher.update(&buffer);
            documents.push(document::chunk(self.files_id, self.next_n, &buffer));
            self.next_n = self
                .next_n
                .checked_add(1)
                .ok_or(io::ErrorKind::FileTooLarge)?;
            self.remaining -= size;
            room -= size;
        }
        Ok((self, documents))
    }

    fn sent(self) -> Sent {
        Sent {
            length: self.length - self.remaining,
            sha256: Sha256(self.hasher.finalize().into()),
        }
    }
}
