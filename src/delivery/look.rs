//! Looks for a file on this node's disk: the journal is asked as little as can be, and the store for what
//! the journal forgets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::recent::Ticket;
use super::{Delivery, DeliveryError, text_bytes_of_meta};
use crate::file::{FileId, FileKey};
use crate::journal::{Adopted, Busy, Glimpse, Kept, Look, Room};
use crate::store::Sha256;

/// How long a download waits for something that it can do without.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

impl Delivery {
    /// The journal's answer about an id. For what it does not have, and for what was asked for a moment
    /// ago, its memory is enough.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn look(&self, id: FileId) -> Result<Look, DeliveryError> {
        let mut look = self.look_in_journal(id).await?;
        if let Look::Kept(kept) = &mut look
            && kept.room == Room::Settled
            && kept.sha256.is_none()
        {
            kept.sha256 = self.recall_digest(id).await;
        }
        Ok(look)
    }

    async fn look_in_journal(&self, id: FileId) -> Result<Look, DeliveryError> {
        match self.journal.glance(id) {
            Ok(None) => return Ok(Look::Absent),
            Ok(Some(Glimpse {
                room: Room::Deleted,
                ..
            })) => return Ok(Look::Deleted),
            Ok(Some(Glimpse { room, sha256 })) => {
                if let Some(kept) = self.kept.get(&id) {
                    let kept = Kept::clone(&kept);
                    return Ok(Look::Kept(Kept {
                        room,
                        sha256,
                        ..kept
                    }));
                }
            }
            Err(Busy) => {}
        }
        let ticket = self.kept.ticket();
        let look = self.on_disk(move |journal| journal.look(id)).await?;
        if let Look::Kept(kept) = &look {
            self.keep(ticket, kept.clone());
        }
        Ok(look)
    }

    /// Learns of a file that was promised just now: whoever it was sent to asks for it in this moment, and
    /// gets it without a look at the disk. The arguments are those of [`Journal::kept`](crate::journal::Journal::kept).
    pub fn learn(&self, adopted: &Adopted, is_whole_body: bool, content: Option<Bytes>) {
        let ticket = self.kept.ticket();
        if let Some(kept) = self.journal.kept(adopted, is_whole_body, content) {
            self.keep(ticket, kept);
        }
    }

    fn keep(&self, ticket: Ticket, kept: Kept) {
        let content_bytes = kept.content.as_ref().map_or(0, Bytes::len);
        let text_bytes = text_bytes_of_meta(&kept.meta) + content_bytes;
        let id = kept.id;
        self.kept.put(ticket, &id, Arc::new(kept), text_bytes);
    }

    /// Asks the store for the digest of a settled file, which the journal forgets in a restart. A
    /// store that does not answer soon is not waited for: the file is here.
    async fn recall_digest(&self, id: FileId) -> Option<Sha256> {
        if !(self.is_store_up)() {
            return None;
        }
        let key = FileKey::Id(id);
        let found = tokio::time::timeout(PATIENCE, self.store.find(&key, false)).await;
        match found {
            Ok(Ok(found)) => {
                let sha256 = found?.sha256?;
                self.journal.note_digest(id, sha256);
                return Some(sha256);
            }
            Ok(Err(err)) => log::warn!("{id}: its digest is not told: {err}"),
            Err(_) => log::warn!("{id}: its digest is not told: the store takes its time"),
        }
        None
    }
}
