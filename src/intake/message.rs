//! Takes in a message: its package and its parts become promises together, or nothing of it is kept.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::fingerprint::{KeyClaim, of_message};
use super::form::Size;
use super::{FilePart, Head, Intake, IntakeError, Promised, Sender, digest, file_type};
use crate::file::{FileName, Metadata};
use crate::journal::{Adopted, Draft, MessageDraft, PartDraft, record_bytes};
use crate::message::{Message, MessageError, Request, Source};
use crate::spool::{Received, SpooledBody};

/// A message that is uploaded.
#[derive(Debug)]
pub struct MessageUpload {
    /// Its sender.
    pub sender: Sender,
    /// The statements about the body.
    pub head: Head,
}

/// The body of a message.
#[derive(Debug)]
pub enum MessageBody {
    /// It came with its head.
    Inline(Bytes),
    /// It was spooled.
    Spooled(SpooledBody),
}

/// What a body says.
#[derive(Debug)]
pub struct MessageContent {
    /// What its sender asks for.
    pub request: Request,
    /// The files of a form, in their order.
    pub files: Vec<FilePart>,
}

/// A message that was taken in.
#[derive(Debug)]
pub struct TakenMessage {
    /// Its package, and behind it its parts.
    pub files: Vec<Adopted>,
    /// What was promised. `None` if it was promised before: then it is to be looked up.
    pub message: Option<Arc<Message>>,
}

impl MessageBody {
    /// Its bytes.
    pub fn received(&self) -> Received<'_> {
        match self {
            Self::Inline(bytes) => Received::Inline(bytes),
            Self::Spooled(body) => body.into(),
        }
    }
}

impl Intake {
    /// Takes a message in. Runs to its end, even if the caller stops waiting. A body that came with its head is
    /// `inline`, and `is_expected` says that a balancer was told that there is room for it. `read` reads the
    /// body.
    ///
    /// # Errors
    /// When nothing of it is kept.
    pub async fn take_message<E, R>(
        self: &Arc<Self>,
        upload: MessageUpload,
        inline: Option<Bytes>,
        is_expected: bool,
        read: R,
    ) -> Result<TakenMessage, E>
    where
        E: From<IntakeError> + Send + 'static,
        R: FnOnce(&MessageBody) -> Result<MessageContent, E> + Send + 'static,
    {
        if let Some(inline) = &inline {
            let room = self.room_beside(self.free().await?, is_expected).await?;
            if let Some(room) = room {
                let length = u64::try_from(inline.len()).unwrap_or(u64::MAX);
                let checked = self.journal.check_room(room, length);
                checked.map_err(IntakeError::from)?;
            }
        }
        // A message has few files, and texts of a bounded length.
        let place = self.places.take(Size::Small).await?;
        let intake = Arc::clone(self);
        let taken = spawn_blocking(move || {
            // The place is held to the end, even if the caller stops waiting.
            let _place = place;
            let body = match inline {
                Some(inline) => MessageBody::Inline(inline),
                None => match intake.claim(&upload.head)? {
                    Some(body) => MessageBody::Spooled(body),
                    None => MessageBody::Inline(Bytes::new()),
                },
            };
            upload.head.digests.check(body.received())?;
            let content = read(&body)?;
            Ok(intake.adopt_message(&upload, &body, content)?)
        });
        taken.await.map_err(IntakeError::from)?
    }

    /// Steps 3 and 4 of a message. Blocks on the disk.
    fn adopt_message(
        &self,
        MessageUpload { sender, head }: &MessageUpload,
        body: &MessageBody,
        MessageContent { request, files }: MessageContent,
    ) -> Result<TakenMessage, IntakeError> {
        let (from, to) = sender.parties(request.from, request.to)?;
        let of_head = head.key.as_deref();
        let client_id = request.client_id;
        let key = sender.key_of_message(client_id.as_ref(), from.as_ref(), of_head)?;
        let metadata = sender.forced(head.metadata.clone())?;
        let received = body.received();
        let mut parts = Vec::new();
        for part in request.parts {
            let Source::Form(number) = part.source else {
                return Err(MessageError::Reference.into());
            };
            let file = files.get(number).ok_or(MessageError::NoSuchFile)?;
            let mut own = metadata.clone();
            let claimed = file.content_type.clone();
            let content_type = file_type::decide(sender, claimed, received, file.window, &mut own)?;
            let sha256 = digest::of_part(received, file.window)?;
            parts.push(PartDraft {
                window: file.window,
                draft: Draft {
                    content_type,
                    filename: file.filename.clone(),
                    metadata: own,
                    request: None,
                    subject: sender.number(),
                    sub: sender.sub(),
                    // Its descriptor tells it, so the commit checks the body against it.
                    stated: Some(sha256),
                    sha256: Some(sha256),
                },
                name: part.name,
                sha256,
                stated: part.stated,
            });
        }
        let records = parts.iter().map(|part| record_bytes(&part.draft.metadata));
        let records = records.sum::<u64>() + record_bytes(&metadata);
        let mut room = self.reserve(sender, received.length(), records)?;
        let mut draft = MessageDraft {
            package: package(sender, request.package.content_type().clone(), metadata),
            content: Bytes::copy_from_slice(request.package.bytes()),
            from,
            to,
            client_id,
            parts,
        };
        draft.package.request = key.map(|key| of_message(key, &draft));
        let _running = match KeyClaim::of(&self.journal, draft.package.request)? {
            KeyClaim::Answered(files) => {
                return Ok(TakenMessage {
                    files,
                    message: None,
                });
            }
            KeyClaim::New(running) => running,
        };
        let spooled = match body {
            MessageBody::Spooled(body) if !draft.parts.is_empty() => Some(body),
            MessageBody::Spooled(_) | MessageBody::Inline(_) => None,
        };
        let content = draft.content.clone();
        let adopted = self.journal.adopt_message(spooled, draft)?;
        let contents = [Some(content)].into_iter().chain(std::iter::repeat(None));
        let promised = adopted.files.iter().zip(contents);
        let promised = promised.map(|(adopted, content)| Promised {
            adopted,
            is_whole_body: false,
            content,
        });
        self.enter(&mut room, promised.collect());
        Ok(TakenMessage {
            files: adopted.files,
            message: Some(adopted.message),
        })
    }
}

/// What is said of a package. Its type is the one that its sender says: nothing here looks into it.
fn package(sender: &Sender, content_type: crate::file::MediaType, metadata: Metadata) -> Draft {
    Draft {
        content_type,
        filename: None::<FileName>,
        metadata,
        request: None,
        subject: sender.number(),
        sub: sender.sub(),
        stated: None,
        sha256: None,
    }
}
