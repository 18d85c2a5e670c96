//! Deleting messages whose packages wait for their commit.

use std::sync::Arc;

use super::index::Phase;
use super::record::{Entry, Tombstone};
use super::{Journal, JournalError, point};
use crate::file::FileId;
use crate::message::Message;

/// The outcome of a delete of a message in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageDeletion {
    /// There is no such package here: only the store can have it.
    NotHere,
    /// It waited for its commit, and is gone for every caller. The committer has the rest to do.
    Deleted(Arc<Message>),
    /// It is settled: the store has it, and nothing is done yet.
    Settled(Arc<Message>),
    /// It was deleted before.
    Already,
}

impl Journal {
    /// Deletes a message whose package waits for its commit.
    ///
    /// 1. The package is read.
    /// 2. A tombstone that keeps the message is decided, if no other step of the package came since; else
    ///    from 1 on. It is synced: the message is deleted.
    /// 3. Each of its parts that waits for its commit here is untied, and deleted if that was its last link
    ///    ([`Journal::unlink`]).
    /// 4. The committer has the package: it takes the message out of the lists of its receivers, unties parts
    ///    that are elsewhere, clears the store, and only then erases the tombstone.
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1, 2 queued | the message, or the tombstone | goes on with either: no caller was told yet |
    /// | 2 | the tombstone, and all parts | 3 for each part, before it answers anything; then 4 |
    /// | 3 | the tombstone, and some parts | the same |
    /// | 4 | the tombstone | 4, from its beginning: each of it may be done twice |
    ///
    /// # Errors
    /// The disk's error. If that was in step 3, the message is deleted, and the committer goes on.
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
            self.unlink(part.file, id)?;
            point!("message.part-untied");
        }
        Ok(())
    }

    /// Goes on with step 3 of every message whose tombstone is here. An error is no reason to serve nothing:
    /// the committer tries it again.
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

    /// The tombstone of a deleted entry; `None` if it has none.
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
