//! Reads entries: their standing, their description, and their bytes.
//!
//! Frames are read outside the lock. If a frame cannot be read, the index is asked again: the frame is
//! damaged only if the index still names it.

use std::fs::File as OsFile;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::body::Source;
use super::idempotency::Standing;
use super::index::{Known, Phase, Place, Reading};
use super::memory::Busy;
use super::record::{Base, Body, Entry, Frame, Record, State};
use super::tag::read_frame;
use super::wal::{Content, InlineBody, ReadError};
use super::{Journal, JournalError, Room, at, phase_of, room_of};
use crate::file::{FileId, FileMeta, Window};
use crate::store::Sha256;

/// A promised or recently settled file, for a download.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub id: FileId,
    /// Its description.
    pub meta: FileMeta,
    /// The room that it is in.
    pub room: Room,
    /// Its digest, if it is settled, so that the store has it.
    pub sha256: Option<Sha256>,
    /// Whether a file among the bodies holds exactly this file. Any other is read by
    /// [`Journal::open_window`].
    pub is_whole_file: bool,
    /// All of its bytes, if they are inline in the log.
    pub content: Option<Bytes>,
}

/// The journal's knowledge of an id.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// The journal does not know it: ask the store.
    Absent,
    /// It was deleted; the committer is still clearing the store of it.
    Deleted,
    /// It is an upload that may still grow, so no other place has it.
    Growing,
    /// Its body is in the journal.
    Kept(Kept),
}

/// The bytes of an entry. They stay readable after every change of the entry.
#[derive(Debug, Clone)]
pub enum Opened {
    /// A range of a file.
    File(Arc<OsFile>, Window),
    /// Bytes that were inline in the log.
    Memory(Bytes),
}

/// An entry as it was read from the log.
pub(super) struct ReadEntry {
    pub(super) known: Known,
    pub(super) reading: Reading,
    /// The body, if it is inline in the frame.
    pub(super) body: Option<Bytes>,
}

/// Entries per lock of the index when all are listed.
const LOOKED_AT_ONCE: usize = 4096;

impl Kept {
    /// Its standing.
    pub fn standing(&self) -> Standing {
        Standing::of(phase_of(self.room))
    }
}

impl Journal {
    /// The room of an entry, from memory alone; `None` if there is no such entry. It never waits, so a
    /// thread that must not block may call it.
    ///
    /// # Errors
    /// [`Busy`]: ask [`Journal::lookup`].
    pub fn try_lookup(&self, id: FileId) -> Result<Option<Room>, Busy> {
        let known = self.memory.try_lock()?.index.get(id);
        let known = known.filter(|known| !known.is_leaving);
        if known.is_some_and(|known| known.phase == Phase::Growing) {
            return Err(Busy);
        }
        Ok(known.and_then(|known| room_of(known.phase)))
    }

    /// Whether an entry is the package of a message, and not deleted.
    pub fn is_package(&self, id: FileId) -> bool {
        self.state().index.is_package(id)
    }

    /// Whether an entry is deleted.
    pub fn is_deleted(&self, id: FileId) -> bool {
        let known = self.known(id);
        known.is_some_and(|known| known.phase == Phase::Deleted)
    }

    /// The standing of a promised file; a file that has left the journal counts as committed.
    pub fn standing(&self, id: FileId) -> Standing {
        let known = self.known(id);
        known.map_or(Standing::Committed, |known| Standing::of(known.phase))
    }

    /// Looks an id up in the journal.
    ///
    /// # Errors
    /// When its record exists and cannot be read.
    pub fn lookup(&self, id: FileId) -> Result<Lookup, JournalError> {
        match self.known(id) {
            Some(known) if known.phase == Phase::Deleted => return Ok(Lookup::Deleted),
            // The store has it already.
            Some(known) if known.is_leaving => return Ok(Lookup::Absent),
            _ => {}
        }
        let found = match self.unless_stored(id, self.read(id)) {
            Err(JournalError::Absent(_)) => return Ok(Lookup::Absent),
            found => found?,
        };
        let (Some(room), Entry::File(file)) = (room_of(found.known.phase), found.reading.entry())
        else {
            return Ok(match found.reading.entry() {
                Entry::Tombstone(_) => Lookup::Deleted,
                Entry::Upload(_) => Lookup::Growing,
                Entry::File(_) | Entry::Intent(_) => Lookup::Absent,
            });
        };
        Ok(Lookup::Kept(Kept {
            id,
            meta: file.meta.clone(),
            room,
            sha256: match &file.state {
                State::Settled(settled) => Some(settled.sha256),
                State::Waiting | State::Deferred { .. } | State::Held(_) => None,
            },
            is_whole_file: file.body == Body::Linked { offset: 0 },
            content: found.body,
        }))
    }

    /// Opens the bytes of an entry; `None` if the journal does not have it any more.
    ///
    /// # Errors
    /// When record or body cannot be read.
    pub fn open_window(&self, id: FileId) -> Result<Option<Opened>, JournalError> {
        let opened = self.read(id).and_then(|found| self.open_body(id, &found));
        match self.unless_stored(id, opened) {
            Err(JournalError::Absent(_)) => Ok(None),
            Ok(Source::File(file, window)) => Ok(Some(Opened::File(Arc::new(file), window))),
            Ok(Source::Memory(bytes)) => Ok(Some(Opened::Memory(bytes))),
            Err(err) => Err(err),
        }
    }

    /// Takes a settled entry that cannot be read for an absent one: the caller asks the store, which has it.
    pub(super) fn unless_stored<T>(
        &self,
        id: FileId,
        read: Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match read {
            Err(err @ (JournalError::Unreadable { .. } | JournalError::Disk { .. }))
                if self.is_settled(id) =>
            {
                log::warn!("{err}; the store has it");
                Err(JournalError::Absent(id))
            }
            read => read,
        }
    }

    /// Reads an entry from the log.
    pub(super) fn read(&self, id: FileId) -> Result<ReadEntry, JournalError> {
        let mut known = self.known(id).ok_or(JournalError::Absent(id))?;
        loop {
            let is_damaged = match self.read_known(id, known) {
                Ok(found) => return Ok(found),
                Err(ReadError::Disk(source)) => return Err(at(id, "read the log")(source)),
                Err(err @ (ReadError::Gone | ReadError::Damaged)) => err,
            };
            let now = self.known(id).ok_or(JournalError::Absent(id))?;
            if (now.base, now.change) == (known.base, known.change) {
                let reason = format!("in the log: {is_damaged}");
                return Err(JournalError::Unreadable { id, reason });
            }
            known = now;
        }
    }

    fn read_known(&self, id: FileId, known: Known) -> Result<ReadEntry, ReadError> {
        let content = self.wal.read_at(known.base.group(), known.base.offset())?;
        // The bytes of a small append are in the body, too.
        let front = |place: Place| self.wal.read_front_at(place.group(), place.offset());
        let change = known.change.map(front).transpose()?;
        let base = frame(&content);
        let change = change.as_ref().map(frame);
        let reading = Reading::new(id, &known, &base, change.as_ref());
        let reading = reading.map_err(|err| {
            log::error!("{id}: {err}");
            ReadError::Damaged
        })?;
        // If the body of another file of its form is damaged, it is read all the same.
        let body = inline_body(id, &base, &content).cloned();
        let body = body.map(InlineBody::sound).transpose()?;
        Ok(ReadEntry {
            known,
            reading,
            body,
        })
    }

    /// Opens the body of an entry, and checks that it is complete.
    pub(super) fn open_body(&self, id: FileId, found: &ReadEntry) -> Result<Source, JournalError> {
        let file = match found.reading.entry() {
            Entry::File(file) => file,
            Entry::Upload(_) | Entry::Tombstone(_) | Entry::Intent(_) => {
                return Err(JournalError::Absent(id));
            }
        };
        let unreadable = |reason: String| JournalError::Unreadable { id, reason };
        let offset = match file.body {
            Body::Inline => {
                let body = found.body.clone();
                let body = body.ok_or_else(|| unreadable("the body is missing".to_owned()));
                return Ok(Source::Memory(body?));
            }
            Body::Linked { offset } => offset,
        };
        let opened = match OsFile::open(self.layout.body(id)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                // It may have been deleted or evicted since its record was read.
                let known = self.known(id);
                let is_here = known.is_some_and(|known| {
                    known.phase != Phase::Deleted && known.phase != Phase::Settled
                });
                return Err(if is_here {
                    unreadable("the body is missing".to_owned())
                } else {
                    JournalError::Absent(id)
                });
            }
            opened => opened.map_err(at(id, "open the body"))?,
        };
        let window = Window {
            offset,
            length: file.meta.length,
        };
        let bytes = opened.metadata().map_err(at(id, "open the body"))?.len();
        let end = offset.checked_add(window.length);
        if end.is_none_or(|end| end > bytes) {
            let reason = format!("the body has {bytes} bytes, the record needs {window:?}");
            return Err(unreadable(reason));
        }
        Ok(Source::File(opened, window))
    }

    /// Visits all entries that a caller may know of, from the last slot to the first. An entry that
    /// moves in memory moves to a slot that is still to be visited.
    pub(super) fn each_known(&self, look: &mut dyn FnMut(FileId, Known)) {
        let mut to = self.state().index.len();
        while to > 0 {
            let from = to.saturating_sub(LOOKED_AT_ONCE);
            let known: Vec<_> = self.state().index.entries(from..to).collect();
            for (id, known) in known {
                look(id, known);
            }
            to = from;
        }
    }
}

pub(super) fn frame(content: &Content) -> Frame {
    let lengths = content.bodies.iter().map(|body| body.length);
    read_frame(&content.tag, &content.record, lengths)
}

/// The body of an entry, from the frame in which it is inline.
fn inline_body<'a>(id: FileId, base: &Frame, content: &'a Content) -> Option<&'a InlineBody> {
    let mut bodies = content.bodies.iter();
    match base.read() {
        _ if content.bodies.is_empty() => None,
        Ok(Some(Record::Base(Base::Form(form)))) => {
            let inline = form.parts.iter().filter(|part| part.body == Body::Inline);
            let mut with_bodies = inline.zip(bodies);
            let found = with_bodies.find(|(part, _)| part.id == id);
            found.map(|(_, body)| body)
        }
        _ => bodies.next(),
    }
}
