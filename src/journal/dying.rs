//! Deletes messages that wait for their commit.

use std::sync::Arc;

use super::index::Phase;
use super::record::{Entry, Tombstone};
use super::{Journal, JournalError, point};
use crate::file::FileId;
use crate::message::Message;
use crate::message::links::Reason;

/// The outcome of deleting a message in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageDeletion {
    /// This journal has no such package, so only the store can have it.
    NotHere,
    /// The message waited for its commit, and no caller finds it any more. The committer does the
    /// rest.
    Deleted(Arc<Message>),
    /// The message is settled: the store has it, and nothing was deleted yet.
    Settled(Arc<Message>),
    /// The message was deleted before.
    Already,
}

impl Journal {
    /// Deletes a message that waits for its commit.
    ///
    /// 1. The package is read.
    /// 2. A tombstone that keeps the message is decided, if no other step changed the package
    ///    meanwhile; else this begins again at 1. The tombstone is synced: the message is deleted.
    /// 3. Each part that waits here for its commit loses its link to the message, and is deleted if
    ///    that was its last link ([`Journal::unlink`]).
    /// 4. The committer gets the package. It takes the message out of its receivers' lists, unlinks
    ///    parts that are elsewhere, clears the store, and then erases the tombstone.
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1, 2 queued | the message, or the tombstone | goes on with either: no caller was told yet |
    /// | 2 | the tombstone, and all parts | 3 for each part, before it answers anything; then 4 |
    /// | 3 | the tombstone, and some parts | the same |
    /// | 4 | the tombstone | 4, from its beginning: each of it may be done twice |
    ///
    /// # Errors
    /// The disk's error. If it comes in step 3, the message is deleted, and the committer goes on.
    pub fn delete_message(&self, id: FileId) -> Result<MessageDeletion, JournalError> {
        loop {
            let found = match self.read(id) {
                Err(JournalError::Absent(_)) => return Ok(MessageDeletion::NotHere),
                found => found?,
            }; // 1
            let message = match found.reading.entry() {
                Entry::File(file) => file.belonging.package.clone(),
                Entry::Tombstone(_) => return Ok(MessageDeletion::Already),
                Entry::Upload(_) | Entry::Intent(_) => None,
            };
            let Some(message) = message else {
                return Ok(MessageDeletion::NotHere);
            };
            match found.known.phase {
                Phase::Settled if found.known.is_leaving => return Ok(MessageDeletion::NotHere),
                Phase::Settled => return Ok(MessageDeletion::Settled(message)),
                Phase::Waiting | Phase::Deferred | Phase::Held => {}
                Phase::Deleted => return Ok(MessageDeletion::Already),
                Phase::Coming | Phase::Growing | Phase::Intended => {
                    return Ok(MessageDeletion::NotHere);
                }
            }
            let Entry::File(file) = found.reading.entry().clone() else {
                return Ok(MessageDeletion::NotHere);
            };
            if self.delete_read(id, Some((found.reading, file)))?.is_some() {
                point!("message.deleted"); // 2
                self.untie_parts(id, &message)?; // 3
                return Ok(MessageDeletion::Deleted(message));
            }
        }
    }

    fn untie_parts(&self, id: FileId, message: &Message) -> Result<(), JournalError> {
        for part in &message.parts {
            self.unlink(part.file, id, Reason::Deleted)?;
            point!("message.part-untied");
        }
        Ok(())
    }

    /// Repeats step 3 for every deleted message that has its tombstone here. An error does not stop
    /// the start, because the committer tries again.
    pub(super) fn untie_again(&self) {
        let mut deleted = Vec::new();
        self.each_known(&mut |id, known| {
            if known.phase == Phase::Deleted {
                deleted.push(id);
            }
        });
        for id in deleted {
            let untied = self.tombstone(id).and_then(|tombstone| {
                let message = tombstone.and_then(|tombstone| tombstone.message);
                message.map_or(Ok(()), |message| self.untie_parts(id, &message))
            });
            if let Err(err) = untied {
                log::error!("{id}: parts of this message are not untied yet: {err}");
            }
        }
    }

    /// Returns the tombstone of a deleted entry; `None` if it has none.
    pub(super) fn tombstone(&self, id: FileId) -> Result<Option<Tombstone>, JournalError> {
        match self.read(id) {
            Err(JournalError::Absent(_)) => Ok(None),
            found => Ok(match found?.reading.entry() {
                Entry::Tombstone(tombstone) => Some(tombstone.clone()),
                Entry::File(_) | Entry::Upload(_) | Entry::Intent(_) => None,
            }),
        }
    }
}
