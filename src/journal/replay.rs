//! Reads the log into memory at a start.

use std::collections::{BTreeSet, HashMap};

use super::idempotency::{Keys, Limits, Retained};
use super::index::{Index, Place, Replayed};
use super::record::{Base, Body, Change, Entry, Frame, Growth, LogTime, Record, RecordError};
use super::tag::found_frame;
use super::tail::{self, Tails};
use super::wal::{Damage, FoundFrame, Position, Refused, Report};
use crate::config::JournalConfig;
use crate::file::FileId;

/// The result of reading the log.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) index: Index,
    pub(super) keys: Keys,
    /// Entries that ever had a linked body, with the length that this body must have.
    pub(super) linked: HashMap<FileId, u64>,
    /// Bytes of uploads that may be in the log alone.
    pub(super) tails: Tails,
    /// Segments with frames that cannot be read as records.
    pub(super) unreadable: BTreeSet<u64>,
}

impl Replay {
    pub(super) fn new(limits: &JournalConfig) -> Self {
        Self {
            index: Index::default(),
            keys: Keys::new(Limits {
                lifetime: limits.answer_lifetime,
                files: limits.max_answers,
            }),
            linked: HashMap::new(),
            tails: Tails::new(),
            unreadable: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, found: &FoundFrame<'_>) -> Result<(), Refused> {
        let refuse = |text: String| Err(Refused(text));
        let position = found.position;
        let frame = found_frame(found);
        let Some(place) = Place::new(position.number, position.place) else {
            return refuse(format!("{position:?} is no place of a frame"));
        };
        match self.index.replay(&frame, position.generation, place) {
            Ok(replayed) => {
                self.note_answers(replayed, &position, place);
                self.note_bodies(&frame, place);
            }
            Err(err @ RecordError::Unknown { .. }) => {
                return refuse(format!("segment {}: {err}", position.generation));
            }
            Err(err @ RecordError::Damaged(_)) => {
                log::error!("{}, segment {}: {err}", frame.id, position.generation);
                self.unreadable.insert(position.generation);
            }
        }
        Ok(())
    }

    fn note_answers(&mut self, replayed: Replayed, position: &Position, place: Place) {
        match replayed {
            Replayed::Entry(answers) => {
                for (id, answer) in answers {
                    self.keys.learn(id, &answer, LogTime(0));
                }
            }
            Replayed::Answers(answers) => {
                let segment = position.generation;
                let at = Retained { segment, place };
                self.keys.replay(&answers, at, position.bytes, LogTime(0));
            }
            Replayed::Skipped => {}
        }
    }

    /// Notes linked bodies. An inline body needs no file, which the frame's head tells without its
    /// record.
    fn note_bodies(&mut self, frame: &Frame, place: Place) {
        let mut note = |id, body: &Body, length| {
            if let Body::Linked { offset } = body {
                self.linked.insert(id, offset.saturating_add(length));
            }
        };
        if frame.is_inline_file() {
            return;
        }
        match frame.read() {
            Ok(Some(Record::Base(Base::Entry(Entry::File(file))))) => {
                self.tails.remove(&frame.id);
                note(frame.id, &file.body, file.meta.length);
            }
            Ok(Some(Record::Base(Base::Form(form)))) => {
                let parts = form.parts.iter();
                parts.for_each(|part| note(part.id, &part.body, part.length));
            }
            Ok(Some(Record::Base(Base::Entry(Entry::Upload(upload))))) => {
                // Its body was synced before it was copied.
                self.tails.remove(&frame.id);
                self.note_upload(frame.id, &upload.growth);
            }
            Ok(Some(Record::Change(Change::Grown(growth)))) => {
                tail::note(&mut self.tails, frame, &growth, place);
                self.note_upload(frame.id, &growth);
            }
            _ => {
                if self.index.get(frame.id).is_none() {
                    self.linked.remove(&frame.id);
                    self.tails.remove(&frame.id);
                }
            }
        }
    }

    /// An upload without bytes needs no body, nor does one that has become something else.
    fn note_upload(&mut self, id: FileId, growth: &Growth) {
        match growth.kept() {
            0 => self.linked.remove(&id),
            length => self.linked.insert(id, length),
        };
    }

    /// Whether every promise that was ever made is known.
    pub(super) fn is_sound(&self, report: &Report) -> bool {
        report.damages.is_empty() && self.unreadable.is_empty() && self.index.lost().is_empty()
    }
}

/// The segment with this damage, if it has a file that can be kept.
pub(super) fn generation_of(damage: &Damage) -> Option<u64> {
    match damage {
        Damage::Short { generation, .. }
        | Damage::HeadCopy { generation }
        | Damage::Group { generation, .. }
        | Damage::Frames { generation, .. } => Some(*generation),
        Damage::Frame { position, .. } => Some(position.generation),
        Damage::File { .. } | Damage::Twice { .. } | Damage::Missing { .. } => None,
    }
}
