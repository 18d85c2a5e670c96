//! Errors of the journal.

use std::io;
use std::path::PathBuf;

use super::volume::Poisoned;
use crate::file::FileId;

/// The reason why an upload was not promised. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A high-water mark is reached; the text says which.
    #[error("the journal is full: {0}")]
    Full(String),
    /// An fsync failed earlier: no promises are made until a restart.
    #[error("the journal makes no promises: {0}")]
    Poisoned(String),
    /// The disk has no room for one more name or record, or has too little free space.
    #[error("no space in the journal: {0}")]
    NoSpace(io::Error),
    /// Too few inodes are free; the text says how many.
    #[error("no space in the journal: {0}")]
    NoInodes(String),
    /// The disk returned an error.
    #[error("{step}: {source}")]
    Disk {
        /// The step that failed.
        step: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// The reason why an entry could not be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no such entry, or no longer.
    #[error("{0} is not in the journal")]
    Absent(FileId),
    /// The entry exists and cannot be read.
    #[error("{id}: {reason}")]
    Unreadable {
        /// The entry.
        id: FileId,
        /// The fault.
        reason: String,
    },
    /// The disk returned an error.
    #[error("{id}: {step}: {source}")]
    Disk {
        /// The entry.
        id: FileId,
        /// The step that failed.
        step: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// The reason why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The marker file is missing.
    #[error("{0} is missing: is the disk mounted? `gridspool init` begins a new journal there")]
    NoMarker(PathBuf),
    /// It has the first format, which this version does not read.
    #[error(
        "{0}: a journal of an earlier format. Have the version that wrote it drain it (start it, and wait until nothing is pending), then move it away and begin a new one with `gridspool init`"
    )]
    EarlierFormat(PathBuf),
    /// A newer version wrote it. Nothing was written.
    #[error("{path}: a journal of format {form:?}, which this version does not know")]
    NewerFormat {
        /// Its marker.
        path: PathBuf,
        /// The format in the marker.
        form: String,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] super::wal::OpenError),
    /// Another node takes its entries over, or has them. Nothing was written.
    #[error(
        "{journal}: its entries were taken over by {by}. This node begins with a new data directory, and with a number that no node had"
    )]
    Rescued {
        /// The directory.
        journal: PathBuf,
        /// The node that has them.
        by: String,
    },
    /// Another sidecar has opened this journal.
    #[error("{0} is locked: another sidecar works on this journal")]
    Locked(PathBuf),
    /// Spool and journal are not on one file system, or it has no hard links.
    #[error("spool files cannot be linked into the journal: {0}")]
    NoLinks(io::Error),
    /// The disk returned an error.
    #[error("{path}: {source}")]
    Disk {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether the journal has a format that this version does not read, or was taken over: a restart
    /// does not help.
    pub fn is_of_another_format(&self) -> bool {
        use super::wal::OpenError as LogError;
        match self {
            Self::EarlierFormat(_)
            | Self::NewerFormat { .. }
            | Self::Rescued { .. }
            | Self::Log(LogError::NewerFormat { .. } | LogError::Refused(_)) => true,
            Self::Log(LogError::Disk { .. })
            | Self::NoMarker(_)
            | Self::Locked(_)
            | Self::NoLinks(_)
            | Self::Disk { .. } => false,
        }
    }

    /// Adds the path to an I/O error.
    pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }
}

impl From<Poisoned> for AdoptError {
    fn from(Poisoned(reason): Poisoned) -> Self {
        Self::Poisoned(reason)
    }
}

/// The id in an error of the log that belongs to no entry.
pub(super) const NO_ENTRY: FileId = FileId::from_bytes([0; FileId::BYTES]);

/// Adds the step to an I/O error. A full disk and an earlier failed fsync become errors of their own.
pub(super) fn at(step: &'static str) -> impl FnOnce(io::Error) -> AdoptError {
    move |source| {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let cause = source.get_ref();
        if let Some(Poisoned(reason)) = cause.and_then(|cause| cause.downcast_ref()) {
            AdoptError::Poisoned(reason.clone())
        } else if full.contains(&source.kind()) {
            AdoptError::NoSpace(source)
        } else {
            AdoptError::Disk { step, source }
        }
    }
}
