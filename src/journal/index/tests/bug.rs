//! Deliberate bugs.

/// A fault in a journal, so that the model can show that it would find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Callers are told when a frame is queued.
    WordBeforeSync,
    /// A start tells what it found, and leaves it unsynced.
    StartSpeaksBeforeSync,
    /// A copy is made of what was read some time ago, whatever has come since.
    CopyOutsideTheLock,
    /// A copy is the base as it was, without the changes behind it.
    CopyWithoutChanges,
    /// The head of the group with the copies tells that their segment is free.
    OldestWithItsCopies,
    /// The marks of a group that failed count.
    FailureTaken,
    /// The body of a deleted entry goes before its tombstone is synced.
    UnlinkBeforeSync,
}
