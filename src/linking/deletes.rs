//! Deletes a message, from the moment at which no caller finds it any more.
//!
//! The life of a delete:
//! 1. The owner of the package's id is asked, because only the owner knows whether the package
//!    waits there for its commit. If the owner is away, the store's package is enough.
//! 2. If it waits there, a tombstone that keeps the message is synced in that journal. If the store
//!    has the package, it gets the mark of a dying file there, by a majority; a settled copy leaves
//!    the journal. From here on the message is deleted: nobody finds it. If this process stops, a
//!    start finds the tombstone, and a sweep finds the mark ([`super::sweep`]).
//! 3. The message leaves the lists of its receivers.
//! 4. Each part is unlinked where it is, and is removed with its last link. The node that made its
//!    id is always asked first, because its journal may have links that the store does not have yet.
//!    If that node is away, the part stays, and so does the package, as the note of the work that is
//!    left.
//! 5. The owner of the package hears of the delete, if it was away, and its journal drops its copy.
//!    Until then the mark stays.
//! 6. The package goes last: tombstone, document, chunks, and the note that nothing is left.
//!
//! An owner that was away finds the mark by its own sweep, as soon as it and the store are back.
//! Until then its journal may show the message to callers of that node, and to all callers while the
//! store is away.
//!
//! | cut after | leaves | goes on |
//! |---|---|---|
//! | 1 | the message | nobody: no caller was told |
//! | 2 | a dying package with all of its parts, or a tombstone | the next sweep of any node; a start of this one |
//! | 3, 4 | the same, with fewer | the same: each step may be done twice |
//! | within 4 | a part that is dying, or has a tombstone that stands open | the sweep, by these marks |
//! | 5 | a dying package without parts | the sweep |
//! | within 6 | the same of the package | the same |

use futures::stream;
use futures::{FutureExt as _, StreamExt as _};

use super::{LinkError, Links};
use crate::file::FileId;
use crate::journal::MessageDeletion;
use crate::message::Message;
use crate::message::links::Reason;
use crate::store::{Cause, StoreError};

/// The most files that are unlinked at the same time.
const AT_ONCE: usize = 8;

impl Links {
    /// Does steps 3 and 4.
    ///
    /// # Errors
    /// The first error; every part was tried. The caller should repeat this, which does no harm.
    pub async fn untie_all(&self, id: FileId, message: &Message) -> Result<(), LinkError> {
        self.leave_lists(id, message).await?; // 3
        let parts = message.parts.iter().map(|part| part.file);
        self.untie_files(id, parts.collect(), Reason::Deleted).await // 4
    }

    /// Takes a deleted message out of its receivers' lists.
    ///
    /// # Errors
    /// The store's error.
    pub async fn leave_lists(&self, id: FileId, message: &Message) -> Result<(), StoreError> {
        self.messages.leave(id, &message.to).await
    }

    /// Unlinks files from a message, a few at the same time. Without a word of the node that made its id,
    /// a file stays as it is: the journal of that node may have a link that the store does not have yet.
    ///
    /// # Errors
    /// The first error; every file was tried. The caller should repeat this, which does no harm.
    pub async fn untie_files(
        &self,
        message: FileId,
        files: Vec<FileId>,
        reason: Reason,
    ) -> Result<(), LinkError> {
        let untied = stream::iter(files).map(|file| self.unlink(file, message, reason).boxed());
        let untied: Vec<_> = untied.buffer_unordered(AT_ONCE).collect().await;
        untied
            .into_iter()
            .try_for_each(|unlinked| unlinked.map(|_| ()))
    }

    /// Does steps 3 to 6, for a message that is dying in the store.
    ///
    /// # Errors
    /// The errors of [`Links::untie_all`].
    pub async fn finish_delete(&self, id: FileId, message: &Message) -> Result<(), LinkError> {
        self.untie_all(id, message).await?;
        match self.peers.find_owner(id).await? {
            Some(owner) => drop(self.peers.delete_message(owner, id).await?),
            None => self.forget_message(id).await?,
        } // 5
        self.messages.remove_dying(id, Cause::Deleted).await?; // 6
        Ok(())
    }

    /// Deletes this journal's copy of a message that is dying in the store.
    async fn forget_message(&self, id: FileId) -> Result<(), LinkError> {
        let forgotten = self.on_disk(move |journal| match journal.delete_message(id)? {
            MessageDeletion::Settled(_) => journal.leave_settled(id),
            // The committer goes on with a package that waited.
            MessageDeletion::NotHere | MessageDeletion::Deleted(_) | MessageDeletion::Already => {
                Ok(())
            }
        });
        Ok(forgotten.await?)
    }
}
