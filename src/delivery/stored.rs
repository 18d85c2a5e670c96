//! Finds files in the store: one lookup serves all callers that ask at the same time, and for a while
//! after.

use std::sync::Arc;

use futures::FutureExt as _;

use super::{Delivery, DeliveryError, Found, text_bytes_of};
use crate::file::FileKey;
use crate::journal::Room;
use crate::store::{StoreError, StoredFile};

/// The recent requests for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Once,
    /// nginx has its bytes.
    Again,
}

impl Delivery {
    /// Finds a file as [`Delivery::find_here`] does, after nginx has not found its body in the journal. A settled file
    /// has lost it to an eviction that could not go on, and is in the store.
    ///
    /// # Errors
    /// As [`Delivery::find_here`].
    pub async fn find_without_body(&self, key: &FileKey) -> Result<Found, DeliveryError> {
        let found = self.find_here(key).await?;
        let is_settled = matches!(&found, Found::Kept(kept) if kept.room == Room::Settled);
        if is_settled {
            Ok(self.stored(key).await?.unwrap_or(Found::Absent))
        } else {
            Ok(found)
        }
    }

    /// Finds a file in the store alone. One that was deleted elsewhere may be found for five
    /// seconds more.
    ///
    /// # Errors
    /// When the store has to be asked and does not answer.
    pub(super) async fn stored(&self, key: &FileKey) -> Result<Option<Found>, StoreError> {
        if let FileKey::Id(id) = key
            && self.deleted.get(id).is_some()
        {
            return Ok(None);
        }
        let (recent, asked) = match key {
            FileKey::Id(_) => (&self.stored, self.ask(key)),
            // Most keys of other drivers are guesses.
            FileKey::Foreign(_) => (&self.foreign, Some(Asked::Again)),
        };
        if let Some((file, is_aging)) = recent.get_aged(key) {
            if is_aging && let FileKey::Id(id) = *key {
                self.refresh.add(id);
            }
            return Ok(Some(found(file, asked)));
        }
        self.check_store()?;
        let with_content = asked != Some(Asked::Again);
        let begin = || {
            let (store, recent, key) = (self.store.clone(), recent.clone(), key.clone());
            async move {
                // Another lookup may have found it since the first check.
                if let Some(file) = recent.get(&key) {
                    return Ok(Some(file));
                }
                let ticket = recent.ticket();
                let file = store.find(&key, with_content).await?.map(Arc::new);
                // The answer "none" is not kept: the file may be committed at any moment.
                if let Some(file) = &file {
                    recent.put(ticket, &key, Arc::clone(file), text_bytes_of(file));
                }
                Ok(file)
            }
            .boxed()
        };
        let file = self.lookups.join(key, begin).await?;
        Ok(file.map(|file| found(file, asked)))
    }

    /// Counts the earlier requests for a file. This is noted before the answer is there: if many ask at
    /// once, one of them gets the bytes for all.
    fn ask(&self, key: &FileKey) -> Option<Asked> {
        let asked = self.asked.get(key);
        let now = match asked {
            None => Asked::Once,
            Some(Asked::Once) => Asked::Again,
            Some(Asked::Again) => return asked,
        };
        self.asked.put(self.asked.ticket(), key, now, 0);
        asked
    }
}

/// A file, with its bytes if they are in memory. The second request goes to nginx, which then has the
/// bytes when they have left this memory. The first does not: most small files have one receiver, and
/// for one receiver it costs twice as much to have nginx cache them.
fn found(file: Arc<StoredFile>, asked: Option<Asked>) -> Found {
    let is_second = asked == Some(Asked::Once);
    let at_hand = file.content.clone().filter(|_| !is_second);
    Found::Stored { file, at_hand }
}
