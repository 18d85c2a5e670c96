//! One fsync of a directory for many uploads: it covers all changes that were made before it began.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the fsyncs of one directory, so that an upload can tell which of them cover its change.
#[derive(Debug, Default)]
pub(super) struct SharedSync {
    begun: AtomicU64,
    /// The last begun fsync among those that succeeded.
    succeeded: AtomicU64,
}

/// The number of the last fsync that began before a change was complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed(u64);

impl SharedSync {
    /// To be called once a change in the directory is complete, and not before.
    pub(super) fn changed(&self) -> Changed {
        Changed(self.begun.load(Ordering::SeqCst))
    }

    /// Makes a change durable. Calls `sync` unless another thread's fsync that began after the change
    /// has succeeded meanwhile. Never waits for another thread: the kernel itself joins fsyncs that
    /// overlap.
    ///
    /// # Errors
    /// The errors of `sync`. A failed fsync covers no change, and only its own caller is told.
    pub(super) fn make_last(
        &self,
        changed: Changed,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if self.succeeded.load(Ordering::SeqCst) > changed.0 {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        sync()?;
        self.succeeded.fetch_max(number, Ordering::SeqCst);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::SeqCst)
    }
}
