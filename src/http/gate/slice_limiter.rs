//! Limits the slices, and the whole files, that are sent at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::Problem;

/// The most slices on their way to nginx at one time. Only this bounds the copies that actix makes
/// for hundreds of readers: slices of one file come from the same memory.
const AT_ONCE: usize = 16;

/// The most whole files at one time. Each takes as long as its client reads, and no well-formed
/// request needs one.
const WHOLE_AT_ONCE: usize = 8;

/// Permits for slices, and for whole files.
#[derive(Debug)]
pub(in crate::http) struct SliceLimiter {
    slices: Arc<Semaphore>,
    whole: Arc<Semaphore>,
}

impl Default for SliceLimiter {
    fn default() -> Self {
        Self {
            slices: Arc::new(Semaphore::new(AT_ONCE)),
            whole: Arc::new(Semaphore::new(WHOLE_AT_ONCE)),
        }
    }
}

impl SliceLimiter {
    /// Waits for a permit for a slice; the body of the answer holds it. The semaphore is never
    /// closed; without a permit the slice would go all the same.
    pub(in crate::http) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slices).acquire_owned().await.ok()
    }

    /// Takes a permit for a whole file; the body of the answer holds it.
    ///
    /// # Errors
    /// 503 if all are taken, because a client may hold one for long.
    pub(in crate::http) fn take_whole(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.whole).try_acquire_owned();
        permit.map_err(|_| Problem::body_not_sent())
    }
}
