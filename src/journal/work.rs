//! The work on entries, for the committer, and for waiters that want to know of a promise.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::adopt::Adopted;
use super::body::OpenBody;
use super::index::{Known, Phase, Refused};
use super::lookup::Kept;
use super::record::{Entry, File};
use super::{Journal, JournalError, room_of};

use crate::file::FileId;
use crate::message::Message;
use crate::store::Promised;

/// The work on an entry: the commit of a pending one, the clearing of a deleted one, or the undoing
/// of an intent.
#[derive(Debug)]
pub enum Work {
    /// Write it to the store.
    Commit {
        /// The file, with its body open.
        promised: Promised,
        /// Attempts that failed so far.
        attempts: u32,
    },
    /// It was deleted: call [`Journal::erase`].
    Erase {
        /// Whether the store may hold something of it, which must be cleared first.
        is_begun: bool,
        /// The message that it was the package of: the message's parts must be unlinked first.
        message: Option<Arc<Message>>,
    },
    /// It is an intent without a promise: unlink these files from the message with its id, and call
    /// [`Journal::undone`].
    Undo {
        /// The files.
        files: Vec<FileId>,
    },
    /// Nothing to do: it left the journal, or waits for an admin.
    Nothing,
}

/// The phases of entries that must be committed, cleared away or undone.
const WORK: [Phase; 4] = [
    Phase::Waiting,
    Phase::Deferred,
    Phase::Deleted,
    Phase::Intended,
];

impl Journal {
    /// The description of a file that was promised just now, without reading the disk; `None` if the
    /// disk is needed for it. `is_whole_body` says that the file is the whole body from nginx, and
    /// `content` has its bytes, if they are in memory.
    pub fn kept(
        &self,
        adopted: &Adopted,
        is_whole_body: bool,
        content: Option<Bytes>,
    ) -> Option<Kept> {
        let room = room_of(self.known(adopted.id)?.phase)?;
        let is_in_file = !self.is_small(adopted.meta.length);
        (is_in_file || content.is_some()).then(|| Kept {
            id: adopted.id,
            meta: adopted.meta.clone(),
            room,
            sha256: None,
            is_whole_file: is_in_file && is_whole_body,
            content,
        })
    }

    /// All work of the committer; deferred entries come with the rest of their pause. The list contains
    /// an entry from the moment at which it may be announced.
    pub fn work(&self) -> Vec<(FileId, Option<Duration>)> {
        let now = self.now();
        let mut work = Vec::new();
        self.each_known(&mut |id, known| match known.phase {
            Phase::Waiting | Phase::Deleted => work.push((id, None)),
            Phase::Deferred => work.push((id, Some(known.due.since(now)))),
            Phase::Intended if !known.is_linking => work.push((id, None)),
            Phase::Coming | Phase::Growing | Phase::Intended | Phase::Held | Phase::Settled => {}
        });
        work
    }

    /// Returns the most entries that [`Journal::work`] may list: that list leaves out messages that
    /// are having their links made.
    pub fn work_count(&self) -> u64 {
        let state = self.state();
        let counts = WORK.map(|phase| state.index.totals(phase).entries);
        counts.iter().sum()
    }

    /// Opens the work on an entry, and notes that a commit may begin.
    ///
    /// # Errors
    /// When record or body cannot be read.
    pub fn open_work(&self, id: FileId) -> Result<Work, JournalError> {
        let known = match self.begin_work(id) {
            Ok(known) => known,
            Err(Refused::Is(Phase::Deleted)) => {
                let is_begun = self.known(id).is_none_or(|known| known.may_be_stored);
                let message = match self.tombstone(id) {
                    Ok(tombstone) => tombstone.and_then(|tombstone| tombstone.message),
                    Err(JournalError::Unreadable { reason, .. }) => {
                        log::error!("{id}: {reason}; if it was a message, its parts stay");
                        None
                    }
                    Err(err) => return Err(err),
                };
                return Ok(Work::Erase { is_begun, message });
            }
            Err(Refused::Is(Phase::Intended)) => return self.open_intent(id),
            Err(_) => return Ok(Work::Nothing),
        };
        let opened = self.read(id).and_then(|found| {
            let bytes = self.open_body(id, &found)?;
            match found.reading.entry() {
                Entry::File(file) => Ok((file.clone(), bytes)),
                Entry::Upload(_) | Entry::Tombstone(_) | Entry::Intent(_) => {
                    Err(JournalError::Absent(id))
                }
            }
        });
        let (file, bytes) = match opened {
            // A delete came meanwhile, and has queued the entry again.
            Err(JournalError::Absent(_)) => return Ok(Work::Nothing),
            opened => opened?,
        };
        let File {
            meta,
            stated,
            belonging,
            ..
        } = file;
        Ok(Work::Commit {
            promised: Promised {
                id,
                meta,
                belonging,
                body: Box::new(OpenBody {
                    id,
                    memory: Arc::clone(&self.memory),
                    bytes,
                    stated,
                }),
                is_retry: known.may_be_stored,
            },
            attempts: known.attempts.into(),
        })
    }

    fn begin_work(&self, id: FileId) -> Result<Known, Refused> {
        let mut state = self.state();
        loop {
            match state.index.begin(id) {
                Err(Refused::Wait(_)) => state = self.memory.wait(state),
                begun => return begun,
            }
        }
    }
}
