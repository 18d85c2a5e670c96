//! Adopting a message: its package and its parts are promised by one frame, or not at all.

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

/// A message that is to be adopted.
#[derive(Debug, Clone)]
pub struct MessageDraft {
    /// What is said of its package. The request that the whole message answers is told here, and the subject of
    /// the token that it is sent with.
    pub package: Draft,
    /// The bytes of its package.
    pub content: Bytes,
    /// Its sender, if that is known.
    pub from: Option<Party>,
    /// Its receivers.
    pub to: Receivers,
    /// The id that its sender gave it.
    pub client_id: Option<ChosenName>,
    /// Its parts that come with it.
    pub parts: Vec<PartDraft>,
    /// Its parts that are there already, each with its place among all: the first is 0. They are tied to it.
    pub linked: Vec<(usize, message::Part)>,
    /// The id that it gets, if links were made for it.
    pub id: Option<FileId>,
}

/// A part of a message that is to be adopted.
#[derive(Debug, Clone)]
pub struct PartDraft {
    /// Where it is in the body.
    pub window: Window,
    /// What is said of the file.
    pub draft: Draft,
    /// Its sender's name for it.
    pub name: Option<ChosenName>,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// What its sender states of it.
    pub stated: Stated,
}

/// A message that was promised.
#[derive(Debug)]
pub struct AdoptedMessage {
    /// Its package, and behind it its parts.
    pub files: Vec<Adopted>,
    /// What was promised.
    pub message: Arc<Message>,
}

/// A message whose package the journal has.
#[derive(Debug, Clone)]
pub struct KeptMessage {
    /// What was promised.
    pub message: Arc<Message>,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// The description of its package.
    pub meta: FileMeta,
    /// The bytes of its package.
    pub content: Bytes,
    /// How far its package has come.
    pub standing: Standing,
}

impl MessageDraft {
    /// Its files and, about, its record.
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
    /// Takes a message over. `body` is the form that its parts are in; a message without parts needs none.
    /// The package stands in the frame, and so do the parts of a small form; else each part is a name of its
    /// own of that same file: no byte of it is written again. Parts that are there already are tied to it
    /// before, under the id that [`Journal::intend`] gave it.
    ///
    /// 1. Admission of the package, of every part, and of the whole body.
    /// 2. The body gets a name among the bodies for each part.
    /// 3. It is fsynced, and so is the directory of bodies.
    /// 4. One frame tells of package and parts, and of the message: who it is for, and what its parts are.
    ///    It is decided and queued; its group is synced: this is the promise.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 to 3 | bodies without a frame, perhaps | removes them |
    /// | 4 | the frame, whole or not at all | keeps the whole message, or removes its bodies |
    ///
    /// Runs to its end once begun.
    ///
    /// # Errors
    /// [`AdoptError`]; nothing of the message is kept then.
    pub fn adopt_message(
        &self,
        body: Option<&SpooledBody>,
        draft: MessageDraft,
    ) -> Result<AdoptedMessage, AdoptError> {
        let unnamed = vec![FileId::from_bytes([0; FileId::BYTES]); draft.parts.len()];
        let mut coming = draft.totals(&draft.message(&unnamed));
        coming.bytes = length_of(&draft.content) + body.map_or(0, SpooledBody::length);
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

    /// The record of step 4.
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

    /// A message whose package is here; `None` if there is none, or it is deleted.
    ///
    /// # Errors
    /// When its record is here and cannot be read.
    pub fn message(&self, id: FileId) -> Result<Option<KeptMessage>, JournalError> {
        let found = match self.read(id) {
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
