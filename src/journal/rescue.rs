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
//! A key that was answered here meanwhile keeps that answer. While a key's answer is being taken, the key is claimed.
//! The files of a form are taken one by one: until the last one is here, the key counts as that of a request that is
//! being carried out, and a start keeps it so ([`Keys::is_coming`](super::idempotency::Keys::is_coming)).

mod answers;
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
use super::record::{Answer, Body, Entry, KeyedRequest, State};
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
    /// A request under its key is being carried out here. It is to be taken later.
    Later,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl Journal {
    /// Takes one entry of a dead node's journal into this one. Each may be taken again after a cut.
    ///
    /// 1. Its whole state is read there. Its key is claimed until the end; if another one has it, nothing is done.
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
        let key = found.reading.entry().answer().map(|one| one.request.key);
        let claim = key.map(|key| self.claims.claim(key));
        if let Some(None) = claim {
            return Ok(Taken::Later);
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
        drop(claim);
        point!("rescue.taken");
        if is_work {
            self.memory.announce(Announcement::ToClear(id));
        }
        Ok(Taken::Here)
    }

    /// The state of an entry of a dead node's journal as this journal keeps it.
    fn as_ours(&self, dead: &DeadJournal, found: &ReadEntry) -> Result<Entry, JournalError> {
        let mut entry = found.reading.entry().clone();
        let mut answer = entry.answer().copied();
        if let Some(Answer { request, part }) = answer {
            let at = self.shifted(dead, request.at);
            let heeded = self.heeded(KeyedRequest { at, ..request }, part.first)?;
            answer = heeded.map(|request| Answer { request, part });
        }
        match &mut entry {
            Entry::File(file) => {
                file.state = State::Waiting;
                file.answer = answer;
            }
            Entry::Upload(upload) => {
                upload.growth.lapses = self.now().later(self.limits.upload_lifetime);
                upload.answer = answer;
            }
            Entry::Tombstone(tombstone) => {
                tombstone.at = self.now();
                tombstone.may_be_stored = true;
                let answered = tombstone.answered.take();
                tombstone.answered = answer.zip(answered.map(|(_, meta)| meta));
            }
            Entry::Intent(_) => {}
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
}

/// Whether a body there is missing, or has fewer bytes than its record says.
fn is_damage(err: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
    kinds.contains(&err.kind())
}
