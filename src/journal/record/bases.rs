//! Bases: a frame with the whole state of an entry, which replaces all frames of the entry before it.

use std::sync::Arc;

use super::becomes::Becomes;
use super::change::{Growth, LogTime, Settled, Why};
use super::error::RecordError;
use super::intent::Intent;
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis, WholeDigests};
use crate::message::{Belonging, Message};
use crate::store::Sha256;

/// The whole state of an entry, or of the entries that came in one form.
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// One entry.
    Entry(Entry),
    /// The files of a form: promised together, or not at all.
    Form(Form),
    /// Answers to keyed requests, of entries that have left.
    Answers(Vec<Answered>),
}

/// The whole state of one entry: the fold of its frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A promised file.
    File(File),
    /// An upload that may still grow.
    Upload(Upload),
    /// A deleted entry.
    Tombstone(Tombstone),
    /// Links that are made for a message before it is promised.
    Intent(Intent),
}

/// A promised file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file's description; its `revision` is absent, and not written.
    pub meta: FileMeta,
    /// The place of its bytes.
    pub body: Body,
    /// The digest that the client stated and that was checked: the commit holds the body against it.
    pub stated: Option<Sha256>,
    /// The subject that has it among its pending bytes.
    pub subject: Subject,
    /// The request that it answers, if the request had a key.
    pub answer: Option<Answer>,
    /// The state of its commit.
    pub state: State,
    /// The messages that it belongs to.
    pub belonging: Belonging,
}

/// The place of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// In the frame, behind the record; the log keeps the digest.
    Inline,
    /// In a file with the entry's name, from this offset on.
    Linked {
        /// The offset.
        offset: u64,
    },
}

/// The state of a promised file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is due.
    Waiting,
    /// An attempt failed, and the next one has a due time.
    Deferred {
        /// When.
        due: LogTime,
        /// The number of failed attempts, and the last reason.
        why: Why,
    },
    /// It waits for an admin.
    Held(Why),
    /// The store has it.
    Settled(Settled),
}

/// A digest of the sender with these pending bytes; 0 is nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub u64);

/// A keyed request, and the number of this file in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub request: KeyedRequest,
    /// The number of this file in the answer.
    pub part: PartOf,
}

/// Recognises a request that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The digest of its key and its sender.
    pub key: Sha256,
    /// The digest of its content.
    pub content: Sha256,
    /// The sender of the request: its answers are counted together.
    pub sender: Subject,
    /// When it was answered: the lifetime of the answer begins here.
    pub at: LogTime,
}

/// The number of a file in the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOf {
    /// The id of the first file.
    pub first: FileId,
    /// The number of this file, from 0 on.
    pub position: u32,
    /// The number of all files.
    pub files: u32,
}

/// An upload that may still grow. Its bytes so far are in a file with the entry's name; what stands
/// there behind them was never told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name, if its sender gave one.
    pub filename: Option<FileName>,
    /// Its type, as claimed.
    pub content_type: MediaType,
    /// Texts that its sender added.
    pub metadata: Metadata,
    /// When it was begun.
    pub begun: UnixMillis,
    /// Its bytes so far.
    pub growth: Growth,
    /// The subject that has it among its pending bytes.
    pub subject: Subject,
    /// The subject of the token that it was begun with.
    pub sub: Option<Arc<str>>,
    /// The request that it answers, if the request had a key.
    pub answer: Option<Answer>,
    /// The digests of the whole that its sender stated when it was begun.
    pub stated: WholeDigests,
    /// The thing that it becomes when all of its bytes are there.
    pub becomes: Becomes,
}

/// A deleted entry of which something may be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// When it was deleted.
    pub at: LogTime,
    /// Whether the store may hold something of it.
    pub may_be_stored: bool,
    /// The keyed request that it still answers, with the file's description.
    pub answered: Option<(Answer, FileMeta)>,
    /// The message that it was the package of: the message's parts must be unlinked.
    pub message: Option<Arc<Message>>,
}

/// Files that came in one form. Values that they have in common are stored once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Texts that the sender added.
    pub metadata: Metadata,
    /// When the last byte of the form arrived.
    pub uploaded: UnixMillis,
    /// The subject that has them among its pending bytes.
    pub subject: Subject,
    /// The request, if it had a key.
    pub request: Option<KeyedRequest>,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// The message that it is: the first file is its package then, and all others are parts of it.
    pub message: Option<Arc<Message>>,
    /// The files.
    pub parts: Vec<Part>,
}

/// One file of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub id: FileId,
    /// Its name.
    pub filename: FileName,
    /// Its type, as claimed.
    pub content_type: MediaType,
    /// Its size in bytes.
    pub length: u64,
    /// The place of its bytes.
    pub body: Body,
    /// The digest that the client stated and that was checked.
    pub stated: Option<Sha256>,
    /// Its texts, if they differ from those of the form.
    pub metadata: Option<Metadata>,
}

/// The answer of an entry that has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The entry.
    pub id: FileId,
    /// The file's description.
    pub meta: FileMeta,
    /// The request.
    pub answer: Answer,
    /// Whether it was deleted since.
    pub is_deleted: bool,
}

impl Form {
    /// The files, each with its whole description.
    pub fn files(&self) -> impl Iterator<Item = (FileId, File)> {
        let first = self.parts.first().map(|part| part.id);
        let files = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.parts.iter().zip(0..).map(move |(part, position)| {
            let answer = self.request.zip(first).map(|(request, first)| Answer {
                request,
                part: PartOf {
                    first,
                    position,
                    files,
                },
            });
            let file = File {
                meta: FileMeta {
                    filename: part.filename.clone(),
                    content_type: part.content_type.clone(),
                    length: part.length,
                    uploaded: self.uploaded,
                    metadata: part.metadata.as_ref().unwrap_or(&self.metadata).clone(),
                    revision: None,
                },
                body: part.body.clone(),
                stated: part.stated,
                subject: self.subject,
                answer,
                state: State::Waiting,
                belonging: self.belonging(part.id, first),
            };
            (part.id, file)
        })
    }

    /// Whether one of its files belongs to anything.
    pub(super) fn has_belonging(&self) -> bool {
        self.sub.is_some() || self.message.is_some()
    }

    fn belonging(&self, id: FileId, first: Option<FileId>) -> Belonging {
        let message = first.filter(|_| self.message.is_some());
        let is_package = message == Some(id);
        Belonging {
            sub: self.sub.clone(),
            message,
            links: message.filter(|_| !is_package).into_iter().collect(),
            was_linked: false,
            package: self.message.clone().filter(|_| is_package),
        }
    }
}

impl Entry {
    /// The keyed request that it answers.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::File(file) => file.answer.as_ref(),
            Self::Upload(upload) => upload.answer.as_ref(),
            Self::Tombstone(tombstone) => tombstone.answered.as_ref().map(|(answer, _)| answer),
            Self::Intent(_) => None,
        }
    }
}

impl Body {
    /// The number of bytes behind the record that are this body, in a file of this length; `None` if
    /// the body is not inline.
    pub(super) fn inline_bytes(&self, length: u64) -> Result<Option<u32>, RecordError> {
        let too_long = RecordError::Damaged("too long for an inline body");
        match self {
            Self::Inline => u32::try_from(length).map(Some).map_err(|_| too_long),
            Self::Linked { .. } => Ok(None),
        }
    }
}
