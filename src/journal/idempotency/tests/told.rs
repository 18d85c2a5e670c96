//! Answers that a client got, answers under way, and the answers in a frame.

use std::time::Duration;

use super::Keys;
use crate::file::FileId;
use crate::journal::idempotency::{Fingerprint, Limits, Running};
use crate::journal::record::{Answer, Answered, Base, Entry, Frame, LogTime, Record};

/// Milliseconds of the log's clock that an answer is kept.
pub(super) const LIFETIME: u64 = 100;

/// The answer that a client got: these files, for this request.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) request: Fingerprint,
    /// The time in the answer.
    pub(super) at: LogTime,
    /// The true time.
    pub(super) since: u64,
    pub(super) ids: Vec<FileId>,
}

/// A step under way. It is reported when its frame is synced.
#[derive(Debug)]
pub(super) enum Step {
    Adopt {
        told: Told,
        answers: Vec<(FileId, Answer)>,
        /// A caller that does not wait gives this back.
        _running: Option<Running>,
    },
    Settle(FileId),
    Delete(FileId),
    Keep(Vec<Answered>),
    Gone,
    Copy,
}

/// Makes a memory without keys.
pub(super) fn no_keys() -> Keys {
    Keys::new(Limits {
        lifetime: Duration::from_millis(LIFETIME),
        files: 1000,
    })
}

pub(super) fn answers_of(frame: &Frame) -> Option<Vec<Answered>> {
    match frame.read() {
        Ok(Some(Record::Base(Base::Answers(answers)))) => Some(answers),
        _ => None,
    }
}

/// Returns the description and the answer of an entry with a key.
pub(super) fn answered(id: FileId, entry: &Entry) -> Option<Answered> {
    let (answer, meta) = match entry {
        Entry::File(file) => (file.answer?, file.meta.clone()),
        Entry::Tombstone(tombstone) => tombstone.answered.clone()?,
        Entry::Upload(_) | Entry::Intent(_) => return None,
    };
    Some(Answered {
        id,
        meta,
        answer,
        is_deleted: matches!(entry, Entry::Tombstone(_)),
    })
}
