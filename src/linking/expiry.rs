//! Removes plain uploads whose time without a link is over (`unlinked_expires`).
//!
//! The life of such a file:
//! 1. Its upload says how many seconds it stays without a link. The commit writes the time into its document.
//! 2. A message that links to it takes it out of the index of that time, by the link itself. If the message is
//!    never promised, the link is taken back, and the file is in the index again.
//! 3. The sweep of the node that made its id finds it when its time is over; if that node is down, the sweep of
//!    any other node does.
//! 4. The journal of that node is looked at. A file that waits there for its commit may have links that the store
//!    does not have yet, so it stays for now. A settled copy leaves the journal. A node that is down has stated
//!    what it has settled (`ownerless`).
//! 5. The document gets the mark of a dying file, in one question: its time must be over by the store's clock, and
//!    it must have no link at that moment. From here on nobody links to it.
//! 6. It is removed as any dying file.
//!
//! | cut after | leaves | goes on |
//! |---|---|---|
//! | 4 | the file | the next sweep |
//! | 5, within 6 | a dying file, or a tombstone that stands open | the sweep of any node |

use super::{LinkError, Links};
use crate::file::FileId;
use crate::journal::Standing;
use crate::store::Cause;

impl Links {
    /// Removes a file whose time without a link is over. Returns false if it stays for now.
    ///
    /// # Errors
    /// [`LinkError`]; the file may be gone or not, and this can be repeated.
    pub(super) async fn expire(&self, id: FileId) -> Result<bool, LinkError> {
        match self.peers.find_owner(id).await? {
            Some(owner) if self.peers.is_down(owner) => {
                return Ok(self.delete_ownerless(owner, id).await?.is_some());
            }
            Some(_) => return Ok(false),
            None => {}
        } // 3
        let standing = self.on_disk(move |journal| {
            journal.leave_settled(id)?;
            Ok::<_, LinkError>(journal.standing(id))
        });
        if standing.await? != Standing::Committed {
            return Ok(false);
        } // 4
        if !self.messages.begin_expiry(id).await? {
            return Ok(false);
        } // 5
        self.messages.remove_dying(id, Cause::Expired).await?; // 6
        Ok(true)
    }
}
