//! Links of files that wait for their commit. The store does not have these files yet.
//!
//! A link is a new base of the file, with its whole present state. A commit that runs meanwhile
//! writes the links that it began with, so it does not settle the file. The file is due once more,
//! and that commit writes the other links.

use super::copy::lay_out;
use super::index::{Phase, Refused};
use super::lookup::ReadEntry;
use super::record::{Entry, File};
use super::step::StepError;
use super::{Journal, JournalError, at, point};
use crate::file::FileId;
use crate::message::MOST_LINKS;
use crate::message::links::{Linked, Reason, Unlinked};

/// The state of a file for a step of its links.
enum Pending {
    /// The file waits for its commit.
    Here(Box<(ReadEntry, File)>),
    /// The file was deleted here.
    Deleted,
    /// This journal does not have the file: the caller must ask the store.
    NotHere,
}

impl Journal {
    /// Links a file that waits for its commit to a message.
    ///
    /// 1. The file is read.
    /// 2. Its new base is laid out and decided, if no other step changed the file meanwhile; else
    ///    this begins again at 1.
    /// 3. It is synced: the file has the link.
    ///
    /// | cut after | leaves |
    /// |---|---|
    /// | 1, 2 | the file with or without the link; nobody was told |
    /// | 3 | the file with the link |
    ///
    /// `Absent` means that the file does not wait here: the store may have it.
    ///
    /// # Errors
    /// The disk's error; the link may exist or not.
    pub fn link(&self, file: FileId, message: FileId) -> Result<Linked, JournalError> {
        loop {
            let (found, mut with) = match self.pending(file)? {
                Pending::Here(here) => *here,
                Pending::Deleted => return Ok(Linked::Gone),
                Pending::NotHere => return Ok(Linked::Absent),
            }; // 1
            let links = &mut with.belonging.links;
            if links.contains(&message) {
                return Ok(Linked::Linked);
            }
            if links.len() >= MOST_LINKS {
                return Ok(Linked::Full);
            }
            links.push(message);
            if self.relink(file, &found, with)? {
                point!("link.noted");
                return Ok(Linked::Linked);
            }
        }
    }

    /// Unlinks a file that waits for its commit from a message, in the steps of [`Journal::link`].
    /// A file without links is deleted, as far as the reason allows it. A settled file leaves the journal,
    /// because only the store can tell from now on whether it exists.
    ///
    /// # Errors
    /// The disk's error; the link may exist or not.
    pub fn unlink(
        &self,
        file: FileId,
        message: FileId,
        reason: Reason,
    ) -> Result<Unlinked, JournalError> {
        loop {
            let (found, mut without) = match self.pending(file)? {
                Pending::Here(here) => *here,
                Pending::Deleted => return Ok(Unlinked::NotLinked),
                Pending::NotHere => {
                    self.leave_settled(file)?;
                    return Ok(Unlinked::Absent);
                }
            };
            let belonging = &mut without.belonging;
            if !belonging.links.contains(&message) {
                return Ok(Unlinked::NotLinked);
            }
            if belonging.unlink(message, reason) {
                if self.relink(file, &found, without)? {
                    point!("unlink.noted");
                    return Ok(Unlinked::Stays);
                }
            } else if self
                .delete_read(file, Some((found.reading.clone(), without)))?
                .is_some()
            {
                return Ok(Unlinked::Last);
            }
        }
    }

    fn pending(&self, id: FileId) -> Result<Pending, JournalError> {
        let found = match self.read(id) {
            Err(JournalError::Absent(_)) => return Ok(Pending::NotHere),
            found => found?,
        };
        let file = match found.reading.entry() {
            // A package goes with its message. It cannot be linked to another one.
            Entry::File(file) if file.belonging.package.is_none() => file.clone(),
            Entry::Tombstone(_) => return Ok(Pending::Deleted),
            Entry::File(_) | Entry::Upload(_) | Entry::Intent(_) => return Ok(Pending::NotHere),
        };
        Ok(match found.known.phase {
            Phase::Waiting | Phase::Deferred | Phase::Held => {
                Pending::Here(Box::new((found, file)))
            }
            Phase::Deleted => Pending::Deleted,
            Phase::Coming | Phase::Growing | Phase::Intended | Phase::Settled => Pending::NotHere,
        })
    }

    /// Does steps 2 and 3. Returns false if another step of the file came first.
    fn relink(&self, id: FileId, found: &ReadEntry, file: File) -> Result<bool, JournalError> {
        let entry = Entry::File(file);
        let laid_out = lay_out(id, found, &entry, 0);
        let (laid_out, _) = laid_out.map_err(at(id, "lay a link out"))?;
        let decided = self.decide(Some(laid_out), None, |index, tail| {
            index.relink(&found.reading, &entry, tail)
        });
        is_made(decided.and_then(|landing| Ok(landing.land()?)))
            .map_err(|err| err.of(id, "note a link"))
    }
}

/// Returns false if the step was refused because another one came first.
fn is_made(made: Result<(), StepError>) -> Result<bool, StepError> {
    match made {
        Ok(()) => Ok(true),
        Err(StepError::Refused(Refused::Moved | Refused::Is(_) | Refused::Absent)) => Ok(false),
        Err(err) => Err(err),
    }
}
