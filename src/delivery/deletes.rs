//! Deletes messages, wherever their packages are.

use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, DeliveryError};
use crate::file::{FileId, FileKey};
use crate::journal::MessageDeletion;
use crate::message::Message;
use crate::peers::Unreachable;
use crate::store::Deleted;

/// The longest time that a caller waits until the parts are gone, too. The message itself is
/// already deleted then.
const PATIENCE: Duration = Duration::from_secs(5);

impl Delivery {
    /// Deletes a message. This journal deletes one that waits here for its commit, without a
    /// question to the store. The owner deletes one that waits there. The store deletes any other.
    /// After this has ended, nobody finds the message, nor any of its parts that belongs to no
    /// other message. Other nodes may find them for as long as any file that was deleted elsewhere.
    /// [`crate::linking`] tells what a cut leaves, and who goes on.
    ///
    /// # Errors
    /// As [`Delivery::message`]; the message may be deleted or not, and the delete can be repeated.
    pub async fn delete_message(&self, id: FileId) -> Result<Deleted, DeliveryError> {
        let deleted = self.delete_message_everywhere(id).await;
        if deleted.is_ok() {
            // After an error the message may live, so lists must not pass it.
            self.deleted.put(self.deleted.ticket(), &id, (), 0);
        }
        // A lookup that begins later finds nothing, as for files.
        self.told.forget(&id);
        self.forget(&FileKey::Id(id));
        // Caches may have the parts under their own ids, and some parts may belong to other
        // messages.
        self.stored.forget_all();
        deleted
    }

    /// Tells whether a message was deleted here, or a moment ago through this node.
    pub(super) fn is_deleted_here(&self, id: FileId) -> bool {
        self.deleted.get(&id).is_some() || self.journal.is_deleted(id)
    }

    /// Refuses to delete an entry of another node that this journal is taking over: the rescue may have to
    /// begin again, and would bring it back.
    pub(super) fn check_not_foreign(&self, id: FileId) -> Result<(), Unreachable> {
        match self.peers.owner_of(id) {
            Some(owner) if self.journal.length(id).is_some() => {
                let reason = "its journal is being taken over";
                Err(Unreachable::new(owner, reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn delete_message_everywhere(&self, id: FileId) -> Result<Deleted, DeliveryError> {
        self.check_not_foreign(id)?;
        let of_journal = match self
            .on_disk(move |journal| journal.delete_message(id))
            .await?
        {
            MessageDeletion::Deleted(_) => return Ok(Deleted::Gone),
            MessageDeletion::Already => return Ok(Deleted::Absent),
            MessageDeletion::Settled(message) => Some(message),
            MessageDeletion::NotHere => None,
        };
        if of_journal.is_none()
            && let Some(owner) = self.peers.find_owner(id).await?
        {
            return self.delete_message_of(owner, id).await;
        }
        let of_store = self.messages.begin_delete(id).await?.map(Arc::new);
        if of_journal.is_some() {
            self.on_disk(move |journal| journal.leave_settled(id))
                .await?;
        }
        let Some(message) = of_store.or(of_journal) else {
            return Ok(Deleted::Absent);
        };
        self.finish(id, message).await;
        Ok(Deleted::Gone)
    }

    /// Asks the owner to delete a message. If the owner does not answer and the store has the
    /// package, this deletes the message in the store: the mark stays there until the owner has
    /// heard of it. Without a document only the owner knows whether there is such a message.
    async fn delete_message_of(&self, owner: u16, id: FileId) -> Result<Deleted, DeliveryError> {
        match self.peers.delete_message(owner, id).await {
            Err(_) if self.delete_stored_message(id).await? => Ok(Deleted::Gone),
            deleted => Ok(deleted?),
        }
    }

    /// Returns whether the store had the message.
    async fn delete_stored_message(&self, id: FileId) -> Result<bool, DeliveryError> {
        let Some(message) = self.messages.begin_delete(id).await? else {
            return Ok(false);
        };
        self.finish(id, Arc::new(message)).await;
        Ok(true)
    }

    /// Does the rest of the steps. If this process stops here, a start or a sweep goes on.
    async fn finish(&self, id: FileId, message: Arc<Message>) {
        let links = Arc::clone(&self.links);
        let finishing = tokio::spawn(async move { links.finish_delete(id, &message).await });
        match tokio::time::timeout(PATIENCE, finishing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(err))) => {
                log::warn!("{id}: is deleted, and some of it is still to go: {err}");
            }
            Ok(Err(lost)) => log::error!("{id}: the end of its delete was lost: {lost}"),
            Err(_) => log::debug!("{id}: is deleted, and some of it goes slowly"),
        }
    }
}
