//! One fsync of a directory for many uploads: it makes last whatever was changed before it began.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the fsyncs of one directory, so that an upload can tell which of them cover its change.
#[derive(Debug, Default)]
pub(super) struct SharedSync {
    begun: AtomicU64,
    /// The last begun of those that succeeded.
    succeeded: AtomicU64,
}

/// That a change was done before any fsync that has a higher number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed(u64);

impl SharedSync {
    /// To be called when a change in the directory is done, and not before.
    pub(super) fn changed(&self) -> Changed {
        Changed(self.begun.load(Ordering::SeqCst))
    }

    /// Makes a change last. Calls `sync` unless another thread's fsync, begun after the change,
    /// has succeeded meanwhile. Waits for nobody: the kernel itself joins fsyncs that overlap.
    ///
    /// # Errors
    /// Those of `sync`. A failure covers nobody and is told to nobody else.
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
