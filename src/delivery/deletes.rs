//! Deletes messages, wherever their packages are.

use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, DeliveryError};
use crate::file::{FileId, FileKey};
use crate::journal::MessageDeletion;
use crate::message::Message;
use crate::store::Deleted;

/// How long a caller waits until the parts are gone, too. The message is deleted by then.
const PATIENCE: Duration = Duration::from_secs(5);

impl Delivery {
    /// Deletes a message. One that waits for its commit is deleted without a question to the store, one of
    /// another node by that node, and any other in the store. After this has ended, nobody finds the message,
    /// and no part of it that belongs to no other message; other nodes may for as long as a file that was
    /// deleted elsewhere. [`crate::linking`] tells what a cut leaves, and who goes on.
    ///
    /// # Errors
    /// As [`Delivery::message`]; the message may be deleted or not, and the delete can be repeated.
    pub async fn delete_message(&self, id: FileId) -> Result<Deleted, DeliveryError> {
        let deleted = self.delete_message_everywhere(id).await;
        // As for files: a lookup that begins later finds nothing.
        self.told.forget(&id);
        self.forget(&FileKey::Id(id));
        // Parts may be known under their own ids, and may still belong to others.
        self.stored.forget_all();
        deleted
    }

    async fn delete_message_everywhere(&self, id: FileId) -> Result<Deleted, DeliveryError> {
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
            && let Some(owner) = self.peers.owner_of(id)
        {
            return Ok(self.peers.delete_message(owner, id).await?);
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

    /// Does the rest, which whoever is cut off here finds again.
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
