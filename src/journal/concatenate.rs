//! Puts partial uploads together to one file.

use super::adopt::{Adopted, Draft};
use super::error::at;
use super::outline::hash;
use super::record::{Becomes, Entry, Upload};
use super::upload::UploadError;
use super::{Journal, JournalError, point};
use crate::file::{FileId, Window};
use crate::spool::Received;

impl Journal {
    /// Promises a file that is made of complete partial uploads, one behind the other. They stay as they
    /// are until they end or expire, and can be put together again.
    ///
    /// 1. Each of them is read, and the whole is admitted.
    /// 2. A new body gets a name, and their bytes are copied into it. The file system may share the
    ///    blocks. A stated digest is checked.
    /// 3. The body and the directory of bodies are fsynced.
    /// 4. The frame is decided and queued; its group is synced: this is the promise.
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1 to 3 | perhaps a body without an entry | removes it |
    /// | 4 queued | the file, or that body | keeps the file, or removes the body |
    ///
    /// Once begun it runs to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// [`UploadError::Part`] names the first part that is no complete partial upload; then nothing of
    /// the file is kept, nor after the other errors.
    pub fn concatenate(&self, parts: &[FileId], draft: Draft) -> Result<Adopted, UploadError> {
        let mut lengths = Vec::with_capacity(parts.len());
        for &part in parts {
            lengths.push(self.whole_part(part)?);
        }
        let length = lengths.iter().copied().fold(0, u64::saturating_add);
        self.check_admission(length)?;
        let _reserved = self.admit(draft.totals(length))?; // 1
        let placed = self.place_body(Received::Inline(&[]))?;
        point!("concatenate.body-placed");
        let mut offset = 0;
        for (&part, length) in parts.iter().zip(lengths) {
            if length > 0 {
                let from = std::fs::File::open(self.layout.body(part));
                // It may have ended since.
                let from = from.map_err(|_| UploadError::Part(part))?;
                let copied = self.disk().copy(&from, placed.file(), offset, length);
                copied.map_err(at("copy a part"))?;
            }
            offset += length;
        }
        point!("concatenate.copied"); // 2
        let whole = Window::whole(length);
        if let Some(stated) = draft.stated {
            let found = hash(placed.file(), whole).map_err(at("hash the body"))?;
            if found != stated {
                return Err(UploadError::Digest);
            }
        }
        Ok(self.promise_placed(placed, whole, draft)?) // 3 and 4
    }

    /// The length of a complete partial upload.
    fn whole_part(&self, id: FileId) -> Result<u64, UploadError> {
        match self.upload(id)? {
            Some(Upload {
                growth,
                becomes: Becomes::Part,
                ..
            }) if growth.declared == Some(growth.length) => Ok(growth.length),
            Some(_) | None => Err(UploadError::Part(id)),
        }
    }

    /// An upload that may still grow; `None` if it is none, or has expired.
    ///
    /// # Errors
    /// When its record exists and cannot be read.
    pub(super) fn upload(&self, id: FileId) -> Result<Option<Upload>, JournalError> {
        let found = match self.read(id) {
            Err(JournalError::Absent(_)) => return Ok(None),
            found => found?,
        };
        Ok(match found.reading.entry() {
            Entry::Upload(upload) if upload.growth.lapses > self.now() => Some(upload.clone()),
            Entry::Upload(_) | Entry::File(_) | Entry::Tombstone(_) | Entry::Intent(_) => None,
        })
    }
}
