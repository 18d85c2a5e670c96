//! Looks a file up on this node's disk, and asks the journal as little as possible.

use std::sync::Arc;

use bytes::Bytes;

use super::recent::Ticket;
use super::{Delivery, DeliveryError, text_bytes_of_meta};
use crate::file::FileId;
use crate::journal::{Adopted, Busy, Kept, Lookup, Room};

impl Delivery {
    /// The journal's answer about an id. The journal's memory is enough for a file that it does not
    /// have, and for one that was asked for a moment ago. The disk is read once more after the file was
    /// settled, for its digest.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn lookup(&self, id: FileId) -> Result<Lookup, DeliveryError> {
        match self.journal.try_lookup(id) {
            Ok(None) => return Ok(Lookup::Absent),
            Ok(Some(Room::Deleted)) => return Ok(Lookup::Deleted),
            Ok(Some(room)) => {
                let kept = self.kept.get(&id);
                if let Some(kept) = kept.filter(|kept| is_whole_for(kept, room)) {
                    let kept = Kept::clone(&kept);
                    return Ok(Lookup::Kept(Kept { room, ..kept }));
                }
            }
            Err(Busy) => {}
        }
        let ticket = self.kept.ticket();
        let lookup = self.on_disk(move |journal| journal.lookup(id)).await?;
        if let Lookup::Kept(kept) = &lookup {
            self.keep(ticket, kept.clone());
        }
        Ok(lookup)
    }

    /// Takes the description of a file that was promised just now: its receivers ask for it in this
    /// moment, and get it without a read of the disk. The arguments are those of
    /// [`Journal::kept`](crate::journal::Journal::kept).
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
}

/// Whether a kept description is complete for a file in this room. The description may have been read
/// in an earlier room; a settled file also has a digest.
fn is_whole_for(kept: &Kept, room: Room) -> bool {
    room != Room::Settled || kept.sha256.is_some()
}
