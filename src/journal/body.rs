//! The bytes of an entry where they lie, for the committer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::layout::Room;
use super::log;
use super::rooms::Index;
use crate::file::{FileId, Window};
use crate::store::{Body, Sha256};

/// An open body: in a file of its own, in that of a form, or in the log. Stays readable whatever
/// becomes of the entry, but for one: when it is deleted nothing behind its first bytes is read any
/// more, so that its commit ends with the next batch.
#[derive(Debug)]
pub(super) struct OpenBody {
    pub(super) id: FileId,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) file: Arc<File>,
    /// Where in the file the body is.
    pub(super) window: Window,
    /// What stands before it in the log, to be verified with it; `None` of one that has files, as
    /// nothing was noted of its bytes, and of one that was verified as it was opened.
    pub(super) front: Option<Bytes>,
}

impl OpenBody {
    fn is_deleted(&self) -> bool {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = index.get(self.id);
        slot.is_some_and(|slot| slot.room == Room::Deleted)
    }
}

impl Body for OpenBody {
    fn read_exact_at(&self, place: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = u64::try_from(place.len()).map_err(io::Error::other)?;
        let end = offset.checked_add(wanted);
        if end.is_none_or(|end| end > self.window.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A body that is read at once is as well written as not, and erased.
        if offset > 0 && self.is_deleted() {
            return Err(io::Error::other("the file was deleted meanwhile"));
        }
        self.file.read_exact_at(place, self.window.offset + offset)
    }

    fn verify(&self, sha256: Sha256) -> io::Result<()> {
        self.front.as_ref().map_or(Ok(()), |front| {
            log::verify(front, sha256, &self.file, self.window)
        })
    }
}
