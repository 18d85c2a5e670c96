//! Takes the entries of a dead node's journal into this one, under their ids.
//!
//! The other journal is opened as a start of its own node would open it, but for its spool, and read
//! only from then on. The room [`rescue`](crate::rescue) tells the whole order.
//!
//! | entry there | becomes here |
//! |---|---|
//! | waits for its commit, deferred or held | waits, with its links and its key; a commit that was cut goes on |
//! | settled | nothing: the store has it. Its key is kept |
//! | an upload that may still grow | the same at the same offset, with a new lifetime |
//! | an upload that has become several files | the same |
//! | a tombstone | the same: the store is cleared, and links of parts are taken away |
//! | an intent | the same: its links are undone |
//! | an answer of an entry that has left | the same |
//!
//! A key that was answered here meanwhile keeps that answer.

mod dead;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::PoisonError;

use super::copy::lay_out;
use super::error::at;
use super::index::{Coming, Phase, Refused, Totals};
use super::lookup::ReadEntry;
use super::memory::News;
use super::place::Placed;
use super::record::{Answer, Body, Entry, KeyedRequest, LogTime, State};
use super::step::StepError;
use super::{AdoptError, Announcement, Journal, JournalError, point};
use crate::file::FileId;

pub use dead::DeadJournal;

/// The outcome for one entry of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// This journal has it now.
    Here,
    /// This journal had it before.
    Before,
    /// The store has it.
    Settled,
    /// It left at this moment.
    Nothing,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl Journal {
    /// Takes one entry of a dead node's journal into this one. Each may be taken again after a cut.
    ///
    /// 1. Its whole state is read there.
    /// 2. Admission, as for an upload.
    /// 3. A body that does not stand in the log is linked, or copied if it still grows or is on another
    ///    file system (that of a form once); it is fsynced, and so is `body/`.
    /// 4. The frame is decided and queued, and synced: the entry is here.
    ///
    /// | cut after | leaves | the next try |
    /// |---|---|---|
    /// | 1, 2 | nothing | begins again |
    /// | 3 | a body without an entry | a start removes it; begins again |
    /// | 4 | the entry | finds it |
    ///
    /// # Errors
    /// [`AdoptError`]; then nothing of it is here.
    pub fn take_over(&self, dead: &DeadJournal, id: FileId) -> Result<Taken, AdoptError> {
        if self.known(id).is_some() {
            return Ok(Taken::Before);
        }
        let read = |err| at("read the dead journal")(io::Error::other(err));
        let found = match dead.journal.read(id) {
            Err(JournalError::Absent(_)) => return Ok(Taken::Nothing),
            Err(JournalError::Unreadable { reason, .. }) => return Ok(Taken::Unreadable(reason)),
            found => found.map_err(read)?, // 1
        };
        if found.known.phase == Phase::Settled {
            return Ok(Taken::Settled);
        }
        let entry = self.as_ours(dead, &found).map_err(read)?;
        let laid_out = lay_out(id, &found, &entry, 0);
        let (laid_out, bytes) = laid_out.map_err(at("lay the record out"))?;
        let reserved = self.admit(Totals {
            record_bytes: bytes,
            ..Totals::of(found.known.length)
        })?; // 2
        let placed = match self.foreign_body(dead, id, &entry) {
            None => None,
            Some(Err(err)) if is_damage(&err) => {
                return Ok(Taken::Unreadable(format!("its body: {err}")));
            }
            Some(placed) => {
                let mut placed = placed.map_err(at("take the body"))?;
                point!("rescue.body-placed");
                self.sync_placed(&placed)?; // 3
                placed.spoken_of();
                Some(placed)
            }
        };
        let is_work = matches!(entry, Entry::Tombstone(_) | Entry::Intent(_));
        let news = entry
            .answer()
            .map(|answer| News::Learn(vec![(id, *answer)]));
        let refused = |err| StepError::Refused(Refused::Record(err));
        let coming = Coming::taken_over(id, entry).map_err(refused)?;
        let landing = self.decide(Some(laid_out), news, |index, tail| {
            index.come(&coming, tail)
        })?; // 4
        drop(reserved);
        landing.land().map_err(StepError::from)?;
        if let Some(mut placed) = placed {
            placed.keep();
        }
        point!("rescue.taken");
        if is_work {
            self.memory.announce(Announcement::ToClear(id));
        }
        Ok(Taken::Here)
    }

    /// Takes the answers to keys whose entries have left a dead node's journal, or are settled there.
    ///
    /// # Errors
    /// The disk's error; the next call does the same again.
    pub fn take_answers(&self, dead: &DeadJournal) -> Result<usize, JournalError> {
        let mut answers = Vec::new();
        for mut answered in dead.answers()? {
            let mut request = answered.answer.request;
            request.at = self.shifted(dead, request.at);
            if let Some(request) = self.heeded(request)? {
                answered.answer.request = request;
                let mut state = self.state();
                state.keys.learn(answered.id, &answered.answer, LogTime(0));
                drop(state);
                answers.push(answered);
            }
        }
        let count = answers.len();
        self.pack(answers)?;
        Ok(count)
    }

    /// The state of an entry of a dead node's journal as this journal keeps it.
    fn as_ours(&self, dead: &DeadJournal, found: &ReadEntry) -> Result<Entry, JournalError> {
        let mut entry = found.reading.entry().clone();
        let answer = match &mut entry {
            Entry::File(file) => {
                file.state = State::Waiting;
                &mut file.answer
            }
            Entry::Upload(upload) => {
                upload.growth.lapses = self.now().later(self.limits.upload_lifetime);
                &mut upload.answer
            }
            Entry::Tombstone(tombstone) => {
                tombstone.at = self.now();
                tombstone.may_be_stored = true;
                if let Some((answer, _)) = &mut tombstone.answered {
                    answer.request.at = self.shifted(dead, answer.request.at);
                }
                return Ok(entry);
            }
            Entry::Intent(_) => return Ok(entry),
        };
        if let Some(one) = *answer {
            let at = self.shifted(dead, one.request.at);
            let heeded = self.heeded(KeyedRequest { at, ..one.request })?;
            *answer = heeded.map(|request| Answer { request, ..one });
        }
        Ok(entry)
    }

    /// The body that an entry needs beside the log; `None` if it needs none.
    fn foreign_body<'a>(
        &'a self,
        dead: &DeadJournal,
        id: FileId,
        entry: &Entry,
    ) -> Option<io::Result<Placed<'a>>> {
        let (length, changes) = match entry {
            Entry::File(file) => match file.body {
                Body::Inline => return None,
                Body::Linked { offset } => (offset.saturating_add(file.meta.length), false),
            },
            Entry::Upload(upload) => (upload.growth.kept(), true),
            Entry::Tombstone(_) | Entry::Intent(_) => return None,
        };
        if changes && length == 0 {
            return None;
        }
        let open = || {
            let body = fs::File::open(dead.journal.layout.body(id))?;
            let about = body.metadata()?;
            if about.len() < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if changes || about.nlink() < 2 {
                return self.place_foreign(id, &body, length, changes);
            }
            // The parts of a form share a body: it is copied once, and each other part is a link to the copy.
            let mut shared = dead.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let twin = shared.get(&about.ino());
            let twin = twin.and_then(|&twin| fs::File::open(self.layout.body(twin)).ok());
            let from = twin.as_ref().unwrap_or(&body);
            let placed = self.place_foreign(id, from, about.len(), false)?;
            shared.insert(about.ino(), id);
            Ok(placed)
        };
        Some(open())
    }

    /// A request of another node as this journal remembers it; `None` if another one was answered under its key here.
    /// It comes after a vote of this node for the other one, which has been answered by now.
    pub(super) fn heeded(
        &self,
        request: KeyedRequest,
    ) -> Result<Option<KeyedRequest>, JournalError> {
        let now = self.now();
        let known = self.state().keys.find(request.key, now);
        let mut at = request.at;
        if let Some(known) = known {
            let vote = match &*known {
                [one] => self.voted_at(one)?,
                _ => None,
            };
            let Some(voted) = vote else {
                return Ok(None);
            };
            self.pass(voted);
            at = self.now();
        }
        Ok(Some(KeyedRequest { at, ..request }))
    }

    /// A moment of the other log's clock, as this log's clock tells it.
    fn shifted(&self, dead: &DeadJournal, at: LogTime) -> LogTime {
        let age = dead.journal.now().0.saturating_sub(at.0);
        LogTime(self.now().0.saturating_sub(age))
    }
}

/// Whether a body there is missing, or has fewer bytes than its record says.
fn is_damage(err: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
    kinds.contains(&err.kind())
}
