//! Takes in a message: its package and its parts become promises together, or nothing of the
//! message is kept.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{spawn, spawn_blocking};

use super::body::UploadBody;
use super::fingerprint::of_message;
use super::form::Size;
use super::key_claim::Keyed;
use super::quota::Reservation;
use super::upload::request_of;
use super::{FilePart, Head, Intake, IntakeError, NewUpload, Promised, Sender, digest, file_type};
use crate::journal::{Adopted, Draft, MessageDraft, PartDraft, Running, record_bytes};
use crate::message::{Message, MessageError, Part, PartRequest, Request, Source};
use crate::store::Sha256;
use crate::token::Grant;

/// The upload of a message.
#[derive(Debug)]
pub struct MessageUpload {
    /// Its sender.
    pub sender: Sender,
    /// The statements about the body.
    pub head: Head,
    /// The upload as which its first bytes are kept if it breaks off.
    pub broken: Option<NewUpload>,
}

/// The content of a message's body.
#[derive(Debug)]
pub struct MessageContent {
    /// The message that the sender asks for.
    pub request: Request,
    /// The files of a form, in their order.
    pub files: Vec<FilePart>,
}

/// A message that was taken in.
#[derive(Debug)]
pub struct TakenMessage {
    /// Its package, and then its parts.
    pub files: Vec<Adopted>,
    /// The promise. `None` if it was made before: then the caller has to look it up.
    pub message: Option<Arc<Message>>,
    /// The digest of the key under which it is remembered.
    pub(super) key: Option<Sha256>,
}

/// A message that is about to be promised. It holds the key of its request for as long as it lives.
#[derive(Debug)]
pub(super) struct OpenMessage {
    pub(super) sender: Sender,
    body: UploadBody,
    pub(super) draft: MessageDraft,
    /// Its parts that exist already, each with its place among all parts.
    pub(super) references: Vec<(usize, PartRequest)>,
    room: Reservation,
    running: Option<Running>,
    keyed: Option<Keyed>,
}

impl Intake {
    /// Takes a message in. A body that came with its head is `inline`. `is_expected` says that a
    /// balancer was told that there is room for it. `read` reads the body. `find` finds the files that
    /// the message refers to, as far as its sender may use them. The promise runs to its end even if
    /// the caller stops waiting.
    ///
    /// # Errors
    /// An error, if nothing of the message is kept.
    pub async fn take_message<E, R, F>(
        self: &Arc<Self>,
        upload: MessageUpload,
        inline: Option<Bytes>,
        is_expected: bool,
        read: R,
        find: F,
    ) -> Result<TakenMessage, E>
    where
        E: From<IntakeError> + Send + 'static,
        R: FnOnce(&UploadBody) -> Result<MessageContent, E> + Send + 'static,
        F: FnOnce(Grant, Vec<Source>) -> BoxFuture<'static, Result<Vec<Part>, E>> + Send + 'static,
    {
        if let Some(inline) = &inline {
            let room = self.room_beside(self.free().await?, is_expected).await?;
            if let Some(room) = room {
                let length = u64::try_from(inline.len()).unwrap_or(u64::MAX);
                let checked = self.journal.check_room(room, length);
                checked.map_err(IntakeError::from)?;
            }
        }
        // This takes a small place: a message has few files, and its texts have a bounded length.
        let place = self.places.take(Size::Small).await?;
        let intake = Arc::clone(self);
        let prepared = spawn_blocking(move || {
            let body = intake.body_of(&upload.head, inline)?;
            upload.head.digests.check(body.received())?;
            let content = read(&body)?;
            // The message holds the place to its end, even if the caller stops waiting.
            Ok::<_, E>((intake.prepare(upload, body, content)?, place))
        });
        let (open, place) = prepared.await.map_err(IntakeError::from)??;
        let taken = spawn(Arc::clone(self).claim_and_adopt(open, place, find));
        taken.await.map_err(IntakeError::from)?
    }

    async fn claim_and_adopt<E, F>(
        self: Arc<Self>,
        mut open: OpenMessage,
        place: OwnedSemaphorePermit,
        find: F,
    ) -> Result<TakenMessage, E>
    where
        E: From<IntakeError>,
        F: FnOnce(Grant, Vec<Source>) -> BoxFuture<'static, Result<Vec<Part>, E>>,
    {
        let key = open.keyed.map(|keyed| keyed.whole.key);
        open.running = match self.claim_key(open.keyed).await?.of_files()? {
            Break(files) => {
                return Ok(TakenMessage {
                    files,
                    message: None,
                    key,
                });
            }
            Continue(running) => running,
        };
        (self.receive)(&open.draft.to)
            .map_err(|full| IntakeError::ReceiverFull(full.to_string()))?;
        if !open.references.is_empty() {
            drop(place);
            return self.link_and_adopt(open, find).await;
        }
        let adopted = spawn_blocking(move || {
            let _place = place;
            self.adopt_message(open)
        });
        Ok(adopted.await.map_err(IntakeError::from)??)
    }

    /// Does step 3 of a message. Blocks on the disk.
    fn prepare(
        &self,
        MessageUpload {
            sender,
            head,
            broken,
        }: MessageUpload,
        body: UploadBody,
        MessageContent { request, files }: MessageContent,
    ) -> Result<OpenMessage, IntakeError> {
        let (from, to) = sender.parties(request.from, request.to)?;
        let of_head = head.key.as_deref();
        let client_id = request.client_id;
        let key = sender.key_of_message(client_id.as_ref(), from.as_ref(), of_head)?;
        let key = key.or_else(|| head.request_key(&sender));
        let metadata = sender.forced(head.metadata.clone())?;
        let received = body.received();
        let (mut parts, mut references) = (Vec::new(), Vec::new());
        for (place, part) in request.parts.into_iter().enumerate() {
            let Source::Form(number) = part.source else {
                references.push((place, part));
                continue;
            };
            let file = files.get(number).ok_or(MessageError::NoSuchFile)?;
            let mut own = metadata.clone();
            let claimed = file.content_type.clone();
            let content_type =
                file_type::decide(&sender, claimed, received, file.window, &mut own)?;
            let sha256 = digest::of_part(received, file.window)?;
            parts.push(PartDraft {
                window: file.window,
                draft: Draft {
                    // The descriptor has this digest, so the commit must check the body against it.
                    stated: Some(sha256),
                    sha256: Some(sha256),
                    ..sender.draft(content_type, file.filename.clone(), own)
                },
                name: part.name,
                sha256,
                stated: part.stated,
            });
        }
        let records = parts.iter().map(|part| record_bytes(&part.draft.metadata));
        let records = records.sum::<u64>() + record_bytes(&metadata);
        self.check_length(&sender, received.length())?;
        let mut draft = MessageDraft {
            // It has the type that its sender states, because nothing here looks into it.
            package: sender.draft(request.package.content_type().clone(), None, metadata),
            content: Bytes::copy_from_slice(request.package.bytes()),
            from,
            to,
            client_id,
            parts,
            linked: Vec::new(),
            id: None,
        };
        draft.package.request = key.map(|key| of_message(key, &draft, &references));
        let keyed = Keyed::of(
            head.upload,
            draft.package.request,
            request_of(broken.as_ref())?,
        );
        let room = self.reserve_beside(&sender, body.new_bytes(), records, keyed)?;
        Ok(OpenMessage {
            sender,
            body,
            draft,
            references,
            room,
            running: None,
            keyed,
        })
    }

    /// Does step 4. Blocks on the disk.
    pub(super) fn adopt_message(&self, open: OpenMessage) -> Result<TakenMessage, IntakeError> {
        let OpenMessage {
            body,
            draft,
            mut room,
            running,
            ..
        } = open;
        let spooled = match &body {
            UploadBody::Spooled(body) if !draft.parts.is_empty() => Some(body),
            UploadBody::Spooled(_) | UploadBody::Inline(_) => None,
        };
        let key = draft.package.request.map(|request| request.key);
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
        self.journal.carried_out(running);
        Ok(TakenMessage {
            files: adopted.files,
            message: Some(adopted.message),
            key,
        })
    }
}
