//! Adopts a message: one frame promises its package and its parts, or nothing is promised.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::adopt::{Adopted, Draft};
use super::error::at;
use super::form::read_windows;
use super::index::Totals;
use super::record::{Body, Entry, Form, Part};
use super::{AdoptError, Journal, JournalError, Standing};
use crate::file::{FileId, FileMeta, UnixMillis, Window};
use crate::message::{self, ChosenName, Message, Party, Receivers, Stated};
use crate::spool::{Received, SpooledBody};
use crate::store::Sha256;

/// A message to adopt.
#[derive(Debug, Clone)]
pub struct MessageDraft {
    /// The description of its package. It also has the request that the whole message answers, and
    /// the subject of the sender's token.
    pub package: Draft,
    /// The bytes of its package.
    pub content: Bytes,
    /// Its sender, if the name is known.
    pub from: Option<Party>,
    /// Its receivers.
    pub to: Receivers,
    /// The id that its sender gave it.
    pub client_id: Option<ChosenName>,
    /// Its parts that come with it.
    pub parts: Vec<PartDraft>,
    /// Its parts that exist already, each with its place among all parts, counted from 0. They are
    /// linked to it.
    pub linked: Vec<(usize, message::Part)>,
    /// Its id, if links were made for it.
    pub id: Option<FileId>,
}

/// A part of a message to adopt.
#[derive(Debug, Clone)]
pub struct PartDraft {
    /// Its place in the body.
    pub window: Window,
    /// The description of the file.
    pub draft: Draft,
    /// Its sender's name for it.
    pub name: Option<ChosenName>,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The sender's statements about it.
    pub stated: Stated,
}

/// A message that was promised.
#[derive(Debug)]
pub struct AdoptedMessage {
    /// Its package, and then its parts.
    pub files: Vec<Adopted>,
    /// The sender, the receivers and the parts that were promised.
    pub message: Arc<Message>,
}

/// A message of a package in the journal.
#[derive(Debug, Clone)]
pub struct KeptMessage {
    /// The sender, the receivers and the parts that were promised.
    pub message: Arc<Message>,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// The description of its package.
    pub meta: FileMeta,
    /// The bytes of its package.
    pub content: Bytes,
    /// The state of its package.
    pub standing: Standing,
}

impl MessageDraft {
    /// Returns the bytes and the number of its files, with its record's approximate bytes.
    fn totals(&self, message: &Message) -> Totals {
        let json = serde_json::to_vec(message).map_or(0, |json| json.len());
        let mut totals = self.package.totals(length_of(&self.content));
        totals.record_bytes += u64::try_from(json).unwrap_or(u64::MAX);
        for part in &self.parts {
            totals += part.draft.totals(part.window.length);
        }
        totals
    }

    fn message(&self, ids: &[FileId]) -> Message {
        let own = self
            .parts
            .iter()
            .zip(ids)
            .map(|(part, &file)| message::Part {
                file,
                name: part.name.clone(),
                filename: part.draft.name_of(file),
                content_type: part.draft.content_type.clone(),
                length: part.window.length,
                sha256: part.sha256,
                stated: part.stated.clone(),
            });
        let mut parts: Vec<_> = own.collect();
        for (place, part) in &self.linked {
            parts.insert((*place).min(parts.len()), part.clone());
        }
        Message {
            from: self.from.clone(),
            to: self.to.clone(),
            client_id: self.client_id.clone(),
            parts,
        }
    }
}

impl Journal {
    /// Takes a message over. `body` is the form with its parts; a message without parts needs none.
    /// The frame holds the package, and the parts of a small form. Each part of another form is a
    /// name of its own of that same file, so no byte is written again. Parts that exist already
    /// were linked before, to the id that [`Journal::intend`] gave.
    ///
    /// 1. Admission of the package, of every part, and of the whole body.
    /// 2. The body gets a name in the directory of bodies for each part.
    /// 3. It is fsynced, and so is the directory of bodies.
    /// 4. One frame has the package, the parts and the message. It is decided and queued; its group
    ///    is synced: this is the promise.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 to 3 | bodies without a frame, perhaps | removes them |
    /// | 4 | the frame, whole or not at all | keeps the whole message, or removes its bodies |
    ///
    /// Runs to its end once begun.
    ///
    /// # Errors
    /// [`AdoptError`]; then nothing of the message is kept.
    pub fn adopt_message(
        &self,
        body: Option<&SpooledBody>,
        draft: MessageDraft,
    ) -> Result<AdoptedMessage, AdoptError> {
        let unnamed = vec![FileId::from_bytes([0; FileId::BYTES]); draft.parts.len()];
        let mut coming = draft.totals(&draft.message(&unnamed));
        coming.bytes = length_of(&draft.content) + body.map_or(0, SpooledBody::new_bytes);
        let _reserved = self.admit(coming)?; // 1
        let package = draft.id.unwrap_or_else(|| self.free_id());
        let mut placed = Vec::new();
        let windows: Vec<_> = draft.parts.iter().map(|part| part.window).collect();
        let is_inline = body.is_none_or(|body| self.is_small(body.length()));
        if let Some(body) = body {
            if is_inline {
                body.mark_taken().map_err(at("mark the spool file"))?;
            }
            for _ in windows.iter().filter(|_| !is_inline) {
                placed.push(self.place_body(Received::from(body))?); // 2
            }
        }
        if let Some(last) = placed.last() {
            self.sync_placed(last)?; // 3
        }
        let parts: Vec<_> = if is_inline {
            windows.iter().map(|_| self.free_id()).collect()
        } else {
            placed.iter().map(|placed| placed.id).collect()
        };
        let uploaded = body.map_or_else(UnixMillis::now, |body| {
            UnixMillis::from_system_time(body.modified())
        });
        let digests = draft.parts.iter().map(|part| Some(part.sha256));
        let known: Vec<_> = [None].into_iter().chain(digests).collect();
        let content = draft.content.clone();
        let (form, message) = self.form_of(draft, package, &parts, uploaded, is_inline);
        let files = self.promise_form(&form, &known, &mut placed, |into| {
            let split = into.split_at_mut_checked(content.len());
            let (own, rest) = split.ok_or(io::ErrorKind::InvalidInput)?;
            own.copy_from_slice(&content);
            match body.filter(|_| is_inline) {
                Some(body) => read_windows(body, &windows, rest),
                None if rest.is_empty() => Ok(()),
                None => Err(io::ErrorKind::InvalidInput.into()),
            }
        })?; // 4
        Ok(AdoptedMessage { files, message })
    }

    /// Makes the record of step 4.
    fn form_of(
        &self,
        draft: MessageDraft,
        package: FileId,
        parts: &[FileId],
        uploaded: UnixMillis,
        is_inline: bool,
    ) -> (Form, Arc<Message>) {
        let message = Arc::new(draft.message(parts));
        let metadata = draft.package.metadata.clone();
        let files = parts.iter().zip(draft.parts).map(|(&id, part)| {
            let offset = part.window.offset;
            let body = if is_inline {
                Body::Inline
            } else {
                Body::Linked { offset }
            };
            (id, part.draft, part.window.length, body)
        });
        let first = (
            package,
            draft.package.clone(),
            length_of(&draft.content),
            Body::Inline,
        );
        let files = [first].into_iter().chain(files);
        let files = files.map(|(id, draft, length, body)| Part {
            id,
            filename: draft.name_of(id),
            content_type: draft.content_type,
            length,
            body,
            stated: draft.stated,
            metadata: Some(draft.metadata).filter(|own| *own != metadata),
        });
        let parts = files.collect();
        let form = Form {
            metadata,
            uploaded,
            subject: draft.package.subject,
            request: draft
                .package
                .request
                .map(|request| request.answered(self.now())),
            sub: draft.package.sub,
            message: Some(Arc::clone(&message)),
            parts,
        };
        (form, message)
    }

    /// Reads a message that has its package here; `None` if there is none, or if it is deleted.
    ///
    /// # Errors
    /// An error, if its record cannot be read.
    pub fn message(&self, id: FileId) -> Result<Option<KeptMessage>, JournalError> {
        let found = match self.unless_stored(id, self.read(id)) {
            Err(JournalError::Absent(_)) => return Ok(None),
            found => found?,
        };
        let (Entry::File(file), Some(content)) = (found.reading.entry(), found.body) else {
            return Ok(None);
        };
        let kept = file.belonging.package.as_ref().map(|message| KeptMessage {
            message: Arc::clone(message),
            sub: file.belonging.sub.clone(),
            meta: file.meta.clone(),
            content,
            standing: Standing::of(found.known.phase),
        });
        Ok(kept)
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
