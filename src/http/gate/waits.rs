//! Room for senders that wait for a commit.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The most senders that wait at once. Each holds two connections of nginx: the one from the client
/// and the one to this process. A worker of a stock nginx has 768 in all.
const MOST_WAITING: usize = 200;

/// Room for waiting senders. A sender without room is answered at once.
#[derive(Debug)]
pub(in crate::http) struct Waits(Semaphore);

impl Default for Waits {
    fn default() -> Self {
        Self(Semaphore::new(MOST_WAITING))
    }
}

impl Waits {
    /// Returns room for one sender, for as long as the permit lives; `None` if there is none.
    pub(in crate::http) fn begin(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}
