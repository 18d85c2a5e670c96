//! Deliberate bugs.

/// A fault in a journal. The model must notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// An entry leaves, and its answer is not retained.
    GoneWithoutAnswer,
    /// An entry leaves when its answer is queued, and not synced.
    GoneBeforeRetained,
    /// The head of a group frees segments with answers that still live.
    OldestWithoutAnswers,
    /// An answer is learned, and its claim is given back, when its base is queued.
    LearnedBeforeSync,
    /// A claim is given back before its answer is learned.
    ClaimGivenBackEarly,
    /// The answer of a deleted file is retained like any other.
    DeletedForgotten,
    /// Lifetimes go by the wall clock.
    WallTime,
    /// A copy writes all retained answers of a segment anew, but memory learns of it when it is
    /// queued.
    MovedBeforeSync,
}
