//! Deletes a message, from the moment at which no caller finds it any more.
//!
//! The life of a delete:
//! 1. The owner of the package's id is asked, because only the owner knows whether the package
//!    waits there for its commit.
//! 2. If it waits there, a tombstone that keeps the message is synced in that journal. If the store
//!    has the package, it gets the mark of a dying file there, by a majority; a settled copy leaves
//!    the journal. From here on the message is deleted: nobody finds it. If this process stops, a
//!    start finds the tombstone, and a sweep finds the mark ([`Links::sweep`]).
//! 3. The message leaves the lists of its receivers.
//! 4. Each part is unlinked where it is, and is removed with its last link. The node that made its
//!    id is always asked. If that node is away, the store is asked all the same, and the package
//!    stays as the note of the work that is left.
//! 5. The package goes last: tombstone, document, chunks, and the note that nothing is left.
//!
//! | cut after | leaves | goes on |
//! |---|---|---|
//! | 1 | the message | nobody: no caller was told |
//! | 2 | a dying package with all of its parts, or a tombstone | the next sweep of any node; a start of this one |
//! | 3, 4 | the same, with fewer | the same: each step may be done twice |
//! | within 4 | a part that is dying, or has a tombstone that stands open | the sweep, by these marks |
//! | within 5 | the same of the package | the same |

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::{LinkError, Links};
use crate::file::FileId;
use crate::message::Message;
use crate::message::links::Unlinked;
use crate::store::{Cause, Dying, StoreError};

/// The most parts that are unlinked at the same time.
const AT_ONCE: usize = 8;

/// The pause between two sweeps. A sweep follows soon enough that nobody notices the rest of a cut
/// delete.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

/// The most files of one sweep.
const MOST_SWEPT: u32 = 1000;

impl Links {
    /// Does steps 3 and 4.
    ///
    /// # Errors
    /// The first error; every part was tried. The caller should repeat this, which does no harm.
    pub async fn untie_all(&self, id: FileId, message: &Message) -> Result<(), LinkError> {
        self.messages.leave(id, &message.to).await?; // 3
        let parts: Vec<_> = message.parts.iter().map(|part| part.file).collect();
        let untied = stream::iter(parts).map(|file| self.untie(file, id));
        let untied: Vec<_> = untied.buffer_unordered(AT_ONCE).collect().await; // 4
        untied.into_iter().collect()
    }

    async fn untie(&self, file: FileId, message: FileId) -> Result<(), LinkError> {
        match self.unlink(file, message).await {
            Err(LinkError::Owner(err)) => {
                if self.messages.unlink(file, message).await? == Unlinked::Last {
                    self.messages.remove_dying(file, Cause::Unlinked).await?;
                }
                Err(LinkError::Owner(err))
            }
            untied => untied.map(|_| ()),
        }
    }

    /// Does steps 3 to 5, for a message that is dying in the store.
    ///
    /// # Errors
    /// The errors of [`Links::untie_all`].
    pub async fn finish_delete(&self, id: FileId, message: &Message) -> Result<(), LinkError> {
        self.untie_all(id, message).await?;
        self.messages.remove_dying(id, Cause::Deleted).await?; // 5
        Ok(())
    }

    /// Goes on with all deletes that were cut. Returns how many files were removed.
    ///
    /// # Errors
    /// An error, if the store cannot list them.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let mut gone = 0;
        for dying in self.messages.dying(MOST_SWEPT).await? {
            let (id, finished) = match dying {
                Dying::Package(id, message) => (id, self.finish_delete(id, &message).await),
                Dying::File(id) => {
                    let removed = self.messages.remove_dying(id, Cause::Unlinked).await;
                    (id, removed.map(|_| ()).map_err(LinkError::Store))
                }
            };
            match finished {
                Ok(()) => gone += 1,
                Err(LinkError::Store(err @ StoreError::Unavailable(_))) => return Err(err),
                Err(err) => log::debug!("{id}: is still to go: {err}"),
            }
        }
        Ok(gone)
    }

    /// Sweeps again and again, while the store answers, until `stop`.
    pub async fn keep_sweeping(&self, is_store_up: impl Fn() -> bool, stop: CancellationToken) {
        let sweeps = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                if !is_store_up() {
                    continue;
                }
                match self.sweep().await {
                    Ok(0) => {}
                    Ok(gone) => log::info!("{gone} files went whose delete was cut short"),
                    Err(err) => log::debug!("nothing is swept: {err}"),
                }
            }
        };
        stop.run_until_cancelled(sweeps).await;
    }
}
