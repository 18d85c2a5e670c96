//! The reasons why an upload is not taken in.

use std::io;

use crate::file::InvalidMetadata;
use crate::form::FormError;
use crate::journal::{AdoptError, JournalError, UploadError};
use crate::linking::LinkError;
use crate::message::MessageError;
use crate::peers::Unreachable;
use crate::spool::ClaimError;

/// The reason why nothing of an upload is kept. Each protocol reports it in its own words.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The named file is no spool file, or is gone.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The journal refuses it.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The first answer under this key cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An upload that is to grow does not.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The form cannot be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The metadata cannot be kept with the file.
    #[error(transparent)]
    Metadata(#[from] InvalidMetadata),
    /// The body exists, and the disk does not return it.
    #[error("a body cannot be read: {0}")]
    UnreadableBody(io::Error),
    /// The disk does not tell its free space.
    #[error("the disk does not answer: {0}")]
    DiskSilent(io::Error),
    /// The body does not have a digest that its sender stated.
    #[error("the body has another digest than its sender stated")]
    DigestMismatch,
    /// It is longer than this node allows.
    #[error("the body is larger than this node takes")]
    TooLarge,
    /// It is longer than this sender is allowed.
    #[error("the body is larger than its sender may send")]
    LargerThanAllowed,
    /// This sender may not send files of its type.
    #[error("its sender may send no files of this type")]
    TypeNotAllowed,
    /// The sender has sent too many uploads within a minute.
    #[error("too many uploads within a minute; the next one in {seconds} s")]
    TooManyUploads {
        /// The next upload may come after this many seconds.
        seconds: u32,
    },
    /// The sender may never send this many uploads within a minute.
    #[error("more files at once than may come in a minute")]
    TooManyAtOnce,
    /// Too many bytes of this sender wait for their commit.
    #[error("too many bytes of this sender are pending")]
    TooMuchPending,
    /// It is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// It has two keys: its own id, and another one in its head.
    #[error("the message has one id, and its head another")]
    TwoKeys,
    /// The token of its sender is for another sender, or for other receivers.
    #[error("the token does not allow `{0}` of this message")]
    PartyNotAllowed(&'static str),
    /// A file that the message refers to is being removed, or is gone.
    #[error("a part of the message is gone")]
    PartGone,
    /// A file that the message refers to belongs already to the most messages that it may.
    #[error("a part of the message belongs to too many messages")]
    TooManyLinks,
    /// A file could not be linked to the message.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Too many messages wait for this receiver.
    #[error("too many messages wait for {0}")]
    ReceiverFull(String),
    /// The form holds no file.
    #[error("the form holds no file")]
    NoFile,
    /// Each file of a form keeps all texts of the form, and that takes too much room.
    #[error("the texts of the form are too long for so many files")]
    TooMuchMetadata,
    /// The upload with this key is being taken in at this moment.
    #[error("the upload with this key is being taken in")]
    StillRunning,
    /// Another upload has this key.
    #[error("another upload was sent under this key")]
    KeyOfAnother,
    /// Nobody knows whether the upload with this key was taken in before.
    #[error("nobody knows whether the upload was taken in before: {0}")]
    KeyUnsure(Unreachable),
    /// The node with a part of a file does not answer.
    #[error(transparent)]
    Owner(#[from] Unreachable),
    /// The task of the upload was lost. The log has the cause.
    #[error("the work for an upload was lost")]
    Lost,
}

impl From<tokio::task::JoinError> for IntakeError {
    fn from(lost: tokio::task::JoinError) -> Self {
        log::error!("work for an upload was lost: {lost}");
        Self::Lost
    }
}
