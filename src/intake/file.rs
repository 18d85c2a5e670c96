//! Takes in a file that is uploaded as a body of its own.

use std::ops::ControlFlow::{Break, Continue};
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{spawn, spawn_blocking};

use super::fingerprint::{self, Shape};
use super::key_claim::Keyed;
use super::quota::Reservation;
use super::{
    ClaimedType, Intake, IntakeError, NewUpload, Promised, Sender, StatedDigests, file_type,
};
use crate::file::{FileId, FileName, Metadata, Window};
use crate::journal::{Adopted, Becomes, Draft, Free, record_bytes};
use crate::spool::Received;
use crate::store::Sha256;

/// The sender's statements about a whole body.
#[derive(Debug)]
pub struct Head {
    /// The spool file of the body; `None` if the body came with the head, or is absent.
    pub spooled: Option<SpooledName>,
    /// The digests that are checked.
    pub digests: StatedDigests,
    /// Metadata that is kept with each file of the body.
    pub metadata: Metadata,
    /// The idempotency key under which the request may come again.
    pub key: Option<String>,
    /// The upload whose bytes are the body, if it came in pieces.
    pub upload: Option<FileId>,
}

/// nginx's statements about a spooled body.
#[derive(Debug)]
pub struct SpooledName {
    /// The path of its file; only its last component is used.
    pub path: Vec<u8>,
    /// Its length in bytes, if nginx told it.
    pub length: Option<u64>,
}

/// An upload of one file.
#[derive(Debug)]
pub struct FileUpload {
    /// Its sender.
    pub sender: Sender,
    /// The statements about the body.
    pub head: Head,
    /// The claimed type.
    pub content_type: ClaimedType,
    /// Its name, if it has one.
    pub filename: Option<FileName>,
}

impl Head {
    /// The digest of the key under which the request is remembered.
    pub(super) fn request_key(&self, sender: &Sender) -> Option<Sha256> {
        match self.upload {
            Some(id) => Some(fingerprint::key_of_made(id)),
            None => Some(fingerprint::key_of(sender, self.key.as_deref()?)),
        }
    }
}

impl Intake {
    /// Claims the spool file of an upload and adopts it. Runs to its end, even if the caller stops
    /// waiting: then either a promise or nothing is left. An upload without a body is an empty file.
    ///
    /// # Errors
    /// When nothing of it is kept.
    pub async fn take_spooled(
        self: &Arc<Self>,
        upload: FileUpload,
    ) -> Result<Vec<Adopted>, IntakeError> {
        let intake = Arc::clone(self);
        // Its room was checked before it was spooled.
        spawn(intake.adopt(upload, None, None)).await?
    }

    /// Adopts a body, unless this request was adopted before. `room` is given if its room was not
    /// checked before.
    pub(super) async fn adopt(
        self: Arc<Self>,
        upload: FileUpload,
        inline: Option<Bytes>,
        room: Option<Free>,
    ) -> Result<Vec<Adopted>, IntakeError> {
        let intake = Arc::clone(&self);
        let checked = spawn_blocking(move || {
            let body = intake.body_of(&upload.head, inline)?;
            let (draft, keyed) = intake.check(&upload, body.received())?;
            Ok::<_, IntakeError>((upload.sender, body, draft, keyed))
        });
        let (sender, body, draft, keyed) = checked.await??;
        let running = match self.claim_key(keyed).await?.of_files()? {
            Break(answer) => return Ok(answer),
            Continue(running) => running,
        };
        spawn_blocking(move || {
            let received = body.received();
            let mut reserved = self.reserve_file(&sender, received, &draft, keyed)?;
            if let Some(room) = room {
                self.journal.check_room(room, received.length())?;
            }
            let adopted = self.journal.adopt(received, draft)?;
            self.enter_file(&mut reserved, &adopted, None);
            self.journal.carried_out(running);
            Ok(vec![adopted])
        })
        .await?
    }

    pub(super) fn enter_file(
        &self,
        reserved: &mut Reservation,
        adopted: &Adopted,
        content: Option<Bytes>,
    ) {
        reserved.keep(&self.journal, adopted.id(), u64::MAX);
        self.tell_file(adopted, content);
    }

    /// Step 5 for a file whose room is reserved.
    pub(super) fn tell_file(&self, adopted: &Adopted, content: Option<Bytes>) {
        (self.tell)(Promised {
            adopted,
            is_whole_body: true,
            content,
        });
    }

    /// Reserves quota for a file.
    pub(super) fn reserve_file(
        &self,
        sender: &Sender,
        body: Received<'_>,
        draft: &Draft,
        keyed: Option<Keyed>,
    ) -> Result<Reservation, IntakeError> {
        let records = record_bytes(&draft.metadata);
        self.reserve_beside(sender, body.length(), records, keyed)
    }

    /// Checks the body's digests and type, and makes its fingerprints. Steps 2 and 3.
    pub(super) fn check(
        &self,
        upload: &FileUpload,
        body: Received<'_>,
    ) -> Result<(Draft, Option<Keyed>), IntakeError> {
        let FileUpload { sender, head, .. } = upload;
        let stated = head.digests.check(body)?;
        let window = Window::whole(body.length());
        self.check_length(sender, window.length)?;
        let mut metadata = sender.forced(head.metadata.clone())?;
        let broken = NewUpload {
            sender: sender.clone(),
            content_type: upload.content_type.clone(),
            filename: upload.filename.clone(),
            metadata: head.metadata.clone(),
            key: head.key.clone(),
            declared: Some(window.length),
            becomes: Becomes::File,
            whole: head.digests.whole(),
        };
        let broken = broken.draft()?.request;
        let claimed = upload.content_type.clone();
        let content_type = file_type::decide(sender, claimed, body, window, &mut metadata)?;
        let mut part = (
            window,
            Draft {
                stated,
                sha256: stated,
                ..sender.draft(content_type, upload.filename.clone(), metadata)
            },
        );
        let (key, parts) = (head.request_key(sender), slice::from_mut(&mut part));
        let whole = fingerprint::of(key, sender, Shape::File, body, parts)?;
        part.1.request = whole;
        Ok((part.1, Keyed::of(head.upload, whole, broken)))
    }
}
