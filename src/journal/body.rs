//! The bytes of an entry where they lie, for the committer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::log;
use crate::file::Window;
use crate::store::{Body, Sha256};

/// An open body: in a file of its own, in that of a form, or in the log. Stays readable whatever
/// becomes of the entry.
#[derive(Debug)]
pub(super) struct OpenBody {
    pub(super) file: Arc<File>,
    /// Where in the file the body is.
    pub(super) window: Window,
    /// What stands before it in the log, to be verified with it; `None` of one that has files, as
    /// nothing was noted of its bytes, and of one that was verified as it was opened.
    pub(super) front: Option<Bytes>,
}

impl Body for OpenBody {
    fn read_exact_at(&self, place: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = u64::try_from(place.len()).map_err(io::Error::other)?;
        let end = offset.checked_add(wanted);
        if end.is_none_or(|end| end > self.window.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(place, self.window.offset + offset)
    }

    fn verify(&self, sha256: Sha256) -> io::Result<()> {
        self.front.as_ref().map_or(Ok(()), |front| {
            log::verify(front, sha256, &self.file, self.window)
        })
    }
}
