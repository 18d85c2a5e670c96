//! Reads one file whole, to see whether it agrees with its document.

use futures::TryStreamExt as _;
use mongodb::bson::{RawDocument, doc};
use mongodb::options::ReadConcern;
use sha2::Digest as _;

use super::{Bucket, document};
use crate::store::{Sha256, StoreError, StoredFile};

/// Bytes of chunks that one answer of MongoDB brings.
const ANSWER_BYTES: u32 = 4 * 1024 * 1024;

/// Faults that are reported per file; a lost file has as many as chunks.
const FAULTS: usize = 5;

/// The part of a file that was read so far.
struct Examined<'a> {
    file: &'a StoredFile,
    chunk_size: u64,
    /// The expected number of chunks.
    chunks: u64,
    next_n: u64,
    hasher: sha2::Sha256,
    faults: Vec<String>,
}

impl Bucket {
    /// Reads all chunks of a file, and returns its faults in words. A file that is deleted meanwhile
    /// has no fault. `pace` is told of all bytes that come, and may wait.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn examine(
        &self,
        file: &StoredFile,
        pace: &mut impl AsyncFnMut(u64),
    ) -> Result<Vec<String>, StoreError> {
        let id = document::id_of(file)?;
        let chunks = self.chunks();
        let find = chunks
            .find(document::is("files_id", &id))
            .sort(doc! { "n": 1 })
            .projection(doc! { "_id": 0, "n": 1, "data": 1 })
            .batch_size((ANSWER_BYTES / file.chunk_size_bytes.max(1)).max(1))
            .read_concern(ReadConcern::majority());
        let mut chunks = self.in_time(async { find.await }).await?;
        let mut examined = Examined::new(file);
        while let Some(chunk) = self.in_time(chunks.try_next()).await? {
            examined.take(&chunk);
            pace(u64::try_from(chunk.as_bytes().len()).unwrap_or(u64::MAX)).await;
        }
        let faults = examined.finish();
        if !faults.is_empty() && !self.has_file(&id).await? {
            return Ok(Vec::new());
        }
        Ok(faults)
    }
}

impl<'a> Examined<'a> {
    fn new(file: &'a StoredFile) -> Self {
        let chunk_size = u64::from(file.chunk_size_bytes.max(1));
        Self {
            file,
            chunk_size,
            chunks: file.meta.length.div_ceil(chunk_size),
            next_n: 0,
            hasher: sha2::Sha256::new(),
            faults: Vec::new(),
        }
    }

    fn take(&mut self, chunk: &RawDocument) {
        let n = document::whole_number(chunk, "n");
        let data = chunk.get_binary("data").map(|binary| binary.bytes);
        let (Some(n), Ok(data)) = (n, data) else {
            return self.fault("a chunk has no number, or no data".to_owned());
        };
        if n == self.chunks && data.is_empty() {
            // Some drivers end a file with an empty chunk.
            return;
        }
        if n < self.next_n {
            return self.fault(format!("chunk {n} is there more than once"));
        }
        if n >= self.chunks {
            return self.fault(format!("chunk {n} lies behind the end"));
        }
        self.miss(n);
        let expected = (self.file.meta.length - n * self.chunk_size).min(self.chunk_size);
        if u64::try_from(data.len()) != Ok(expected) {
            self.fault(format!(
                "chunk {n} has {} bytes, not {expected}",
                data.len()
            ));
        }
        self.hasher.update(data);
        self.next_n = n + 1;
    }

    /// Notes the chunks that are missing before this one.
    fn miss(&mut self, n: u64) {
        match n - self.next_n {
            0 => {}
            1 => self.fault(format!("chunk {} is missing", self.next_n)),
            _ => self.fault(format!("chunks {} to {} are missing", self.next_n, n - 1)),
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.miss(self.chunks);
        let digest = Sha256(self.hasher.clone().finalize().into());
        if self.faults.is_empty()
            && let Some(stated) = self.file.sha256
            && stated != digest
        {
            self.fault(format!("sha-256 is {digest}, the document says {stated}"));
        }
        self.faults
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }
}
