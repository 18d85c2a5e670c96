//! A body, cut into chunks and hashed while it is read.

use std::io;

use mongodb::bson::RawDocumentBuf;
use mongodb::bson::oid::ObjectId;
use sha2::Digest as _;

use super::document;
use crate::file::FileId;
use crate::store::{Body, Sent, Sha256};

/// A body on its way. All reading blocks.
pub(super) struct Source {
    body: Box<dyn Body>,
    files_id: ObjectId,
    chunk_size_bytes: u32,
    length: u64,
    remaining: u64,
    next_n: i32,
    hasher: sha2::Sha256,
    is_over: bool,
}

impl Source {
    pub(super) fn new(body: Box<dyn Body>, id: FileId, length: u64, chunk_size_bytes: u32) -> Self {
        Self {
            body,
            files_id: document::object_id(id),
            chunk_size_bytes,
            length,
            remaining: length,
            next_n: 0,
            hasher: sha2::Sha256::new(),
            is_over: false,
        }
    }

    /// The bytes that are not read yet.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether all bytes were read, and are what was promised.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The number of the next chunk.
    pub(super) fn next_n(&self) -> i32 {
        self.next_n
    }

    /// Reads whole chunks of at most `batch_bytes` together, the last one of the file included. Those
    /// are given only if all bytes are what was promised.
    ///
    /// # Errors
    /// As those of [`Body`].
    pub(super) fn read(&mut self, batch_bytes: u32) -> io::Result<Vec<RawDocumentBuf>> {
        let mut documents = Vec::new();
        let mut room = u64::from(batch_bytes);
        while self.remaining > 0 {
            let size = self.remaining.min(u64::from(self.chunk_size_bytes));
            if size > room {
                break;
            }
            let length = usize::try_from(size).map_err(io::Error::other)?;
            let offset = self.length - self.remaining;
            let (body, hasher) = (&self.body, &mut self.hasher);
            let fill = |place: &mut [u8]| {
                body.read_exact_at(place, offset)?;
                hasher.update(place);
                Ok(())
            };
            documents.push(document::chunk(self.files_id, self.next_n, length, fill)?);
            self.next_n = self
                .next_n
                .checked_add(1)
                .ok_or(io::ErrorKind::FileTooLarge)?;
            self.remaining -= size;
            room -= size;
        }
        if self.remaining == 0 {
            self.body.verify(self.sent().sha256)?;
            self.is_over = true;
        }
        Ok(documents)
    }

    /// The bytes that were read; to be asked at the end.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            length: self.length - self.remaining,
            sha256: Sha256(self.hasher.clone().finalize().into()),
        }
    }

    /// Reads one chunk once more.
    pub(super) fn read_again(&self, n: i32) -> io::Result<Vec<u8>> {
        let chunk_size = u64::from(self.chunk_size_bytes);
        let begin = u64::try_from(n).map_err(io::Error::other)? * chunk_size;
        let size = self.length.saturating_sub(begin).min(chunk_size);
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        self.body.read_exact_at(&mut bytes, begin)?;
        Ok(bytes)
    }
}
