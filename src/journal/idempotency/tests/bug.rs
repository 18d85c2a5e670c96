//! Deliberate bugs.

/// A fault in a journal, by which the model shows that it would notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// An entry leaves, and its answer is not retained.
    GoneWithoutAnswer,
    /// An entry leaves when its answer is queued, and not synced.
    GoneBeforeRetained,
    /// The head of a group frees segments although answers in them live.
    OldestWithoutAnswers,
    /// An answer is learned, and its claim given back, when its base is queued.
    LearnedBeforeSync,
    /// A claim is given back before its answer is learned.
    ClaimGivenBackEarly,
    /// The answer of a deleted file is retained like any other.
    DeletedForgotten,
    /// Lifetimes go by the wall clock.
    WallTime,
    /// A copy forward writes all that is retained in a segment anew, but memory is told when it is queued.
    MovedBeforeSync,
}
