//! Deletes a file although the node that made its id does not answer.
//!
//! While a journal has a file that is not settled, only that journal knows the file's links, and its
//! next commit writes the file again. So each node states in the store the time before which it has
//! settled everything ([`Journal::settled_before`]), and any node may delete an older file:
//! 1. The owner is asked, as always. It does not answer.
//! 2. The file's document gets the mark of a dying file, in one question: it must be older than the
//!    owner's statement, have no link, and be no package. From here on nobody can link it. A younger
//!    file waits for its owner.
//! 3. The count of such deletes of the owner's files goes up: the owner compares it in every round.
//! 4. The file is removed as any dying file: tombstone, document, chunks, and the note that nothing is
//!    left. The caller is told.
//!
//! The journal of an owner that comes back, after weeks or from an old copy, may still have the file:
//!
//! | the owner has it as | because | so |
//! |---|---|---|
//! | settled | a full disk or a stop of the process delayed its eviction | the round below drops it |
//! | waiting | a power cut took the note of its commit, or the journal is an old copy | the round drops it; a commit that is quicker writes it, finds the mark or the tombstone behind its own write, and takes it back |
//! | waiting, with a commit under way | the process was frozen within the commit | its proof fails, as the document is gone, and the next attempt looks behind; an attempt that took long looks behind itself |
//! | the answer of a key | as after any delete | the key still has this answer |
//!
//! The owner's round, before each sweep: it states its time, and reads the count. At its first round,
//! and whenever the count has changed, it asks the store for marks and tombstones of all its files,
//! and drops those that have one. Until then its journal may show such a file, to callers of other
//! nodes as well; so does a journal without a store. The parts of a message are not deleted in this
//! way: they have links, and go with their messages.
//!
//! | cut after | leaves | goes on |
//! |---|---|---|
//! | 1 | the file | nobody: no caller was told |
//! | 2 | a dying file, which nobody finds | the sweep of any node. No caller was told; one that asks again is told that there is none, after the count went up |
//! | 3 | the same | the sweep of any node |
//! | within 4 | the same, or a tombstone that stands open | the same |

use std::time::Duration;

use super::{LinkError, Links};
use crate::file::FileId;
use crate::journal::{Deletion, Journal};
use crate::store::{Cause, Deleted, OwnerlessDelete, StoreError};

/// The files in one question for tombstones.
const AT_ONCE: usize = 1000;

impl Links {
    /// Deletes a file after its owner did not answer. `None`: the file must wait for its owner.
    ///
    /// # Errors
    /// The store's error; the file may be gone or not, and this can be repeated.
    pub async fn delete_ownerless(
        &self,
        owner: u16,
        id: FileId,
    ) -> Result<Option<Deleted>, StoreError> {
        let begun = self.messages.begin_ownerless_delete(owner, id).await?; // 2
        match begun {
            OwnerlessDelete::Begun | OwnerlessDelete::Before => {}
            OwnerlessDelete::Linked => return Ok(Some(Deleted::Linked)),
            OwnerlessDelete::Unsettled => return Ok(None),
        }
        self.messages.count_ownerless_delete(owner).await?; // 3
        if begun == OwnerlessDelete::Before {
            return Ok(Some(Deleted::Absent));
        }
        self.messages.remove_dying(id, Cause::Deleted).await?; // 4
        Ok(Some(Deleted::Gone))
    }

    /// Whether the store knows that a file was removed for good.
    ///
    /// # Errors
    /// The store's error.
    pub async fn is_removed(&self, id: FileId) -> Result<bool, StoreError> {
        Ok(!self.messages.removed(vec![id]).await?.is_empty())
    }

    /// Does the owner's round. `heard` is the count of the last round that came to its end.
    ///
    /// # Errors
    /// The store's error, or the journal's; the next round does the same again.
    pub(super) async fn heed_deletes(
        &self,
        heard: &mut Option<u64>,
        slack: Duration,
    ) -> Result<(), LinkError> {
        let before = self.on_disk(move |journal| journal.settled_before(slack));
        let (node, before) = (self.peers.number(), before.await);
        let count = self.messages.state_settled(node, before).await?;
        if *heard == Some(count) {
            return Ok(());
        }
        let ids = self.on_disk(Journal::promised_or_settled).await;
        for some in ids.chunks(AT_ONCE) {
            for id in self.messages.removed(some.to_vec()).await? {
                let dropped = self
                    .on_disk(move |journal| journal.delete_unlinked(id))
                    .await?;
                if matches!(dropped, Deletion::Done | Deletion::Settled) {
                    log::info!("{id}: was deleted while this node did not answer");
                }
            }
        }
        *heard = Some(count);
        Ok(())
    }
}
