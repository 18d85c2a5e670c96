//! A frame: the head that every record has, and the conversion between records and bytes.

use std::collections::HashSet;

use super::bases::{Answered, Base, Entry, Form};
use super::bytes::{Writer, sum};
use super::change::{Change, Growth};
use super::error::RecordError;
use crate::file::FileId;

pub(super) const FILE: u8 = 1;
pub(super) const FORM: u8 = 2;
pub(super) const UPLOAD: u8 = 3;
pub(super) const TOMBSTONE: u8 = 4;
pub(super) const ANSWERS: u8 = 5;
pub(super) const INTENT: u8 = 6;
pub(super) const DEFERRED: u8 = 16;
pub(super) const HELD: u8 = 17;
pub(super) const WAITING: u8 = 18;
pub(super) const SETTLED: u8 = 19;
pub(super) const GROWN: u8 = 20;
pub(super) const GONE: u8 = 21;

/// The version of each kind,
pub(super) const VERSION: u8 = 1;
/// of files and forms that belong to messages or to a sender, and of tombstones of messages,
pub(super) const WITH_BELONGING: u8 = 2;
/// of files that a deleted message had while others had them, too,
pub(super) const WAS_LINKED: u8 = 3;
/// and of uploads that may still grow, and their growth: version 1 was never written.
pub(super) const OF_UPLOADS: u8 = 2;
/// A growth with the bytes that came, as an inline body.
pub(super) const WITH_BYTES: u8 = 3;
/// An upload whose sender stated a SHA-512.
pub(super) const WITH_SHA512: u8 = 3;
/// An upload that becomes the files of a form or a message.
pub(super) const TO_BE_MADE: u8 = 4;
/// The growth of an upload that has become that.
pub(super) const MADE: u8 = 4;

/// One frame of the log, without the offsets and checks that the log adds, and without the bytes of
/// inline bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The kind of the record.
    pub kind: u8,
    /// The version of the kind.
    pub version: u8,
    /// [`Frame::MAY_SKIP`] and the like; other bits mean nothing yet.
    pub flags: u16,
    /// The entry; the first one of several.
    pub id: FileId,
    /// The bytes of the file, or of all files of a form.
    pub length: u64,
    /// When it is due, was settled, was deleted, or expires, depending on its kind; otherwise 0.
    pub moment: u64,
    /// The length of each inline body behind the record.
    pub body_lengths: Vec<u32>,
    /// The other fields, in the format of the kind.
    pub record: Vec<u8>,
}

/// The meaning of a frame.
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A whole state.
    Base(Base),
    /// A change of it.
    Change(Change),
}

impl Frame {
    /// Bytes that the log adds to a record: a head and a check.
    pub(in crate::journal) const LOG_BYTES: usize = 80;
    /// Bytes that the log adds for each inline body: its length and its digest.
    pub(in crate::journal) const LOG_BODY_BYTES: usize = 36;
    /// A reader that does not know the kind or version skips the frame.
    pub const MAY_SKIP: u16 = 1;
    /// The frame is a copy of an earlier base.
    pub const COPIED: u16 = 1 << 1;

    /// Its bytes in the log without inline bodies, divided evenly among this many entries: the log's
    /// head, the record, and the log's fields for each body.
    pub fn bytes_of_each(&self, entries: usize) -> u64 {
        let bodies = self.body_lengths.len().saturating_mul(Self::LOG_BODY_BYTES);
        let bytes = self.record.len().saturating_add(bodies) + Self::LOG_BYTES;
        u64::try_from(bytes.div_ceil(entries.max(1))).unwrap_or(u64::MAX)
    }

    /// Returns whether it is the base of one file with an inline body.
    pub fn is_inline_file(&self) -> bool {
        self.kind == FILE && !self.body_lengths.is_empty()
    }

    /// The frame of a change.
    ///
    /// # Errors
    /// When a value is too long for its field.
    pub fn change(id: FileId, change: &Change) -> Result<Self, RecordError> {
        let mut writer = Writer::default();
        change.write(&mut writer)?;
        let kind = match change {
            Change::Deferred { .. } => DEFERRED,
            Change::Held(_) => HELD,
            Change::Waiting => WAITING,
            Change::Settled(_) => SETTLED,
            Change::Grown(_) => GROWN,
            Change::Gone => GONE,
        };
        Ok(Self {
            moment: change.moment().0,
            version: match change {
                Change::Grown(Growth { made: Some(_), .. }) => MADE,
                Change::Grown(_) => OF_UPLOADS,
                Change::Deferred { .. }
                | Change::Held(_)
                | Change::Waiting
                | Change::Settled(_)
                | Change::Gone => VERSION,
            },
            ..Self::new(kind, id, writer)
        })
    }

    /// The frame of an upload's growth. If it has this number of bytes as an inline body, they are the
    /// last ones of the upload.
    ///
    /// # Errors
    /// As [`Frame::change`].
    pub fn grown(id: FileId, growth: Growth, inline: Option<u32>) -> Result<Self, RecordError> {
        let frame = Self::change(id, &Change::Grown(growth))?;
        Ok(match inline {
            None => frame,
            Some(bytes) => Self {
                version: WITH_BYTES,
                body_lengths: vec![bytes],
                ..frame
            },
        })
    }

    /// The frame of one entry's base.
    ///
    /// # Errors
    /// As [`Frame::change`].
    pub fn entry(id: FileId, entry: &Entry) -> Result<Self, RecordError> {
        let mut writer = Writer::default();
        Ok(match entry {
            Entry::File(file) => {
                file.write(&mut writer)?;
                Self {
                    length: file.meta.length,
                    moment: file.state.moment().0,
                    body_lengths: file
                        .body
                        .inline_bytes(file.meta.length)?
                        .into_iter()
                        .collect(),
                    version: if file.belonging.was_linked {
                        WAS_LINKED
                    } else {
                        version(!file.belonging.is_none())
                    },
                    ..Self::new(FILE, id, writer)
                }
            }
            Entry::Upload(upload) => {
                upload.write(&mut writer)?;
                Self {
                    length: upload.growth.length,
                    moment: upload.growth.lapses.0,
                    version: match upload.stated.sha512 {
                        _ if upload.becomes.is_made() => TO_BE_MADE,
                        None => OF_UPLOADS,
                        Some(_) => WITH_SHA512,
                    },
                    ..Self::new(UPLOAD, id, writer)
                }
            }
            Entry::Tombstone(tombstone) => {
                tombstone.write(&mut writer)?;
                let meta = tombstone.answered.as_ref().map(|(_, meta)| meta);
                Self {
                    version: version(tombstone.message.is_some()),
                    length: meta.map_or(0, |meta| meta.length),
                    moment: tombstone.at.0,
                    ..Self::new(TOMBSTONE, id, writer)
                }
            }
            Entry::Intent(intent) => {
                intent.write(&mut writer)?;
                Self::new(INTENT, id, writer)
            }
        })
    }

    /// The frame of a form's base.
    ///
    /// # Errors
    /// As [`Frame::change`], and when it has no files, or one file twice.
    pub fn form(form: &Form) -> Result<Self, RecordError> {
        let mut writer = Writer::default();
        form.write(&mut writer)?;
        let (id, length, body_lengths) = totals(form)?;
        Ok(Self {
            length,
            body_lengths,
            version: version(form.has_belonging()),
            ..Self::new(FORM, id, writer)
        })
    }

    /// The frame that keeps answers.
    ///
    /// # Errors
    /// As [`Frame::change`], and when there are none.
    pub fn answers(answers: &[Answered]) -> Result<Self, RecordError> {
        let first = answers.first().ok_or(EMPTY)?;
        let mut writer = Writer::default();
        writer.list(answers, |writer, answered| answered.write(writer))?;
        Ok(Self::new(ANSWERS, first.id, writer))
    }

    fn new(kind: u8, id: FileId, writer: Writer) -> Self {
        Self {
            kind,
            version: VERSION,
            flags: 0,
            id,
            length: 0,
            moment: 0,
            body_lengths: Vec::new(),
            record: writer.finish(),
        }
    }
}

impl Record {
    /// The frame of this record.
    ///
    /// # Errors
    /// As [`Frame::change`].
    pub fn frame(&self, id: FileId) -> Result<Frame, RecordError> {
        match self {
            Self::Base(Base::Entry(entry)) => Frame::entry(id, entry),
            Self::Base(Base::Form(form)) => Frame::form(form),
            Self::Base(Base::Answers(answers)) => Frame::answers(answers),
            Self::Change(change) => Frame::change(id, change),
        }
    }
}

fn version(has_belonging: bool) -> u8 {
    VERSION + u8::from(has_belonging)
}

const EMPTY: RecordError = RecordError::Damaged("a list of nothing");

/// The first id, the sum of all lengths, and the length of each inline body.
fn totals(form: &Form) -> Result<(FileId, u64, Vec<u32>), RecordError> {
    let first = form.parts.first().ok_or(EMPTY)?;
    let mut ids = HashSet::new();
    if !form.parts.iter().all(|part| ids.insert(part.id)) {
        return Err(RecordError::Damaged("a form has a file twice"));
    }
    let lengths = form.parts.iter().map(|part| part.length);
    let mut body_lengths = Vec::new();
    for part in &form.parts {
        body_lengths.extend(part.body.inline_bytes(part.length)?);
    }
    Ok((first.id, sum(lengths)?, body_lengths))
}
