//! Adopting: turns a received body into a promise.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::error::at;
use super::idempotency::{Fingerprint, Standing};
use super::index::{Coming, Totals};
use super::memory::News;
use super::place::Placed;
use super::record::{Answer, Body, File, LogTime, PartOf, State, Subject};
use super::step::{LaidOut, StepError};

use super::{AdoptError, Journal, point};
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis, Window};
use crate::message::Belonging;
use crate::spool::Received;
use crate::store::Sha256;

/// The description of an upload by its sender.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name; without one the file is named after its id.
    pub filename: Option<FileName>,
    /// Its type.
    pub content_type: MediaType,
    /// Other texts of its sender.
    pub metadata: Metadata,
    /// The request that it answers, if the request has a key.
    pub request: Option<Fingerprint>,
    /// The subject that has it among its pending bytes.
    pub subject: Subject,
    /// The subject of the token that it is uploaded with.
    pub sub: Option<Arc<str>>,
    /// The digest that its sender stated and that was checked. The commit checks the body against it
    /// again.
    pub stated: Option<Sha256>,
    /// The digest of its bytes, if they were hashed already: the log does not hash them again.
    pub sha256: Option<Sha256>,
}

#[cfg(test)]
impl Draft {
    /// An upload without a name, a type or a key, by nobody, for the unit tests of all rooms.
    pub(crate) fn sample() -> Self {
        Self {
            filename: None,
            content_type: MediaType::octet_stream(),
            metadata: Metadata::default(),
            request: None,
            subject: Subject::default(),
            sub: None,
            stated: None,
            sha256: None,
        }
    }
}

/// The approximate size of a record without its metadata, in bytes: enough for the longest name and
/// type.
const RECORD_BYTES: u64 = 1024;

/// The approximate size of the record of a file with this metadata, in bytes.
pub fn record_bytes(metadata: &Metadata) -> u64 {
    RECORD_BYTES + metadata.weight()
}

/// A promise. It is made only after the last sync, and a 201 is rendered from nothing else.
#[derive(Debug)]
pub struct Adopted {
    pub(super) id: FileId,
    pub(super) meta: FileMeta,
    pub(super) standing: Standing,
}

impl Adopted {
    pub(super) fn new(id: FileId, meta: FileMeta) -> Self {
        Self::with(id, meta, Standing::Pending)
    }

    pub(super) fn with(id: FileId, meta: FileMeta, standing: Standing) -> Self {
        Self { id, meta, standing }
    }

    /// A promise of another node, by that node's word.
    pub fn at_another_node(id: FileId, meta: FileMeta, standing: Standing) -> Self {
        Self::with(id, meta, standing)
    }

    /// The file's id.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The file's description.
    pub fn meta(&self) -> &FileMeta {
        &self.meta
    }

    /// Its standing when this value was made.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Notes a newer standing.
    pub fn set_standing(&mut self, standing: Standing) {
        self.standing = standing;
    }
}

/// A file that is about to be an entry.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) coming: Coming,
    /// The answer for its sender once it is a promise.
    pub(super) adopted: Adopted,
    pub(super) news: Option<News>,
}

impl Draft {
    /// The name of the file that gets this id.
    pub(super) fn name_of(&self, id: FileId) -> FileName {
        let name = self.filename.clone();
        name.unwrap_or_else(|| FileName::of_id(id))
    }

    /// The size of its file and the approximate size of its record.
    pub(super) fn totals(&self, length: u64) -> Totals {
        Totals {
            record_bytes: record_bytes(&self.metadata) + self.sub_bytes(),
            ..Totals::of(length)
        }
    }

    fn sub_bytes(&self) -> u64 {
        let bytes = self.sub.as_ref().map_or(0, |sub| sub.len());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The entry for this draft.
    pub(super) fn file(
        self,
        id: FileId,
        body: Body,
        length: u64,
        uploaded: SystemTime,
        now: LogTime,
    ) -> File {
        let part = PartOf {
            first: id,
            position: 0,
            files: 1,
        };
        File {
            meta: FileMeta {
                filename: self.filename.unwrap_or_else(|| FileName::of_id(id)),
                content_type: self.content_type,
                length,
                uploaded: UnixMillis::from_system_time(uploaded),
                metadata: self.metadata,
                revision: None,
            },
            body,
            stated: self.stated,
            subject: self.subject,
            answer: self.request.map(|request| Answer {
                request: request.answered(now),
                part,
            }),
            state: State::Waiting,
            belonging: Belonging {
                sub: self.sub,
                ..Belonging::default()
            },
        }
    }
}

impl Journal {
    /// Whether a body of this length is kept in the log.
    pub fn is_small(&self, length: u64) -> bool {
        let limit = self.limits.log_body_bytes;
        limit > 0 && length <= limit.into()
    }

    /// Adopts a body. A small one:
    ///
    /// 1. Admission: the journal is not poisoned, and is below its watermarks.
    /// 2. Record and body are laid out in a frame, in memory.
    /// 3. The frame is decided and queued; its group is synced: this is the promise.
    ///
    /// Any other body:
    ///
    /// 1. Admission.
    /// 2. The body gets a name of its own among the bodies. A body that came with the head of its
    ///    request is written there.
    /// 3. The body is fsynced: its bytes, and the time from which its entity tag is made.
    /// 4. The directory of bodies is fsynced: from now on the body survives. An fsync for another
    ///    upload does as well, if it began after step 2 of this one and has succeeded.
    /// 5. The frame is decided and queued; its group is synced: this is the promise.
    ///
    /// Once begun it runs to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// [`AdoptError`]; then nothing of the upload is kept.
    pub fn adopt<'a>(
        &self,
        body: impl Into<Received<'a>>,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        let body = body.into();
        let length = body.length();
        let reserved = self.admit(draft.totals(length))?; // 1
        if self.is_small(length) {
            let (new, laid_out) = self.lay_out(body, draft)?;
            let landing = self.decide(Some(laid_out), new.news, |index, tail| {
                index.come(&new.coming, tail)
            })?;
            drop(reserved);
            landing.land().map_err(StepError::from)?;
            return Ok(new.adopted);
        }
        let adopted = self.adopt_linked(body, Window::whole(length), draft);
        drop(reserved);
        adopted
    }

    /// Steps 2 to 5, for a part of a body or the whole.
    pub(super) fn adopt_linked(
        &self,
        body: Received<'_>,
        window: Window,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        let placed = self.place_body(body)?; // 2
        point!("adopt.body-placed");
        self.promise_placed(placed, window, draft)
    }

    /// Steps 3 to 5.
    pub(super) fn promise_placed(
        &self,
        mut placed: Placed<'_>,
        window: Window,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        self.sync_placed(&placed)?; // 3 and 4
        let id = placed.id;
        let offset = window.offset;
        let uploaded = placed.modified().map_err(at("read the body's time"))?;
        let file = draft.file(
            id,
            Body::Linked { offset },
            window.length,
            uploaded,
            self.now(),
        );
        let new = NewFile::of(id, file)?;
        placed.spoken_of();
        let landing = self.decide(None, new.news, |index, tail| index.come(&new.coming, tail))?; // 5
        landing.land().map_err(StepError::from)?;
        placed.keep();
        point!("adopt.promised");
        Ok(new.adopted)
    }

    /// Step 2 for a small body.
    pub(super) fn lay_out(
        &self,
        body: Received<'_>,
        draft: Draft,
    ) -> Result<(NewFile, LaidOut), AdoptError> {
        if let Received::Spooled(body) = body {
            // A small body gets no second name, which would tell another claim that it is taken.
            body.mark_taken().map_err(at("mark the spool file"))?;
        }
        let id = self.free_id();
        let known = [draft.sha256];
        let file = draft.file(id, Body::Inline, body.length(), body.modified(), self.now());
        let new = NewFile::of(id, file)?;
        let laid_out = LaidOut::new(new.coming.frame(), &known, |into| {
            body.read_exact_at(into, 0)
        });
        Ok((new, laid_out.map_err(at("read the body"))?))
    }
}

impl NewFile {
    fn of(id: FileId, file: File) -> Result<Self, AdoptError> {
        let adopted = Adopted::new(id, file.meta.clone());
        let news = file.answer.map(|answer| News::Learn(vec![(id, answer)]));
        let coming = Coming::file(id, file);
        Ok(Self {
            coming: coming.map_err(|err| at("lay the record out")(io::Error::other(err)))?,
            adopted,
            news,
        })
    }
}
