//! Deliberate bugs.

/// A fault in a journal. The model must notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Callers are answered when a frame is queued.
    WordBeforeSync,
    /// A start reports the frames that it found, and leaves them unsynced.
    StartSpeaksBeforeSync,
    /// A copy is made from an old reading, even after another step.
    CopyOutsideTheLock,
    /// A copy has the base as it was, without the changes after it.
    CopyWithoutChanges,
    /// The head of the group with the copies frees their segment.
    OldestWithItsCopies,
    /// The marks of a failed group are applied.
    FailureTaken,
    /// The body of a deleted entry is unlinked before its tombstone is synced.
    UnlinkBeforeSync,
}
