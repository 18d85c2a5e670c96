//! Why an upload is not taken in.

use std::io;

use crate::file::InvalidMetadata;
use crate::form::FormError;
use crate::journal::{AdoptError, JournalError};
use crate::spool::ClaimError;

/// Why nothing of an upload is kept. Each protocol tells it in its own words.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The spool file is none, or is gone.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The journal does not take it.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The first answer to a request cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The form cannot be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The metadata cannot be kept with the file.
    #[error(transparent)]
    Metadata(#[from] InvalidMetadata),
    /// The body is there, and the disk does not give it.
    #[error("a body cannot be read: {0}")]
    UnreadableBody(io::Error),
    /// The disk does not say what is free on it.
    #[error("the disk does not answer: {0}")]
    DiskSilent(io::Error),
    /// The body does not have a digest that its sender stated.
    #[error("the body has another digest than its sender stated")]
    DigestMismatch,
    /// It is longer than this node takes.
    #[error("the body is larger than this node takes")]
    TooLarge,
    /// It is longer than this sender may send.
    #[error("the body is larger than its sender may send")]
    LargerThanAllowed,
    /// This sender may not send files of its type.
    #[error("its sender may send no files of this type")]
    TypeNotAllowed,
    /// The sender has sent too many within a minute.
    #[error("too many uploads within a minute; the next one in {seconds} s")]
    TooManyUploads {
        /// After so many seconds the next one may come.
        seconds: u32,
    },
    /// They are more than the sender may ever send within a minute.
    #[error("more files at once than may come in a minute")]
    TooManyAtOnce,
    /// Too many bytes of this sender wait for their commit.
    #[error("too many bytes of this sender are pending")]
    TooMuchPending,
    /// The form holds no file.
    #[error("the form holds no file")]
    NoFile,
    /// Each file of a form keeps all texts of it, and that is too much.
    #[error("the texts of the form are too long for so many files")]
    TooMuchMetadata,
    /// The upload with this key is being taken in just now.
    #[error("the upload with this key is being taken in")]
    StillRunning,
    /// Another upload was sent under this key.
    #[error("another upload was sent under this key")]
    KeyOfAnother,
    /// The work for it was lost. The log has the cause.
    #[error("the work for an upload was lost")]
    Lost,
}

impl From<tokio::task::JoinError> for IntakeError {
    fn from(lost: tokio::task::JoinError) -> Self {
        log::error!("work for an upload was lost: {lost}");
        Self::Lost
    }
}
