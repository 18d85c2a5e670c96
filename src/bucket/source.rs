//! A body that is cut into chunks and hashed while it is read.

use std::io;

use mongodb::bson::RawDocumentBuf;
use mongodb::bson::oid::ObjectId;
use sha2::Digest as _;

use super::chunk_id::{Began, ChunkId, chunk_id};
use super::document;
use super::earlier::{Earlier, Numbers};
use crate::file::FileId;
use crate::store::{Body, Sent, Sha256};

/// A body that is being read. All reading blocks.
pub(super) struct Source {
    body: Box<dyn Body>,
    files_id: ObjectId,
    chunk_size_bytes: u32,
    length: u64,
    remaining: u64,
    next_n: i32,
    hasher: sha2::Sha256,
    is_over: bool,
    began: Began,
    /// The numbers of the chunks that exist.
    numbers: Numbers,
    skipped: Vec<ChunkId>,
}

/// Chunks to write.
#[derive(Default)]
pub(super) struct Chunks {
    pub(super) ids: Vec<ChunkId>,
    /// A document for each of the ids.
    pub(super) documents: Vec<RawDocumentBuf>,
}

impl Source {
    /// Begins to read a body. Its chunks have the usual size, unless an earlier attempt left chunks
    /// of another size.
    pub(super) fn new(
        body: Box<dyn Body>,
        id: FileId,
        length: u64,
        usual_chunk_size: u32,
        earlier: Earlier,
    ) -> Self {
        Self {
            body,
            files_id: document::object_id(id),
            chunk_size_bytes: earlier.chunk_size(length, usual_chunk_size),
            began: earlier.began(),
            numbers: earlier.numbers,
            skipped: Vec::new(),
            length,
            remaining: length,
            next_n: 0,
            hasher: sha2::Sha256::new(),
            is_over: false,
        }
    }

    /// Returns the number of bytes that were not read yet.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns whether all bytes were read and match the promise.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the size of its chunks in bytes.
    pub(super) fn chunk_size_bytes(&self) -> u32 {
        self.chunk_size_bytes
    }

    /// Takes out the chunks that were read and not returned, because chunks with their numbers
    /// exist.
    pub(super) fn take_skipped(&mut self) -> Vec<ChunkId> {
        std::mem::take(&mut self.skipped)
    }

    /// Reads whole chunks of at most `batch_bytes` together, and returns the missing ones. It
    /// returns the last chunk of the file only if all bytes match the promise.
    ///
    /// # Errors
    /// The errors of [`Body`].
    pub(super) fn read(&mut self, batch_bytes: u32) -> io::Result<Chunks> {
        let mut chunks = Chunks::default();
        let mut skipped = Vec::new();
        let mut room = u64::from(batch_bytes);
        while self.remaining > 0 {
            let size = self.remaining.min(u64::from(self.chunk_size_bytes));
            if size > room {
                break;
            }
            let length = usize::try_from(size).map_err(io::Error::other)?;
            let (offset, n) = (self.length - self.remaining, self.next_n);
            if self.numbers.has(n) {
                skipped.resize(length, 0);
                let chunk = self.fill(&mut skipped, offset)?;
                self.skipped.push(chunk);
            } else {
                let files_id = self.files_id;
                let document = document::chunk(files_id, n, length, |place| {
                    let chunk = self.fill(place, offset)?;
                    chunks.ids.push(chunk);
                    Ok(chunk.id)
                })?;
                chunks.documents.push(document);
            }
            self.next_n = n.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
            self.remaining -= size;
            room -= size;
        }
        if self.remaining == 0 {
            self.body.verify(self.sent().sha256)?;
            self.is_over = true;
        }
        Ok(chunks)
    }

    /// Reads and hashes the next chunk.
    fn fill(&mut self, place: &mut [u8], offset: u64) -> io::Result<ChunkId> {
        self.body.read_exact_at(place, offset)?;
        self.hasher.update(&*place);
        let (n, size) = (self.next_n, place.len());
        Ok(chunk_id(self.began, self.files_id, n, size, &self.hasher))
    }

    /// Returns length and digest of the bytes that were read. Callers ask at the end.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            length: self.length - self.remaining,
            sha256: Sha256(self.hasher.clone().finalize().into()),
        }
    }

    /// Reads one chunk again.
    pub(super) fn read_again(&self, n: i32) -> io::Result<Vec<u8>> {
        let chunk_size = u64::from(self.chunk_size_bytes);
        let begin = u64::try_from(n).map_err(io::Error::other)? * chunk_size;
        let size = self.length.saturating_sub(begin).min(chunk_size);
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        self.body.read_exact_at(&mut bytes, begin)?;
        Ok(bytes)
    }
}
