//! Errors of the log.

use std::io;
use std::path::PathBuf;

use crate::journal::volume::Poisoned;

/// The reason why a frame was not appended to the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// An fsync failed: an earlier one, or that of this group.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// It is larger than a group may be.
    #[error("a frame of {0} bytes does not fit into the log")]
    TooLarge(usize),
    /// The disk refused the group; the log goes on with the next one.
    #[error("write to the log: {text}")]
    Disk {
        /// The system's error number, if it came from the system.
        code: Option<i32>,
        /// Its kind.
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
    /// The thread that wrote the group panicked.
    #[error("the thread that wrote the group panicked")]
    Panicked,
}

impl From<io::Error> for AppendError {
    fn from(err: io::Error) -> Self {
        Self::Disk {
            code: err.raw_os_error(),
            kind: err.kind(),
            text: err.to_string(),
        }
    }
}

/// The reason why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its segment has been trimmed.
    #[error("the segment is gone")]
    Gone,
    /// The bytes at this position are not the frame that was written there. It is damage if the index
    /// still names this position.
    #[error("the frame is damaged or has been overwritten")]
    Damaged,
    /// The disk returned an error.
    #[error("read from the log: {0}")]
    Disk(#[from] io::Error),
}

/// The caller refuses a frame; the text says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// The reason why a log cannot be opened. The attempt changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer program wrote it. Nothing was written.
    #[error("{path}: the log has format {form}, which this version does not know")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format.
        form: u32,
    },
    /// The caller refused a frame. Nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The disk returned an error.
    #[error("{path}: {source}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl OpenError {
    /// Adds the path to an I/O error.
    pub(in crate::journal) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }
}
