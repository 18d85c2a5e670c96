//! Bases: a frame that says all there is of an entry, and replaces all before it.

use super::change::{LogTime, Settled, Why};
use super::error::RecordError;
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis};
use crate::store::Sha256;

/// All there is of an entry, or of the entries that came in one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// One entry.
    Entry(Entry),
    /// The files of a form: promised together, or not at all.
    Form(Form),
    /// Answers to requests with keys, of entries that have left.
    Answers(Vec<Answered>),
}

/// One entry, whole: the fold of its frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A promised file.
    File(File),
    /// An upload that may still grow.
    Upload(Upload),
    /// A deleted entry.
    Tombstone(Tombstone),
}

/// A promised file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file's description; its `revision` is absent, and not written.
    pub meta: FileMeta,
    /// Where its bytes are.
    pub body: Body,
    /// The digest that the client stated and that was checked: the commit holds the body against it.
    pub stated: Option<Sha256>,
    /// Its bytes count among those that this subject has pending.
    pub subject: Subject,
    /// The request that it answers, if that had a key.
    pub answer: Option<Answer>,
    /// How far it has come.
    pub state: State,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Behind the record, in the frame: the log keeps their digest.
    Inline,
    /// In a file of the entry's own name, from this place on.
    Linked {
        /// The place.
        offset: u64,
    },
    /// In files of the entry's name and a number, from 0 on; their lengths.
    Extents(Vec<u64>),
}

/// How far a promised file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is due.
    Waiting,
    /// It was tried in vain, and is due at a time.
    Deferred {
        /// When.
        due: LogTime,
        /// How often it was tried, and why in vain.
        why: Why,
    },
    /// It waits for an admin.
    Held(Why),
    /// The store has it.
    Settled(Settled),
}

/// A digest of the one who pays for pending bytes; 0 is nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub u64);

/// A keyed request, and which of its files this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub request: KeyedRequest,
    /// Which of the files that answer it.
    pub part: PartOf,
}

/// By what a request is known when it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The digest of its key, and of whoever sent it.
    pub key: Sha256,
    /// The digest of all that it says.
    pub content: Sha256,
    /// The answer counts among those of this sender.
    pub sender: Subject,
    /// When it was answered: the answer is kept for so long from then on.
    pub at: LogTime,
}

/// Which of the files that answer one request this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOf {
    /// The id of the first of them.
    pub first: FileId,
    /// From 0 on.
    pub position: u32,
    /// How many there are.
    pub files: u32,
}

/// An upload that may still grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub filename: FileName,
    /// Its type, as claimed.
    pub content_type: MediaType,
    /// Texts that its sender added.
    pub metadata: Metadata,
    /// When it was begun.
    pub begun: UnixMillis,
    /// All of the bytes to come, if that is known.
    pub declared: Option<u64>,
    /// When it lapses if it does not grow.
    pub lapses: LogTime,
    /// Its bytes count among those that this subject has pending.
    pub subject: Subject,
    /// The request that it answers, if that had a key.
    pub answer: Option<Answer>,
    /// The lengths of its extents.
    pub extents: Vec<u64>,
}

/// A deleted entry, of which something may be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// When it was deleted.
    pub at: LogTime,
    /// Whether the store may have something of it.
    pub may_be_stored: bool,
    /// The keyed request that it still answers, with the file's description.
    pub answered: Option<(Answer, FileMeta)>,
}

/// Files that came in one form: what they have in common stands once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Texts that the sender added.
    pub metadata: Metadata,
    /// When the last byte of the form arrived.
    pub uploaded: UnixMillis,
    /// Their bytes count among those that this subject has pending.
    pub subject: Subject,
    /// The request, if it had a key.
    pub request: Option<KeyedRequest>,
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
    /// Where its bytes are.
    pub body: Body,
    /// The digest that the client stated and that was checked.
    pub stated: Option<Sha256>,
    /// Its texts, if they are not those of the form.
    pub metadata: Option<Metadata>,
}

/// The answer that an entry gave which has left.
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
    /// The files, as they would stand each alone.
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
            };
            (part.id, file)
        })
    }
}

impl Entry {
    /// The keyed request that it answers.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::File(file) => file.answer.as_ref(),
            Self::Upload(upload) => upload.answer.as_ref(),
            Self::Tombstone(tombstone) => tombstone.answered.as_ref().map(|(answer, _)| answer),
        }
    }
}

impl Upload {
    /// Its bytes so far.
    ///
    /// # Errors
    /// When no file can have as many.
    pub fn length(&self) -> Result<u64, RecordError> {
        sum(self.extents.iter().copied())
    }
}

impl Body {
    /// How many bytes behind the record are this body, of a file that has so many; `None` if it is
    /// elsewhere.
    pub(super) fn inline_bytes(&self, length: u64) -> Result<Option<u32>, RecordError> {
        let too_long = RecordError::Damaged("too long for an inline body");
        match self {
            Self::Inline => u32::try_from(length).map(Some).map_err(|_| too_long),
            Self::Linked { .. } | Self::Extents(_) => Ok(None),
        }
    }
}

/// The sum of lengths.
pub(super) fn sum(mut lengths: impl Iterator<Item = u64>) -> Result<u64, RecordError> {
    let sum = lengths.try_fold(0_u64, u64::checked_add);
    sum.ok_or(RecordError::Damaged("longer than any file"))
}
