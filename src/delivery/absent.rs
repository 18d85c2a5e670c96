//! Files that are nowhere: neither their owner nor the store has them.
//!
//! An owner makes ids of the present moment alone, and promises a file long before an hour has passed. So an id
//! that is older than that and belongs to no file will never belong to one that is promised, and is not asked
//! for again for a moment.

use std::time::Duration;

use super::{Delivery, DeliveryError, Found};
use crate::file::{FileId, FileKey, age_seconds};

/// No upload takes so long from its id to its promise, and no two clocks differ so much: a pass would not hold.
const SURE: Duration = Duration::from_hours(1);

impl Delivery {
    /// Finds a file that no node which is known here made; a node that is new may have made it.
    ///
    /// # Errors
    /// As [`Delivery::find`].
    pub(super) async fn find_here_or_at_new_node(
        &self,
        key: &FileKey,
    ) -> Result<Found, DeliveryError> {
        let found = self.find_here(key).await?;
        let (Found::Absent, &FileKey::Id(id)) = (&found, key) else {
            return Ok(found);
        };
        let Some(owner) = self.peers.find_owner(id).await? else {
            return Ok(found);
        };
        self.peers.check_up(owner)?;
        Ok(Found::Elsewhere { owner, id })
    }

    /// Finds a file, after its owner has said that it does not have it.
    ///
    /// # Errors
    /// As [`Delivery::find_here`].
    pub async fn find_after_owner(&self, id: FileId) -> Result<Found, DeliveryError> {
        let ticket = self.absent.ticket();
        let found = self.find_here(&FileKey::Id(id)).await?;
        let is_old = age_seconds(id.made_at()) > SURE.as_secs();
        if is_old && matches!(found, Found::Absent) {
            self.absent.put(ticket, &id, (), 0);
        }
        Ok(found)
    }
}
