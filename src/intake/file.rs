//! A file that is uploaded as a body of its own.

use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::fingerprint::{self, Course, Shape};
use super::quota::Reservation;
use super::{ClaimedType, Intake, IntakeError, Promised, Sender, StatedDigests, file_type};
use crate::file::{FileName, Metadata, Window};
use crate::journal::{Adopted, Draft, Free, record_bytes};
use crate::spool::{Received, SpooledBody};

/// What a sender says of a whole body.
#[derive(Debug)]
pub struct Head {
    /// Where the body is spooled; `None` of one that came with the head, and of none.
    pub spooled: Option<SpooledName>,
    /// The digests that it is held against.
    pub digests: StatedDigests,
    /// What is kept with each of its files.
    pub metadata: Metadata,
    /// The key under which the request may come again.
    pub key: Option<String>,
}

/// nginx's words about a spooled body.
#[derive(Debug)]
pub struct SpooledName {
    /// The path of its file, of which nothing is believed but the last component.
    pub path: Vec<u8>,
    /// Its length in bytes, if that was told.
    pub length: Option<u64>,
}

/// A file that is being uploaded, and by whom.
#[derive(Debug)]
pub struct FileUpload {
    /// Who sends it.
    pub sender: Sender,
    /// What is said of the body.
    pub head: Head,
    /// The type that is claimed.
    pub content_type: ClaimedType,
    /// Its name, if it has one.
    pub filename: Option<FileName>,
}

impl Intake {
    /// Claims the spool file of an upload and adopts it, to its end: a caller that does not wait leaves either a
    /// promise or nothing. An upload without a body is an empty file.
    ///
    /// # Errors
    /// When nothing of it is kept.
    pub async fn take_spooled(
        self: &Arc<Self>,
        upload: FileUpload,
    ) -> Result<Vec<Adopted>, IntakeError> {
        let intake = Arc::clone(self);
        let taken = spawn_blocking(move || {
            let spooled = intake.claim(&upload.head)?;
            let body = Received::from(spooled.as_ref());
            // It was let in before it was spooled.
            intake.adopt(&upload, body, None)
        });
        taken.await?
    }

    /// Claims the spool file, if there is one. Blocks.
    pub(super) fn claim(&self, head: &Head) -> Result<Option<SpooledBody>, IntakeError> {
        let Some(spooled) = &head.spooled else {
            return Ok(None);
        };
        let mut body = self.spool.claim(&spooled.path, spooled.length)?;
        // The log gets the very bytes that are hashed here.
        if self.journal.is_small(body.length())
            && let Err(err) = body.load()
        {
            log::debug!("whoever needs this body meets that, too: {err}");
        }
        Ok(Some(body))
    }

    /// Adopts it, unless that was done before: within this room, if it was not let in yet. Blocks on the disk.
    pub(super) fn adopt(
        &self,
        upload: &FileUpload,
        body: Received<'_>,
        room: Option<Free>,
    ) -> Result<Vec<Adopted>, IntakeError> {
        let (mut reserved, draft) = self.check(upload, body)?;
        let _running = match Course::of(&self.journal, draft.request)? {
            Course::Answered(answer) => return Ok(answer),
            Course::Adopt(running) => running,
        };
        if let Some(room) = room {
            self.journal.check_room(room, body.length())?;
        }
        let adopted = self.journal.adopt(body, draft)?;
        self.enter_file(&mut reserved, &adopted, None);
        Ok(vec![adopted])
    }

    pub(super) fn enter_file(
        &self,
        reserved: &mut Reservation,
        adopted: &Adopted,
        content: Option<Bytes>,
    ) {
        let promised = Promised {
            adopted,
            is_whole_body: true,
            content,
        };
        self.enter(reserved, vec![promised]);
    }

    /// Sees that the body is what was sent and may be kept, and keeps room for it. Steps 2 and 3.
    pub(super) fn check(
        &self,
        upload: &FileUpload,
        body: Received<'_>,
    ) -> Result<(Reservation, Draft), IntakeError> {
        let FileUpload { sender, head, .. } = upload;
        let stated = head.digests.check(body)?;
        let window = Window::whole(body.length());
        let mut metadata = sender.forced(head.metadata.clone())?;
        let records = record_bytes(&metadata);
        let room = self.reserve(sender, window.length, records)?;
        let claimed = upload.content_type.clone();
        let content_type = file_type::decide(sender, claimed, body, window, &mut metadata)?;
        let mut part = (
            window,
            Draft {
                content_type,
                filename: upload.filename.clone(),
                metadata,
                request: None,
                subject: sender.number(),
                stated,
                sha256: stated,
            },
        );
        let (key, parts) = (head.key.as_deref(), slice::from_mut(&mut part));
        part.1.request = fingerprint::of(key, sender, Shape::File, body, parts)?;
        Ok((room, part.1))
    }
}
