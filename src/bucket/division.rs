//! Divides a file into batches.

use std::ops::Range;

use crate::store::StoredFile;

/// One question reads up to this many bytes of chunks: a slice of nginx's. A file that gridspool wrote
/// has one batch per slice.
const BATCH_BYTES: u64 = 2040 * 1024;

/// The most chunks in a batch: MongoDB sends about a hundred bytes beside each chunk, even a small
/// one.
const BATCH_CHUNKS: u64 = 8192;

/// The division of a file into batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    pub(super) chunk_size: u64,
    pub(super) length: u64,
    chunks_in_batch: u64,
}

impl Division {
    pub(super) fn of(file: &StoredFile) -> Self {
        let chunk_size = u64::from(file.chunk_size_bytes.max(1));
        Self {
            chunk_size,
            length: file.meta.length,
            chunks_in_batch: (BATCH_BYTES / chunk_size).clamp(1, BATCH_CHUNKS),
        }
    }

    /// Whether a chunk is longer than a slice, so that several slices need it.
    pub(super) fn has_long_chunks(&self) -> bool {
        self.chunk_size.min(self.length) > BATCH_BYTES
    }

    /// The numbers of the chunks in a batch.
    pub(super) fn chunks(&self, batch: u64) -> Range<u64> {
        let first = batch * self.chunks_in_batch;
        let end = self.length.div_ceil(self.chunk_size);
        first..end.min(first + self.chunks_in_batch)
    }

    /// The bytes of the file in a batch.
    pub(super) fn bytes(&self, batch: u64) -> Range<u64> {
        let chunks = self.chunks(batch);
        let end = self.length.min(chunks.end * self.chunk_size);
        chunks.start * self.chunk_size..end
    }

    /// The first part of a range, which is read before its first byte is sent. It is a whole slice: if
    /// a slice breaks off, nginx's slice module lets the client wait for the rest, so damage must be
    /// known before the first byte.
    pub(super) fn first_window(&self, range: &Range<u64>) -> Range<u64> {
        if range.end - range.start <= BATCH_BYTES {
            return range.clone();
        }
        let batch = self.bytes(self.batch_of(range.start));
        // One long chunk may be a batch.
        let end = batch.end.min(range.start + BATCH_BYTES);
        range.start..range.end.min(end)
    }

    fn batch_of(&self, offset: u64) -> u64 {
        offset / self.chunk_size / self.chunks_in_batch
    }

    /// The batches of a range, which is not empty.
    pub(super) fn batches(&self, range: &Range<u64>) -> Range<u64> {
        self.batch_of(range.start)..self.batch_of(range.end - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this length with chunks of this size.
    fn division(chunk_size: u64, length: u64) -> Division {
        Division {
            chunk_size,
            length,
            chunks_in_batch: (BATCH_BYTES / chunk_size).clamp(1, BATCH_CHUNKS),
        }
    }

    #[test]
    fn batches_follow_each_other_to_the_end_of_the_file_whatever_its_chunks_are() {
        for (chunk_size, length) in [
            (261_120, 20_000_000),
            (261_120, 261_120),
            (1, 100_000),
            (1024, 5_000_001),
            (2 << 20, 20_000_000),
            (15_000_000, 40_000_000),
        ] {
            let division = division(chunk_size, length);
            let batches = division.batches(&(0..length));
            let mut end = 0;
            for batch in batches.clone() {
                let bytes = division.bytes(batch);
                assert!(bytes.start == end && bytes.end > end, "{chunk_size}");
                assert!(bytes.end - bytes.start <= BATCH_BYTES.max(chunk_size));
                let chunks = division.chunks(batch);
                assert!(chunks.end - chunks.start <= BATCH_CHUNKS);
                end = bytes.end;
                assert_eq!(division.batches(&(end - 1..end)), batch..batch + 1);
            }
            assert_eq!((batches.start, end), (0, length));
        }
    }

    #[test]
    fn a_slice_of_nginx_is_one_batch_of_a_file_of_ours_and_always_one_window() {
        let ours = division(261_120, 20_000_000);
        let other = division(1 << 20, 20_000_000);
        for start in (0..20_000_000).step_by(2040 * 1024) {
            let slice = start..20_000_000.min(start + 2040 * 1024);
            let batches = ours.batches(&slice);
            assert_eq!(batches.end - batches.start, 1);
            for division in [&ours, &other] {
                assert_eq!(division.first_window(&slice), slice);
            }
        }
        // A longer range goes batch by batch.
        assert_eq!(other.first_window(&(10..20_000_000)), 10..1 << 20);
        let long = division(15_000_000, 20_000_000);
        let window = long.first_window(&(10..20_000_000));
        assert_eq!(window, 10..10 + 2040 * 1024);
    }
}
