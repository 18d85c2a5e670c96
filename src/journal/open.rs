//! Opens uploads, tells their state, and ends them.

use std::fs::File as OsFile;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::adopt::Adopted;
use super::error::at;
use super::idempotency::Standing;
use super::index::{Coming, Refused, Totals};
use super::made::made_state;
use super::memory::News;
use super::record::{Answer, Entry, Growth, PartOf, Subject, Upload};
use super::step::{LaidOut, StepError};
use super::upload::{OpenUpload, UploadDraft, UploadState};
use super::{AdoptError, Journal, JournalError, point};
use crate::file::{FileId, UnixMillis, WholeDigests};

impl Journal {
    /// Begins an upload. Returns its id, which is that of the file that it becomes, and the time at
    /// which it ends if nothing comes. An upload of no bytes becomes a file by an append of none.
    ///
    /// 1. Admission: its whole length gets room, if it is known.
    /// 2. The frame is decided and queued; its group is synced.
    ///
    /// Once begun it runs to its end.
    ///
    /// # Errors
    /// [`AdoptError`]; `Full` also if too many uploads are open, or if they expect too many bytes. Then
    /// nothing of it is kept.
    pub fn open_upload(&self, upload: UploadDraft) -> Result<(FileId, UnixMillis), AdoptError> {
        let UploadDraft {
            draft,
            declared,
            becomes,
            sha512,
        } = upload;
        let free = self.free().map_err(at("ask for free space"))?;
        let room = declared.unwrap_or_default();
        let _reserved = self.admit_ahead(free, draft.totals(room))?; // 1
        let id = self.free_id();
        let now = self.now();
        let growth = Growth {
            length: 0,
            declared,
            lapses: now.later(self.limits.upload_lifetime),
            made: None,
        };
        let part = PartOf {
            first: id,
            position: 0,
            files: 1,
        };
        let answer = draft.request.map(|request| Answer {
            request: request.answered(now),
            part,
        });
        let subject = draft.subject;
        let coming = Coming::upload(
            id,
            Upload {
                filename: draft.filename,
                content_type: draft.content_type,
                metadata: draft.metadata,
                begun: UnixMillis::now(),
                growth,
                subject,
                sub: draft.sub,
                answer,
                stated: WholeDigests {
                    sha256: draft.stated,
                    sha512,
                },
                becomes,
            },
        );
        let refused = |err| StepError::Refused(Refused::Record(err));
        let coming = coming.map_err(refused)?;
        let laid_out = LaidOut::new(coming.frame(), &[], |_| Ok(()));
        let laid_out = laid_out.map_err(at("lay the upload out"))?;
        let news = answer.map(|answer| News::Learn(vec![(id, answer)]));
        let mut full = None;
        let decided = self.decide(Some(laid_out), news, |index, tail| {
            full = self.check_open(index, free, room, Some(subject)).err();
            if full.is_some() {
                return Err(Refused::NotQueued);
            }
            index.come(&coming, tail)
        });
        if let Some(full) = full {
            return Err(full);
        }
        decided?.land().map_err(StepError::from)?; // 2
        point!("upload.opened");
        Ok((id, self.to_wall_time(growth.lapses)))
    }

    /// The state of an upload; `None` if nothing of it is here.
    ///
    /// # Errors
    /// When its record exists and cannot be read.
    pub fn upload_state(&self, id: FileId) -> Result<Option<UploadState>, JournalError> {
        let found = match self.read(id) {
            Err(JournalError::Absent(_)) => return Ok(None),
            found => found?,
        };
        Ok(match found.reading.entry() {
            Entry::Upload(upload) if upload.growth.lapses <= self.now() => Some(UploadState::Ended),
            Entry::Upload(upload) => Some(match made_state(upload) {
                Some(made) => UploadState::Made(made),
                None => UploadState::Open(self.open_state(upload)),
            }),
            Entry::File(file) => Some(UploadState::Complete {
                adopted: Adopted::with(id, file.meta.clone(), Standing::of(found.known.phase)),
                sub: file.belonging.sub.clone(),
            }),
            Entry::Tombstone(_) => Some(UploadState::Ended),
            Entry::Intent(_) => None,
        })
    }

    pub(super) fn open_state(&self, upload: &Upload) -> OpenUpload {
        OpenUpload {
            offset: upload.growth.length,
            declared: upload.growth.declared,
            lapses: self.to_wall_time(upload.growth.lapses),
            begun: upload.begun,
            filename: upload.filename.clone(),
            content_type: upload.content_type.clone(),
            metadata: upload.metadata.clone(),
            sub: upload.sub.clone(),
            subject: upload.subject,
            becomes: upload.becomes,
        }
    }

    /// Reads the first bytes of an upload. It must have as many.
    ///
    /// # Errors
    /// When the disk does not return them.
    pub fn read_upload(&self, id: FileId, into: &mut [u8]) -> io::Result<()> {
        if into.is_empty() {
            return Ok(());
        }
        self.open_growing(id)?.read_exact_at(into, 0)
    }

    /// Opens the bytes of an upload that has some. Those below an offset that was told never change, also
    /// when the upload is complete or has ended.
    ///
    /// # Errors
    /// The disk's error; `NotFound` if the upload has left the journal.
    pub fn open_growing(&self, id: FileId) -> io::Result<OsFile> {
        OsFile::open(self.layout.body(id))
    }

    /// Ends an upload that may still grow; its bytes go. Returns whether there was one. An append that
    /// runs at this moment is told that the upload has ended.
    ///
    /// 1. A tombstone is decided, queued and synced: no append brings the upload back.
    /// 2. The body is unlinked. The committer erases the tombstone ([`Journal::erase`]).
    ///
    /// # Errors
    /// The disk's error; then the upload is as it was.
    pub fn end_upload(&self, id: FileId) -> Result<bool, JournalError> {
        match self.step(|index, tail| index.end(id, self.now(), tail)) {
            Ok(()) => {} // 1
            Err(StepError::Refused(Refused::Absent | Refused::Is(_))) => return Ok(false),
            Err(err) => return Err(err.of(id, "note the end of an upload")),
        }
        self.with_tails().remove(&id);
        point!("upload.ended");
        if let Err(err) = self.unlink_body(id) {
            log::warn!("{id}: the body of an ended upload stays for now: {err}");
        } // 2
        Ok(true)
    }

    /// Ends the uploads that have stood still for too long, except those with an append under way.
    /// Returns their number.
    ///
    /// # Errors
    /// As [`Journal::end_upload`]; the next call goes on.
    pub fn end_expired_uploads(&self) -> Result<usize, JournalError> {
        let expired = self.state().index.expired(self.now());
        let mut ended = 0;
        for id in expired {
            // Nothing grows it while this is held.
            if let Some(_claim) = self.appending.claim(id) {
                let is_expired = self.state().index.expired_one(id, self.now());
                ended += usize::from(is_expired && self.end_upload(id)?);
            }
        }
        Ok(ended)
    }

    /// The number of open uploads, and the bytes that have come of them.
    pub fn open_uploads(&self) -> Totals {
        let index = &self.state().index;
        Totals {
            entries: index.open_uploads(Subject::default()).0,
            ..Totals::of(index.arrived_bytes())
        }
    }
}
