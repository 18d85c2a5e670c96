//! Repeats answers: a request that comes again with its idempotency key gets its first answer. The
//! module [`idempotency`](super::idempotency) describes the life of a key.

use super::evict::Leaves;
use super::idempotency::{Claim, Fingerprint, Known, Standing};
use super::index::Place;
use super::lookup::{ReadEntry, frame};
use super::memory::News;
use super::record::{Answered, Base, Entry, Frame, KeyedRequest, Record, Tombstone};
use super::wal::{Position, ReadError};
use super::{Adopted, Journal, JournalError, at};
use crate::file::FileId;
use crate::store::Sha256;

/// The memory of a key.
pub(super) enum Remembered {
    /// Nothing.
    Nothing,
    /// Some files of another node's answer. The rescue of that node brings the others.
    Coming,
    /// These files answered it.
    Answered(Vec<Known>),
}

impl Journal {
    /// Asks whether a request was carried out before. If not, the caller gets a
    /// [`Running`](super::idempotency::Running), and while that lives no other caller may carry out the
    /// request. Drafts that name this request become its answer as soon as they are promised.
    ///
    /// # Errors
    /// When the first answer exists and the disk does not return it.
    pub fn begin(&self, request: Fingerprint) -> Result<Claim<Vec<Adopted>>, JournalError> {
        self.begin_one_of(request, None)
    }

    /// Does the same without blocking, if nothing is known of the key. `None` if something is.
    pub fn begin_unknown(&self, request: Fingerprint) -> Option<Claim<Vec<Adopted>>> {
        let Some(running) = self.claims.claim(request.key) else {
            return Some(Claim::Running);
        };
        match self.remembered(request.key) {
            Remembered::Nothing => Some(Claim::First(running)),
            Remembered::Coming => Some(Claim::Running),
            Remembered::Answered(_) => None,
        }
    }

    /// Does the same for a request with a whole body. An upload that was opened with the other content
    /// under its key has some of these bytes: it gives way to the request, if it is not
    /// complete. If it is, it is the answer.
    ///
    /// # Errors
    /// As [`Journal::begin`].
    pub fn begin_whole(
        &self,
        request: Fingerprint,
        opened: Fingerprint,
    ) -> Result<Claim<Vec<Adopted>>, JournalError> {
        self.begin_one_of(request, Some(opened))
    }

    fn begin_one_of(
        &self,
        request: Fingerprint,
        opened: Option<Fingerprint>,
    ) -> Result<Claim<Vec<Adopted>>, JournalError> {
        let key = request.key;
        let Some(running) = self.claims.claim(key) else {
            return Ok(Claim::Running);
        };
        let mut before = None;
        loop {
            let known = match self.remembered(key) {
                Remembered::Nothing => return Ok(Claim::First(running)),
                Remembered::Coming => return Ok(Claim::Running),
                Remembered::Answered(known) => known,
            };
            if before.as_ref() == Some(&known) {
                log::warn!(
                    "an answer cannot be read where it is; the key that it was to is forgotten"
                );
                self.state().keys.forget(key);
                return Ok(Claim::First(running));
            }
            if let [one] = &*known
                && let Some(at) = self.voted_at(one)?
            {
                self.pass(at);
                return Ok(Claim::Elsewhere(running, one.id));
            }
            match self.answers((request, opened), &known)? {
                Some(Claim::Open(id)) if opened.is_some() => {
                    let Ok(held) = self.hold_upload(id) else {
                        return Ok(Claim::Running);
                    };
                    // If it has been completed meanwhile, the next round finds the file.
                    if self.gives_way(id)? {
                        return Ok(Claim::First(running.beside(held)));
                    }
                }
                Some(claim) => return Ok(claim),
                None => before = Some(known),
            }
        }
    }

    /// Returns the memory of a key.
    pub(super) fn remembered(&self, key: Sha256) -> Remembered {
        let mut state = self.state();
        match state.keys.find(key, self.now()) {
            Some(known) => Remembered::Answered(known),
            None if state.keys.is_coming(key, self.limits.node) => Remembered::Coming,
            None => Remembered::Nothing,
        }
    }

    /// The number of files in all remembered answers.
    pub fn answers_kept(&self) -> usize {
        self.state().keys.files()
    }

    /// `None` if an answer is no longer at its known place.
    fn answers(
        &self,
        (request, opened): (Fingerprint, Option<Fingerprint>),
        known: &[Known],
    ) -> Result<Option<Claim<Vec<Adopted>>>, JournalError> {
        let is_same = |answered: &KeyedRequest| {
            let mut requests = [Some(request), opened].into_iter().flatten();
            requests.any(|request| request.is_answered_by(answered))
        };
        if let [one] = known
            && let Some(upload) = self.upload(one.id)?
        {
            let answered = upload.answer.map(|answer| answer.request);
            let is_same = answered.as_ref().is_some_and(is_same);
            // A whole request gets what the upload has become.
            return Ok(Some(
                match upload.growth.made.filter(|_| opened.is_some()) {
                    _ if !is_same => Claim::Other,
                    None => Claim::Open(one.id),
                    Some(made) => self.answer_to(made)?.map_or(Claim::Other, Claim::Answered),
                },
            ));
        }
        let mut answer = Vec::with_capacity(known.len());
        let mut has_opened = false;
        for one in known {
            let Some(found) = self.answer_of(one)? else {
                return Ok(None);
            };
            let (found, standing) = found;
            let Answered {
                meta, answer: to, ..
            } = found;
            if !is_same(&to.request) {
                return Ok(Some(Claim::Other));
            }
            has_opened = opened.is_some_and(|opened| opened.is_answered_by(&to.request));
            answer.push(Adopted::with(one.id, meta, standing));
        }
        // A whole request gets what the upload has become.
        if has_opened && answer.len() > 1 {
            answer.remove(0);
        }
        Ok(Some(Claim::Answered(answer)))
    }

    pub(super) fn answer_of(
        &self,
        known: &Known,
    ) -> Result<Option<(Answered, Standing)>, JournalError> {
        let id = known.id;
        if let Some(found) = self.read_if_there(id)? {
            let standing = Standing::of(found.known.phase);
            let answered = answered(id, found.reading.entry());
            return Ok(answered.map(|answered| (answered, standing)));
        }
        let found = self.retained(known)?;
        Ok(found.map(|answered| {
            let standing = Standing::retained(answered.is_deleted);
            (answered, standing)
        }))
    }

    /// The request that a file answers; `None` if the answer is not at its known place. An open upload has one, too.
    pub(super) fn request_of(&self, known: &Known) -> Result<Option<KeyedRequest>, JournalError> {
        if let Some(found) = self.read_if_there(known.id)? {
            let answer = found.reading.entry().answer();
            return Ok(answer.map(|answer| answer.request));
        }
        let found = self.retained(known)?;
        Ok(found.map(|answered| answered.answer.request))
    }

    /// Reads an entry; `None` if it is not here, or cannot be read any more.
    fn read_if_there(&self, id: FileId) -> Result<Option<ReadEntry>, JournalError> {
        match self.read(id) {
            Ok(found) => Ok(Some(found)),
            Err(err @ JournalError::Disk { .. }) => Err(err),
            Err(JournalError::Absent(_) | JournalError::Unreadable { .. }) => Ok(None),
        }
    }

    /// Reads an answer, or a vote, whose entry is not here.
    pub(super) fn retained(&self, known: &Known) -> Result<Option<Answered>, JournalError> {
        let id = known.id;
        let Some(place) = known.retained else {
            return Ok(None);
        };
        let content = match self.wal.read_at(place.group(), place.offset()) {
            Err(ReadError::Disk(err)) => return Err(at(id, "read an answer")(err)),
            Err(ReadError::Gone | ReadError::Damaged) => return Ok(None),
            Ok(content) => content,
        };
        let mut answers = answers_of(&frame(&content)).into_iter();
        Ok(answers.find(|answered| answered.id == id))
    }

    /// Packs the remembered answers of entries that are about to leave.
    ///
    /// # Errors
    /// The disk's error; then nothing may leave.
    pub(super) fn retain_answers(&self, ids: &[FileId], why: Leaves) -> Result<(), JournalError> {
        let mut needed = Vec::new();
        for &id in ids {
            if !self.known(id).is_some_and(|known| known.is_keyed) {
                continue;
            }
            match self.read(id) {
                Ok(found) => {
                    let answered = answered(id, found.reading.entry()).map(|one| why.marks(one));
                    needed.extend(answered.filter(|answered| self.state().keys.needs(answered)));
                }
                Err(err @ JournalError::Disk { .. }) => return Err(err),
                Err(err) => log::error!("{err}; the key that it answered is forgotten"),
            }
        }
        self.pack(needed, News::Retain)
    }

    /// Returns the answers in a frame that are still remembered at that place.
    pub(super) fn answers_in(&self, frame: &Frame, position: Position) -> Vec<Answered> {
        let Some(place) = Place::new(position.number, position.place) else {
            return Vec::new();
        };
        let answers = answers_of(frame);
        let state = self.state();
        let live = answers.into_iter();
        live.filter(|answered| state.keys.is_retained_at(answered, place))
            .collect()
    }
}

fn answers_of(frame: &Frame) -> Vec<Answered> {
    match frame.read() {
        Ok(Some(Record::Base(Base::Answers(answers)))) => answers,
        _ => Vec::new(),
    }
}

/// The answer that an entry gives.
fn answered(id: FileId, entry: &Entry) -> Option<Answered> {
    let (answer, meta, is_deleted) = match entry {
        Entry::File(file) => (file.answer?, file.meta.clone(), false),
        Entry::Tombstone(Tombstone { answered, .. }) => {
            let (answer, meta) = answered.clone()?;
            (answer, meta, true)
        }
        Entry::Upload(_) | Entry::Intent(_) => return None,
    };
    Some(Answered {
        id,
        meta,
        answer,
        is_deleted,
    })
}
