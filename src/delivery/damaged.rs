//! Damaged messages in lists. Each is told as far as it can be read, so that its receiver knows of it
//! and gets its parts, and so that the rest of the list goes on.

use std::sync::Arc;

use super::Delivery;
use super::messages::wording_of;
use super::recent::Ticket;
use crate::file::FileId;
use crate::message::Wording;
use crate::store::{StoreError, StoredMessage};

impl Delivery {
    /// Returns the words of a message from the store, for a list. If its package is damaged, the
    /// words say so. Returns `None` if nothing of the message can be read.
    ///
    /// # Errors
    /// Any error but `Damaged`: the message may be whole.
    pub(super) async fn listed_wording(
        &self,
        ticket: Ticket,
        id: FileId,
        stored: Option<StoredMessage>,
    ) -> Result<Option<Arc<Wording>>, StoreError> {
        let Some(stored) = stored else {
            self.report_damage(id, "its document cannot be read, so no list has it");
            return Ok(None);
        };
        match self.keep_message(ticket, id, stored.clone()).await {
            Ok(message) => Ok(Some(Arc::clone(&message.wording))),
            Err(StoreError::Damaged(reason)) => {
                self.report_damage(id, &reason);
                Ok(Some(Arc::new(wording_of(id, &stored, None)?)))
            }
            Err(err) => Err(err),
        }
    }

    /// Logs the damage of a message once in a while: receivers read their lists again and again.
    fn report_damage(&self, id: FileId, reason: &str) {
        if self.damaged.get(&id).is_none() {
            self.damaged.put(self.damaged.ticket(), &id, (), 0);
            log::error!("the message {id} is damaged: {reason}");
        }
    }
}
