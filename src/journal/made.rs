//! Uploads that become the files of a form, or a message: their bodies are read when they are whole,
//! and the files are adopted as those of any form.
//!
//! 1. The last append makes all bytes durable ([`Journal::append`] returns
//!    [`Whole`](super::Appended::Whole)). The upload stays open at its length.
//! 2. The caller reads the body ([`Journal::body_of_upload`]) and adopts what is in it, under a key that is
//!    the same each time. The files get names of the same bytes.
//! 3. [`Journal::made`] notes that key with the upload. Its own name of the bytes goes.
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 1 | the upload, open at its length | keeps it; an empty append asks for 2 again |
//! | 2 | that, and the promise | the same; 2 finds its answer by the key |
//! | 3 queued | either | goes on from it |
//! | 3 | the upload with its key, perhaps with its body | removes the body; tells the answer until the upload lapses |

use std::any::Any;

use super::idempotency::{Known, Running};
use super::record::{Growth, Upload};
use super::upload::{MadeFiles, MadeUpload, UploadError};
use super::volume::if_there;
use super::{Adopted, Journal, JournalError, at, point};
use crate::file::FileId;
use crate::spool::SpooledBody;
use crate::store::Sha256;

impl Journal {
    /// Holds an upload: until the result is dropped, no append grows it, and no other request that is sent
    /// under its key ends it.
    ///
    /// # Errors
    /// `Busy` when it is held already, or an append is under way.
    pub fn hold_upload(&self, id: FileId) -> Result<Running<FileId>, UploadError> {
        self.appending.claim(id).ok_or(UploadError::Busy)
    }

    /// The bytes of an upload so far, as a body to adopt.
    ///
    /// # Errors
    /// When it is no upload that may still grow, or cannot be read.
    pub fn body_of_upload(&self, id: FileId) -> Result<SpooledBody, UploadError> {
        let upload = self.find_upload(id)?;
        let body = self.open_growing(id);
        let body = body.and_then(|file| SpooledBody::kept(file, upload.growth.length));
        Ok(body.map_err(at(id, "open the body"))?)
    }

    /// Notes that the answer under this key is that of the upload. Values that are kept for the upload are
    /// kept for the last file of the answer, as all files together have its bytes. Does nothing if it was
    /// noted before.
    ///
    /// # Errors
    /// The disk's error: the upload is open, and can be made again.
    pub fn made(&self, id: FileId, key: Sha256, last: Option<FileId>) -> Result<(), UploadError> {
        let Growth { length, .. } = match self.find_upload(id) {
            Err(UploadError::Made(_)) => return Ok(()),
            found => found?.growth,
        };
        if let Some(last) = last {
            self.pass_shares(id, last);
        }
        let growth = Growth {
            length,
            declared: Some(length),
            lapses: self.now().later(self.limits.upload_lifetime),
            made: Some(key),
        };
        self.promise(id, None, |index, tail| {
            index.grow(id, length, growth, None, tail)
        })?; // 3
        point!("upload.made");
        self.with_tails().remove(&id);
        if let Err(err) = if_there(self.disk().unlink(&self.layout.body(id))) {
            log::warn!("{id}: the body of a complete upload stays until the next start: {err}");
        }
        Ok(())
    }

    /// The files of the answer that was given under a key, whatever was asked; `None` if it is forgotten.
    ///
    /// # Errors
    /// When it exists and the disk does not return it.
    pub fn answer_to(&self, key: Sha256) -> Result<Option<Vec<Adopted>>, JournalError> {
        let known = self.state().keys.find(key, self.now());
        let known: Vec<Known> = known.unwrap_or_default();
        let mut files = Vec::with_capacity(known.len());
        for one in &known {
            let Some((answered, standing)) = self.answer_of(one)? else {
                return Ok(None);
            };
            files.push(Adopted::with(one.id, answered.meta, standing));
        }
        Ok((!files.is_empty()).then_some(files))
    }

    /// Keeps a value beside others while an entry waits for its commit, and then drops it; at once, if the
    /// entry does not wait.
    pub fn keep_while_pending(&self, id: FileId, share: impl Any + Send) {
        let mut state = self.state();
        let known = state.index.get(id);
        if known.is_some_and(|known| known.phase.is_pending()) {
            state.shares.entry(id).or_default().push(Box::new(share));
        }
    }

    fn pass_shares(&self, from: FileId, to: FileId) {
        let mut state = self.state();
        let is_pending = state
            .index
            .get(to)
            .is_some_and(|known| known.phase.is_pending());
        if is_pending && let Some(shares) = state.shares.remove(&from) {
            state.shares.entry(to).or_default().extend(shares);
        }
    }
}

/// An upload that has become something else; `None` if it may still grow.
pub(super) fn made_state(upload: &Upload) -> Option<MadeUpload> {
    Some(MadeUpload {
        length: upload.growth.length,
        becomes: upload.becomes,
        metadata: upload.metadata.clone(),
        sub: upload.sub.clone(),
        files: MadeFiles::Under(upload.growth.made?),
    })
}
