//! Describes a file for a message that refers to it.

use std::fs::File as OsFile;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use sha2::digest::Output;
use sha2::{Digest, Sha256 as Hasher};

use super::body::Source;
use super::record::{Entry, State};
use super::{Journal, JournalError, at, room_of};
use crate::file::{FileId, FileMeta, Window};
use crate::store::Sha256;

/// The bytes that are hashed at once.
const PIECE: usize = 256 * 1024;

/// A file that this journal has, for a message that refers to it.
#[derive(Debug, Clone)]
pub struct Outlined {
    /// Its description.
    pub meta: FileMeta,
    /// The subject of the token that it was uploaded with.
    pub sub: Option<Arc<str>>,
    /// The digest of its bytes.
    pub sha256: Sha256,
}

impl Journal {
    /// Describes a file that is here; `None` if there is none, if it is a package, or if `may_use`
    /// refuses its subject. It hashes the file's bytes unless their digest is known, and unless they
    /// are refused.
    ///
    /// # Errors
    /// An error, if the record or the body cannot be read.
    pub fn outline(
        &self,
        id: FileId,
        may_use: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<Option<Outlined>, JournalError> {
        let found = match self.unless_stored(id, self.read(id)) {
            Err(JournalError::Absent(_)) => return Ok(None),
            found => found?,
        };
        let Entry::File(file) = found.reading.entry() else {
            return Ok(None);
        };
        let is_here = room_of(found.known.phase).is_some() && !found.known.is_leaving;
        let is_part = is_here && file.belonging.package.is_none();
        if !is_part || !may_use(file.belonging.sub.as_deref()) {
            return Ok(None);
        }
        let settled = match &file.state {
            State::Settled(settled) => Some(settled.sha256),
            State::Waiting | State::Deferred { .. } | State::Held(_) => None,
        };
        let sha256 = match settled.or(file.stated) {
            Some(known) => known,
            None => match self.open_body(id, &found) {
                Err(JournalError::Absent(_)) => return Ok(None),
                Ok(Source::File(body, window)) => {
                    hash(&body, window).map_err(at(id, "hash the body"))?
                }
                Ok(Source::Memory(bytes)) => Sha256(Hasher::digest(&bytes).into()),
                Err(err) => return Err(err),
            },
        };
        Ok(Some(Outlined {
            meta: file.meta.clone(),
            sub: file.belonging.sub.clone(),
            sha256,
        }))
    }
}

/// The SHA-256 of a range of a file.
pub(super) fn hash(body: &OsFile, window: Window) -> io::Result<Sha256> {
    Ok(Sha256(digest::<Hasher>(body, window)?.into()))
}

/// The digest of a range of a file.
pub(super) fn digest<D: Digest>(body: &OsFile, window: Window) -> io::Result<Output<D>> {
    let mut hasher = D::new();
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    while done < window.length {
        let left = usize::try_from(window.length - done).unwrap_or(PIECE);
        let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
        body.read_exact_at(piece, window.offset + done)?;
        hasher.update(&*piece);
        done += u64::try_from(piece.len()).unwrap_or_default();
    }
    Ok(hasher.finalize())
}
