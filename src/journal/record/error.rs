//! The reasons why a frame is no record.

/// The reason why a frame is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A later version of this program wrote it. A start refuses such a frame, as it might be a
    /// promise.
    #[error("the kind {kind} in its version {version} is unknown: a newer gridspool wrote it")]
    Unknown {
        /// Its kind.
        kind: u8,
        /// Its version.
        version: u8,
    },
    /// This program never writes such bytes.
    #[error("the record is damaged: {0}")]
    Damaged(&'static str),
}
