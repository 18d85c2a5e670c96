//! Takes in uploads that survive a broken connection: they are begun, looked at, and ended.
//! [`Intake::append`] lets them grow.
//!
//! An upload belongs to the subject of the token that it was begun with. For any other caller it is
//! absent. Without subjects, its id is the right to it.

use std::sync::Arc;

use tokio::task::{spawn, spawn_blocking};

use super::fingerprint;
use super::key_claim::{KeyClaim, Keyed};
use super::{ClaimedType, Intake, IntakeError, Sender};
use crate::file::{FileId, FileName, MediaType, Metadata, WholeDigests};
use crate::journal::{
    Adopted, Becomes, Draft, Fingerprint, MadeFiles, MadeUpload, OpenUpload, Running, UploadDraft,
    UploadError, UploadState, record_bytes,
};
use crate::token::Scope;

/// The sender's statements about an upload that begins.
#[derive(Debug)]
pub struct NewUpload {
    /// Its sender.
    pub sender: Sender,
    /// The claimed type.
    pub content_type: ClaimedType,
    /// Its name, if it has one.
    pub filename: Option<FileName>,
    /// Metadata that is kept with it.
    pub metadata: Metadata,
    /// The idempotency key under which the request may come again.
    pub key: Option<String>,
    /// The length of the whole in bytes, if it is known.
    pub declared: Option<u64>,
    /// The thing that it becomes when it is whole.
    pub becomes: Becomes,
    /// The digests of the whole, as far as they are stated.
    pub whole: WholeDigests,
}

/// An upload of a caller, as it is now.
#[derive(Debug)]
pub enum CurrentUpload {
    /// It may still grow.
    Open(OpenUpload),
    /// It is a promised file.
    Complete(Adopted),
    /// It is the files of a form, or a message.
    Made(MadeUpload),
}

impl CurrentUpload {
    /// The thing that it becomes, or has become.
    pub fn becomes(&self) -> Becomes {
        match self {
            Self::Open(open) => open.becomes,
            Self::Complete(_) => Becomes::File,
            Self::Made(made) => made.becomes,
        }
    }

    /// One that has become these files at a node that has left. `whole` is the upload itself.
    fn of_node_that_left(whole: &Adopted, becomes: Becomes, files: Vec<Adopted>) -> Self {
        Self::Made(MadeUpload {
            length: whole.meta().length,
            becomes,
            metadata: whole.meta().metadata.clone(),
            sub: None,
            files: MadeFiles::These(files),
        })
    }

    /// Whether a token allows what it becomes.
    pub(super) fn may_be_seen_by(&self, sender: &Sender) -> bool {
        sender.grant.allows_new(match self.becomes() {
            Becomes::Message => Scope::Message,
            Becomes::File | Becomes::Part | Becomes::Form => Scope::Upload,
        })
    }
}

/// An upload that was opened, now or before.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: FileId,
    pub(super) current: CurrentUpload,
    /// The key of a new one: while this lives, no other request under the key is carried out.
    pub(super) running: Option<Running>,
}

impl Intake {
    /// Checks an upload that wants to begin, before its first bytes come. `length` is the number of
    /// these bytes. One that was begun under its key before has its room already.
    ///
    /// # Errors
    /// When it is too long, or its sender has too many bytes pending, or there is no room.
    pub async fn admit_upload(
        &self,
        sender: &Sender,
        declared: Option<u64>,
        length: u64,
        key: Option<&str>,
        is_expected: bool,
    ) -> Result<(), IntakeError> {
        let whole = declared.unwrap_or_default().max(length);
        self.check_length(sender, whole)?;
        let before = key.and_then(|key| self.room_under(sender, key));
        self.reserve_for(sender, whole, before.unwrap_or_default())?;
        if before.is_none() {
            let free = self.free().await?;
            let subject = sender.number();
            self.journal.check_upload(free, whole, subject)?;
        }
        self.check_room(length, is_expected).await
    }

    /// Begins an upload. One that was begun under the same key before is found again, with what it has
    /// got since. Runs to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// When nothing of it is kept.
    pub async fn open_upload(
        self: &Arc<Self>,
        upload: NewUpload,
    ) -> Result<(FileId, CurrentUpload), IntakeError> {
        let opened = spawn(Arc::clone(self).open(upload)).await??;
        Ok((opened.id, opened.current))
    }

    pub(super) async fn open(self: Arc<Self>, upload: NewUpload) -> Result<Opened, IntakeError> {
        let draft = upload.draft()?;
        let NewUpload {
            sender,
            declared,
            becomes,
            ..
        } = upload;
        let found = |id, current| Opened {
            id,
            current,
            running: None,
        };
        let running = match self.claim_key(draft.request.map(Keyed::from)).await? {
            KeyClaim::New(running) => running,
            KeyClaim::Open(id, Some(open)) => return Ok(found(id, CurrentUpload::Open(*open))),
            KeyClaim::Open(id, None) => {
                let current = spawn_blocking(move || self.current(&sender, id));
                return Ok(found(id, current.await??));
            }
            KeyClaim::Answered(mut answer) if becomes.is_made() && !answer.is_empty() => {
                let whole = answer.remove(0);
                let made = CurrentUpload::of_node_that_left(&whole, becomes, answer);
                return Ok(found(whole.id(), made));
            }
            KeyClaim::Answered(answer) => {
                let before = answer.into_iter().next();
                let before = before.ok_or(UploadError::Absent)?;
                return Ok(found(before.id(), CurrentUpload::Complete(before)));
            }
        };
        let upload = UploadDraft {
            draft,
            declared,
            becomes,
            sha512: upload.whole.sha512,
        };
        spawn_blocking(move || {
            let (id, current) = self.open_new(&sender, upload)?;
            Ok(Opened {
                id,
                current,
                running,
            })
        })
        .await?
    }

    /// Blocks.
    pub(super) fn open_new(
        &self,
        sender: &Sender,
        upload: UploadDraft,
    ) -> Result<(FileId, CurrentUpload), IntakeError> {
        let records = record_bytes(&upload.draft.metadata);
        let room = self.reserve(sender, upload.declared.unwrap_or_default(), records)?;
        let (id, _) = self.journal.open_upload(upload)?;
        let current = self.current(sender, id)?;
        room.keep_all(&self.journal, id);
        Ok((id, current))
    }

    /// Returns an upload of the caller; `None` if nothing of it is in the journal. Waits for a moment for a
    /// body that is on its way: if its sender has gone, the answer tells what is left of it.
    ///
    /// # Errors
    /// When it has ended, or cannot be read.
    pub async fn upload(
        self: &Arc<Self>,
        sender: &Sender,
        id: FileId,
    ) -> Result<Option<CurrentUpload>, IntakeError> {
        drop(self.in_order.rest(id).await);
        self.upload_now(sender, id).await
    }

    /// Does the same without waiting.
    pub(super) async fn upload_now(
        self: &Arc<Self>,
        sender: &Sender,
        id: FileId,
    ) -> Result<Option<CurrentUpload>, IntakeError> {
        let (intake, sender) = (Arc::clone(self), sender.clone());
        let found = spawn_blocking(move || intake.current(&sender, id));
        match found.await? {
            Err(IntakeError::Upload(UploadError::Absent)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Ends an upload of the caller that may still grow. Returns false if it is complete.
    ///
    /// # Errors
    /// When there is no such upload, or the disk returned an error.
    pub async fn end_upload(
        self: &Arc<Self>,
        sender: &Sender,
        id: FileId,
    ) -> Result<bool, IntakeError> {
        let (intake, sender) = (Arc::clone(self), sender.clone());
        spawn_blocking(move || match intake.current(&sender, id)? {
            CurrentUpload::Complete(_) | CurrentUpload::Made(_) => Ok(false),
            CurrentUpload::Open(_) => Ok(intake.journal.end_upload(id)?),
        })
        .await?
    }

    /// The upload of a sender, whose token allows what the upload becomes. Blocks.
    pub(super) fn current(
        &self,
        sender: &Sender,
        id: FileId,
    ) -> Result<CurrentUpload, IntakeError> {
        let state = self.journal.upload_state(id)?.ok_or(UploadError::Absent)?;
        let (owner, current) = match state {
            UploadState::Open(open) => (open.sub.clone(), CurrentUpload::Open(open)),
            UploadState::Complete { adopted, sub } => (sub, CurrentUpload::Complete(adopted)),
            UploadState::Made(made) => (made.sub.clone(), CurrentUpload::Made(made)),
            UploadState::Ended => return Err(UploadError::Ended.into()),
        };
        if owner.as_deref() == sender.grant.subject() && current.may_be_seen_by(sender) {
            Ok(current)
        } else {
            Err(UploadError::Absent.into())
        }
    }
}

/// The request of an upload that may have begun under its key.
pub(super) fn request_of(upload: Option<&NewUpload>) -> Result<Option<Fingerprint>, IntakeError> {
    let draft = upload.map(NewUpload::draft).transpose()?;
    Ok(draft.and_then(|draft| draft.request))
}

impl NewUpload {
    /// Its description as its sender claims it, before any byte is there, and its request if it has a
    /// key.
    pub(super) fn draft(&self) -> Result<Draft, IntakeError> {
        self.draft_of(&[])
    }

    /// Does the same for one that is put together of these parts.
    pub(super) fn draft_of(&self, parts: &[FileId]) -> Result<Draft, IntakeError> {
        let sender = &self.sender;
        // The files of a form have types of their own.
        let content_type = match self.content_type.media_type() {
            Some(body) if self.becomes.is_made() => body.clone(),
            _ => claimed_type(sender, &self.content_type)?,
        };
        let metadata = sender.forced(self.metadata.clone())?;
        let mut draft = Draft {
            stated: self.whole.sha256,
            ..sender.draft(content_type, self.filename.clone(), metadata)
        };
        draft.request = self.key.as_deref().map(|key| {
            let described = (&draft, self.becomes);
            fingerprint::of_upload(key, sender, described, self.whole, self.declared, parts)
        });
        Ok(draft)
    }
}

/// The type that a sender claims, if it may send files of that type. The bytes are judged when all are
/// there.
fn claimed_type(sender: &Sender, claimed: &ClaimedType) -> Result<MediaType, IntakeError> {
    let Some(meant) = claimed.meant() else {
        return Ok(MediaType::octet_stream());
    };
    sender.check_type(meant, || Ok(meant.clone()))?;
    Ok(meant.clone())
}
