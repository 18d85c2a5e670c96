//! The bytes of an entry, as the committer reads them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::index::Phase;
use super::memory::Memory;
use crate::file::{FileId, Window};
use crate::store::{Body, Sha256};

/// An open body. It stays readable after every change of the entry, with one exception: once the
/// entry is deleted, only the first bytes can be read, so that a commit ends with its next batch.
#[derive(Debug)]
pub(super) struct OpenBody {
    pub(super) id: FileId,
    pub(super) memory: Arc<Memory>,
    pub(super) bytes: Source,
    /// The digest that its sender stated, and that was checked on arrival.
    pub(super) stated: Option<Sha256>,
}

/// The place of the bytes.
#[derive(Debug)]
pub(super) enum Source {
    File(File, Window),
    /// In memory; the log has checked the digest.
    Memory(Bytes),
}

impl OpenBody {
    fn is_deleted(&self) -> bool {
        let known = self.memory.lock().index.get(self.id);
        known.is_some_and(|known| known.phase == Phase::Deleted)
    }
}

impl Body for OpenBody {
    fn read_exact_at(&self, place: &mut [u8], offset: u64) -> io::Result<()> {
        // A body that is read at once may as well be written and then erased.
        if offset > 0 && self.is_deleted() {
            return Err(io::Error::other("the file was deleted meanwhile"));
        }
        let end = |length: u64| {
            let wanted = u64::try_from(place.len()).map_err(io::Error::other)?;
            let end = offset.checked_add(wanted).filter(|&end| end <= length);
            end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        };
        match &self.bytes {
            Source::File(file, window) => {
                end(window.length)?;
                file.read_exact_at(place, window.offset + offset)
            }
            Source::Memory(bytes) => {
                let end = end(u64::try_from(bytes.len()).map_err(io::Error::other)?)?;
                let [begin, end] = [offset, end].map(usize::try_from);
                let range = begin.map_err(io::Error::other)?..end.map_err(io::Error::other)?;
                let found = bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
                place.copy_from_slice(found);
                Ok(())
            }
        }
    }

    fn verify(&self, sha256: Sha256) -> io::Result<()> {
        match self.stated {
            Some(stated) if stated != sha256 => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the body is not the one whose digest was checked when it came",
            )),
            Some(_) | None => Ok(()),
        }
    }
}
