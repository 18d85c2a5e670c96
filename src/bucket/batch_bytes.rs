//! Keeps a batch in memory, or in a file without a name.
//!
//! nginx asks for a file slice by slice, the next one when a client has the one before. A chunk of
//! another driver may be as long as eight slices, and memory has room for two such chunks. With more
//! readers each chunk would be read anew for each slice. So the batches of such a file go to disk, and
//! its slices come from there. Without room on the disk they stay in memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags, fstatvfs, open};
use tokio::sync::OwnedSemaphorePermit;

/// The bound on bytes of all batches on disk.
pub(super) const MAX_DISK_BYTES: u32 = 256 * 1024 * 1024;

/// The largest piece of a batch that is passed on at once, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// Batches leave this many bytes of the disk free.
pub(super) const FREE_BYTES: u64 = 512 * 1024 * 1024;

/// Consecutive chunks, each of the right size.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// The first one begins at this byte of the file.
    pub(super) start: u64,
    pub(super) chunks: Vec<Bytes>,
}

impl Batch {
    /// The part of a range of the file that is in these chunks.
    fn cut(&self, range: &Range<u64>) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut start = self.start;
        for chunk in &self.chunks {
            let within = |at: u64| {
                let offset = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
                offset.min(chunk.len())
            };
            let piece = chunk.slice(within(range.start)..within(range.end));
            if !piece.is_empty() {
                pieces.push(piece);
            }
            start += u64::try_from(chunk.len()).unwrap_or_default();
        }
        pieces
    }

    /// Writes the same bytes into a file of this directory, which vanishes with its last reader. This
    /// many bytes of the disk must be free.
    ///
    /// # Errors
    /// The disk's error, also if it is nearly full.
    pub(super) fn write(
        &self,
        directory: &Path,
        free_bytes: u64,
        room: OwnedSemaphorePermit,
    ) -> io::Result<OnDisk> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(open(directory, flags, Mode::RUSR | Mode::WUSR)?);
        let disk = fstatvfs(&file)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < free_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut length = 0;
        for chunk in &self.chunks {
            file.write_all_at(chunk, length)?;
            length += u64::try_from(chunk.len()).unwrap_or_default();
        }
        Ok(OnDisk {
            file,
            bytes: self.start..self.start + length,
            _room: room,
        })
    }
}

/// A batch in a file.
#[derive(Debug)]
pub(super) struct OnDisk {
    file: File,
    /// Its part of the whole file.
    bytes: Range<u64>,
    _room: OwnedSemaphorePermit,
}

impl OnDisk {
    fn part(&self, range: &Range<u64>) -> Range<u64> {
        let start = range.start.max(self.bytes.start);
        start..range.end.min(self.bytes.end).max(start)
    }

    fn cut(
        &self,
        range: &Range<u64>,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> io::Result<Bytes> {
        let part = self.part(range);
        let length = usize::try_from(part.end - part.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, part.start.saturating_sub(self.bytes.start))?;
        Ok(Bytes::from_owner(Read(bytes, room)))
    }
}

/// Bytes that were read from a file, and their permit for memory.
struct Read(
    Vec<u8>,
    #[expect(dead_code, reason = "held until the last slice is dropped")]
    Option<Arc<OwnedSemaphorePermit>>,
);

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Splits bytes into pieces, so that a sender copies one piece at a time.
fn split(mut bytes: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while bytes.len() > PIECE_BYTES {
        pieces.push(bytes.split_to(PIECE_BYTES));
    }
    pieces.push(bytes);
    pieces
}

/// A batch that was read.
#[derive(Debug)]
pub(super) enum BatchBytes {
    InMemory(Batch),
    OnDisk(OnDisk),
}

impl BatchBytes {
    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self, Self::OnDisk(_))
    }

    /// Bytes of memory that reading a range of the file takes, beside the batch itself.
    pub(super) fn bytes_to_read(&self, range: &Range<u64>) -> u64 {
        match self {
            Self::InMemory(_) => 0,
            Self::OnDisk(file) => {
                let part = file.part(range);
                part.end - part.start
            }
        }
    }

    /// The part of a range of the file that is in this batch. Bytes that are read from disk keep
    /// `room`. May wait for the disk.
    ///
    /// # Errors
    /// The disk's error.
    pub(super) fn cut(
        &self,
        range: &Range<u64>,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> io::Result<Vec<Bytes>> {
        let pieces = match self {
            Self::InMemory(batch) => batch.cut(range),
            Self::OnDisk(file) => vec![file.cut(range, room)?],
        };
        Ok(pieces.into_iter().flat_map(split).collect())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_batch_gives_the_same_bytes_from_memory_and_from_disk() {
        let batch = Batch {
            start: 10,
            chunks: vec![Bytes::from_static(b"0123"), Bytes::from_static(b"45678")],
        };
        let scratch = tempfile::tempdir().unwrap();
        let disk = Arc::new(Semaphore::new(9));
        let room = Arc::clone(&disk).try_acquire_many_owned(9).unwrap();
        let file = BatchBytes::OnDisk(batch.write(scratch.path(), 0, room).unwrap());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        let memory = BatchBytes::InMemory(batch.clone());
        for range in [0..11, 10..19, 12..15, 13..14, 18..30, 0..10, 19..30] {
            let read = |kept: &BatchBytes| kept.cut(&range, None).unwrap().concat();
            assert_eq!(read(&memory), read(&file), "{range:?}");
            let bytes = u64::try_from(read(&file).len()).unwrap();
            assert_eq!(file.bytes_to_read(&range), bytes, "{range:?}");
        }
        let memory = Arc::new(Semaphore::new(3));
        let room = Arc::clone(&memory).try_acquire_many_owned(3).unwrap();
        let piece = file.cut(&(12..15), Some(Arc::new(room))).unwrap();
        drop(file);
        assert_eq!(
            (disk.available_permits(), memory.available_permits()),
            (9, 0)
        );
        drop(piece);
        assert_eq!(memory.available_permits(), 3);
        let room = Arc::clone(&disk).try_acquire_many_owned(1).unwrap();
        let full = batch.write(scratch.path(), u64::MAX, room);
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let room = disk.try_acquire_many_owned(1).unwrap();
        let nowhere = batch.write(&scratch.path().join("nowhere"), 0, room);
        assert_eq!(nowhere.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
