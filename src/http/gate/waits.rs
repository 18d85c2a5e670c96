//! Room for senders who wait for a commit.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Senders that wait at once, at most. Each holds two connections of nginx: the one from the client and the
/// one to this process. A worker of a stock nginx has 768 in all.
const MOST_WAITING: usize = 200;

/// Room for those who wait. A sender that finds none is answered at once.
#[derive(Debug)]
pub(in crate::http) struct Waits(Semaphore);

impl Default for Waits {
    fn default() -> Self {
        Self(Semaphore::new(MOST_WAITING))
    }
}

impl Waits {
    /// Room for one, as long as this lives; `None` if there is none.
    pub(in crate::http) fn begin(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}
