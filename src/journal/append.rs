//! Appending to an upload, and completing it.

use std::fs::{File as OsFile, OpenOptions};

use super::adopt::Adopted;
use super::error::at;
use super::idempotency::Standing;
use super::index::Totals;
use super::made::made_state;
use super::outline::{digest, hash};
use super::record::{Becomes, Entry, Growth, Upload};
use super::upload::{Appended, Completion, Ends, UploadError};
use super::volume::if_there;
use super::{AdoptError, Journal, JournalError, point};
use crate::file::{FileId, MediaType, UnixMillis, WholeDigests, Window};
use crate::spool::Received;
use crate::store::Sha256;

/// An append that fits to its upload.
struct Append<'a> {
    id: FileId,
    body: Received<'a>,
    before: Growth,
    growth: Growth,
    /// Whether the upload is whole with it, and becomes something by itself.
    completes: bool,
    /// The number of its bytes, if its frame has them.
    inline: Option<u32>,
}

impl Journal {
    /// Appends a body to an upload that has `from` bytes. The append that is the last one, or reaches
    /// the declared length, completes the upload, unless that is a part or waits for its last append. A
    /// form or a message is then for the caller to read ([`Journal::made`]).
    ///
    /// 1. The upload is claimed: other appends are told `Busy`. It is read, and everything about the
    ///    append is checked.
    /// 2. Admission. If the length of the whole is known, its room was reserved before.
    /// 3. The bytes are written behind the offset, and what stood there is removed. A spool file at
    ///    offset 0 is linked and not copied. If the upload is complete, a stated digest is checked. The
    ///    body is fsynced, and so is the directory of bodies, if the body is new.
    ///    A small append behind another one goes into the frame, too, and is fsynced later: see
    ///    `tail`. Before an empty one, those are fsynced.
    /// 4. One frame tells the new offset, or makes the upload a promised file. It is decided and queued;
    ///    its group is synced.
    ///
    /// The module `upload` tells what a cut leaves. Once begun it runs to its end, even
    /// if the caller stops waiting.
    ///
    /// # Errors
    /// [`UploadError`]; then the upload has the offset that it had, except after `Digest`.
    pub fn append(
        &self,
        id: FileId,
        from: u64,
        body: Received<'_>,
        completion: Completion,
    ) -> Result<Appended, UploadError> {
        self.append_as(id, from, body, completion, None)
    }

    /// Does the same, and gives a completed upload this type instead of the one that its sender claimed.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_as(
        &self,
        id: FileId,
        from: u64,
        body: Received<'_>,
        completion: Completion,
        content_type: Option<MediaType>,
    ) -> Result<Appended, UploadError> {
        let claim = self.appending.claim(id);
        let _claim = claim.ok_or(UploadError::Busy)?;
        let upload = self.find_upload(id)?;
        let append = self.plan(id, &upload, from, body, completion)?; // 1
        let _reserved = self.admit_append(&append)?; // 2
        self.overtake_refused(id)?;
        let file = self.write_tail(&append)?;
        let digests = [upload.stated, completion.stated];
        let whole = file.as_ref().filter(|_| append.completes);
        let whole = whole.map(|file| digest_of(file, append.growth.length, digests));
        let stated = whole.unwrap_or(Ok(None));
        if matches!(stated, Err(UploadError::Digest)) {
            self.end_upload(id)?;
        }
        let stated = stated?;
        if append.inline.is_some() {
            self.with_tails().insert(id);
        } else if let Some(file) = &file {
            self.sync_file(file).map_err(at("fsync the body"))?;
            self.with_tails().remove(&id);
            point!("append.body-fsynced");
            if append.before.length == 0 {
                let changed = self.bodies_sync.changed();
                let synced = self.sync_bodies(changed);
                synced.map_err(at("fsync the bodies' directory"))?;
            }
        } else {
            // To a start, a frame without bytes says that the body has all bytes before it.
            self.sync_tail(id).map_err(at("fsync the body"))?;
            self.with_tails().remove(&id);
        }
        point!("append.bytes-durable"); // 3
        let (before, growth) = (append.before, append.growth);
        let is_made = upload.becomes.is_made();
        let Some(file) = file.filter(|_| append.completes && !is_made) else {
            let inline = append.inline;
            let laid_out = inline.map(|bytes| Self::lay_tail_out(id, growth, append.body, bytes));
            let laid_out = laid_out.transpose().map_err(at("read the body"))?;
            self.promise(id, laid_out, |index, tail| {
                index.grow(id, before.length, growth, inline, tail)
            })?; // 4
            let open = self.open_state(&Upload { growth, ..upload });
            return Ok(if append.completes {
                Appended::Whole(open)
            } else {
                Appended::Grown(open)
            });
        };
        let uploaded = file.metadata().and_then(|about| about.modified());
        let uploaded = UnixMillis::from_system_time(uploaded.map_err(at("read the body's time"))?);
        let mut file = upload.complete(id, growth.length, uploaded, stated);
        if let Some(content_type) = content_type {
            file.meta.content_type = content_type;
        }
        self.promise(id, None, |index, tail| {
            index.complete(id, before.length, &file, tail)
        })?; // 4
        point!("append.promised");
        Ok(Appended::Complete(Adopted::new(id, file.meta)))
    }

    /// The upload, if it may still grow.
    pub(super) fn find_upload(&self, id: FileId) -> Result<Upload, UploadError> {
        let found = match self.read(id) {
            Err(JournalError::Absent(_)) => return Err(UploadError::Absent),
            found => found?,
        };
        match found.reading.entry() {
            Entry::Upload(upload) if upload.growth.lapses <= self.now() => Err(UploadError::Ended),
            Entry::Upload(upload) => match made_state(upload) {
                Some(made) => Err(UploadError::Made(Box::new(made))),
                None => Ok(upload.clone()),
            },
            Entry::File(file) => {
                let standing = Standing::of(found.known.phase);
                let adopted = Adopted::with(id, file.meta.clone(), standing);
                Err(UploadError::Complete(Box::new(adopted)))
            }
            Entry::Tombstone(_) => Err(UploadError::Ended),
            Entry::Intent(_) => Err(UploadError::Absent),
        }
    }

    fn plan<'a>(
        &self,
        id: FileId,
        upload: &Upload,
        from: u64,
        body: Received<'a>,
        completion: Completion,
    ) -> Result<Append<'a>, UploadError> {
        let before = upload.growth;
        if from != before.length {
            return Err(UploadError::Offset(before.length));
        }
        if let (Some(declared), Some(told)) = (before.declared, completion.declared)
            && declared != told
        {
            return Err(UploadError::LengthDiffers { declared });
        }
        let known = before.declared.or(completion.declared);
        let is_last = completion.ends == Ends::Now;
        let length = from.saturating_add(body.length());
        match known {
            Some(declared) if length > declared => return Err(UploadError::TooLong { declared }),
            Some(declared) if is_last && length < declared => {
                return Err(UploadError::LengthDiffers { declared });
            }
            _ => {}
        }
        let declared = known.or(is_last.then_some(length));
        let is_whole = declared == Some(length) && completion.ends != Ends::Later;
        let completes = is_whole && upload.becomes != Becomes::Part;
        // A new name among the bodies has to be synced anyway.
        let is_inline = from > 0 && !completes && body.length() > 0 && self.is_small(body.length());
        Ok(Append {
            id,
            body,
            before,
            growth: Growth {
                length,
                declared,
                lapses: self.now().later(self.limits.upload_lifetime),
                made: None,
            },
            completes,
            inline: u32::try_from(body.length()).ok().filter(|_| is_inline),
        })
    }

    /// Step 2.
    fn admit_append(&self, append: &Append<'_>) -> Result<impl Sized, AdoptError> {
        let more = append.growth.room() - append.before.room();
        let coming = Totals {
            entries: 0,
            ..Totals::of(more)
        };
        let free = self.free().map_err(at("ask for free space"))?;
        let expected = append.growth.room() - append.growth.length;
        if more > 0 && expected > 0 {
            self.check_open(&self.state().index, free, expected, None)?;
        }
        if more > 0 {
            Ok(Some(self.admit_into(free, coming)?))
        } else {
            self.check_log()?;
            Ok(None)
        }
    }

    /// Step 3 without the syncs. Returns the body; `None` if it is as it was.
    fn write_tail(&self, append: &Append<'_>) -> Result<Option<OsFile>, UploadError> {
        let Append { id, body, .. } = *append;
        let (from, length) = (append.before.length, body.length());
        if length == 0 && !append.completes {
            return Ok(None);
        }
        let path = self.layout.body(id);
        if from == 0 {
            // An append that was refused may have left the name.
            if_there(self.disk().unlink(&path)).map_err(at("remove a refused body"))?;
            let placed = match body {
                Received::Spooled(body) => self
                    .disk()
                    .link(body.file(), &path)
                    .and_then(|()| body.file().try_clone()),
                Received::Inline(bytes) => self.disk().create(&path, bytes),
            };
            return Ok(Some(placed.map_err(at("place the body"))?));
        }
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(super::at(id, "open the body"))?;
        let about = file.metadata().map_err(super::at(id, "open the body"))?;
        if about.len() < from {
            let reason = format!("the body has {} of {from} bytes", about.len());
            return Err(JournalError::Unreadable { id, reason }.into());
        }
        if about.len() > from {
            let cut = self.disk().truncate(&file, from);
            cut.map_err(at("remove refused bytes"))?;
        }
        match body {
            Received::Spooled(body) => {
                // It gets no second name, which would tell another claim that it is taken.
                body.mark_taken().map_err(at("mark the spool file"))?;
                self.disk().copy(body.file(), &file, from, length)
            }
            Received::Inline(bytes) => self.disk().write_at(&file, &[bytes], from),
        }
        .map_err(at("write the body"))?;
        Ok(Some(file))
    }
}

/// Hashes a whole upload, if a digest of it is stated. Returns its SHA-256.
fn digest_of(
    file: &OsFile,
    length: u64,
    stated: [WholeDigests; 2],
) -> Result<Option<Sha256>, UploadError> {
    if stated == <[WholeDigests; 2]>::default() {
        return Ok(None);
    }
    let whole = Window::whole(length);
    let sha256 = hash(file, whole).map_err(at("hash the body"))?;
    let mut of_256 = stated.iter().filter_map(|stated| stated.sha256);
    let mut is_right = of_256.all(|stated| stated == sha256);
    let mut of_512 = stated.iter().filter_map(|stated| stated.sha512).peekable();
    if of_512.peek().is_some() {
        let sha512 = digest::<sha2::Sha512>(file, whole).map_err(at("hash the body"))?;
        is_right &= of_512.all(|stated| stated.0[..] == sha512[..]);
    }
    if is_right {
        Ok(Some(sha256))
    } else {
        Err(UploadError::Digest)
    }
}
