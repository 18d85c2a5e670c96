//! Uploads that may still grow: the values of their operations.
//! [`open_upload`](super::Journal::open_upload) begins one, [`append`](super::Journal::append) grows and
//! completes it, [`end_upload`](super::Journal::end_upload) ends it.
//!
//! An upload is an entry of the log from its first moment. It has one file among the bodies. The offset
//! that the log states is the number of its bytes that are there for good; bytes behind it were never
//! told, and the next append removes them.
//!
//! | operation | cut after | leaves | the next start |
//! |---|---|---|---|
//! | open | 1, 2 queued | nothing, or the upload | keeps it until it expires: no caller was told yet |
//! | | 2 | the upload | keeps it |
//! | append | 1 to 3 | the old offset, perhaps with a longer body | keeps both; the next append makes the body as long as the offset |
//! | | 4 queued | the old offset or the new one; or, if it completes, the open upload or the whole file | goes on from it: the bytes are durable before the frame is queued |
//! | | 4 | the new offset; or the file | goes on from it |
//! | small append | 4 queued, 4 | the old offset; or the new one, with bytes that only the frame has | writes these bytes into the body, and goes on from the offset |
//! | end, expire | 1 queued | the upload, or a tombstone | goes on with either: no caller was told yet |
//! | | 1, 2 | a tombstone, perhaps with the body | unlinks the body, then erases the tombstone |

use std::sync::Arc;

use super::adopt::{Adopted, Draft};
use super::record::{Becomes, Body, File, State, Subject, Upload};
use super::{AdoptError, JournalError};
use crate::file::{
    FileId, FileMeta, FileName, MediaType, Metadata, Sha512, UnixMillis, WholeDigests,
};
use crate::message::Belonging;
use crate::store::Sha256;

/// An upload to begin.
#[derive(Debug, Clone)]
pub struct UploadDraft {
    /// The description of the file that it becomes. `stated` is the digest of the whole.
    pub draft: Draft,
    /// The length of the whole, if it is known.
    pub declared: Option<u64>,
    /// The thing that it becomes. A part is put together with others
    /// ([`concatenate`](super::Journal::concatenate)); of a form or a message the caller makes files
    /// ([`made`](super::Journal::made)).
    pub becomes: Becomes,
    /// Another digest of the whole.
    pub sha512: Option<Sha512>,
}

/// An upload that may still grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The number of its bytes that are there for good. It never shrinks.
    pub offset: u64,
    /// The length of the whole, if it is known.
    pub declared: Option<u64>,
    /// When it ends if it does not grow.
    pub lapses: UnixMillis,
    /// When it was begun.
    pub begun: UnixMillis,
    /// Its name, if its sender gave one.
    pub filename: Option<FileName>,
    /// Its type, as claimed.
    pub content_type: MediaType,
    /// Texts that its sender added.
    pub metadata: Metadata,
    /// The subject of the token that it was begun with.
    pub sub: Option<Arc<str>>,
    /// The subject that has it among its pending bytes.
    pub subject: Subject,
    /// The thing that it becomes.
    pub becomes: Becomes,
}

/// An upload that has become the files of a form or a message. It is kept until it lapses, to tell it.
#[derive(Debug)]
pub struct MadeUpload {
    /// Its length in bytes.
    pub length: u64,
    /// The thing that it has become.
    pub becomes: Becomes,
    /// Texts that its sender added.
    pub metadata: Metadata,
    /// The subject of the token that it was begun with.
    pub sub: Option<Arc<str>>,
    /// Its files.
    pub files: MadeFiles,
}

/// The files that an upload has become, the package of a message first.
#[derive(Debug)]
pub enum MadeFiles {
    /// Those of the answer to this key ([`answer_to`](super::Journal::answer_to)).
    Under(Sha256),
    /// These; the upload itself was at a node that has left.
    These(Vec<Adopted>),
}

/// The state of an upload.
#[derive(Debug)]
pub enum UploadState {
    /// It may still grow.
    Open(OpenUpload),
    /// It is a promised file, or a file that the store has.
    Complete {
        /// The file.
        adopted: Adopted,
        /// The subject of the token that it was uploaded with.
        sub: Option<Arc<str>>,
    },
    /// It is the files of a form, or a message.
    Made(MadeUpload),
    /// It was ended, has expired, or was deleted as a file.
    Ended,
}

/// The statements of an append about the whole upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completion {
    /// The length of the whole, if it is told now.
    pub declared: Option<u64>,
    /// When the upload is complete.
    pub ends: Ends,
    /// The digests of the whole.
    pub stated: WholeDigests,
}

/// When an upload is complete, by the words of one append. A part of a file never is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ends {
    /// As soon as it has its declared length.
    #[default]
    AtLength,
    /// With this append.
    Now,
    /// With a later append, even if it has its declared length.
    Later,
}

/// The outcome of an append. Both are made only after the last sync.
#[derive(Debug)]
pub enum Appended {
    /// The upload may still grow; this is its new state.
    Grown(OpenUpload),
    /// The upload is a promised file.
    Complete(Adopted),
    /// All of its bytes are there, and it is to become the files of a form, or a message. It stays open
    /// until then: an empty append asks for it again.
    Whole(OpenUpload),
}

/// The reason why an append did not count. The offset is the one before it.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Nothing of this upload is here.
    #[error("there is no such upload")]
    Absent,
    /// It was ended, or has expired.
    #[error("the upload has ended")]
    Ended,
    /// The append begins elsewhere: the upload has this many bytes.
    #[error("the upload has {0} bytes")]
    Offset(u64),
    /// It is complete: this is the file.
    #[error("the upload is complete")]
    Complete(Box<Adopted>),
    /// It has become the files of a form, or a message.
    #[error("the upload is complete")]
    Made(Box<MadeUpload>),
    /// The append goes beyond the length of the whole.
    #[error("the upload has {declared} bytes in all")]
    TooLong {
        /// The length of the whole.
        declared: u64,
    },
    /// Another length was declared, or the last append does not reach it.
    #[error("the upload was declared to have {declared} bytes in all")]
    LengthDiffers {
        /// The length of the whole.
        declared: u64,
    },
    /// Another append to it is under way.
    #[error("another append is under way")]
    Busy,
    /// The whole has another digest than its sender stated. The upload has ended, as its content
    /// cannot become right.
    #[error("the upload has another digest than its sender stated")]
    Digest,
    /// A part of a file to put together is no complete partial upload.
    #[error("{0} is no complete part")]
    Part(FileId),
    /// There is no room, or the disk returned an error.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// Its record or its body cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Upload {
    /// The file that it becomes.
    pub(super) fn complete(
        &self,
        id: FileId,
        length: u64,
        uploaded: UnixMillis,
        stated: Option<Sha256>,
    ) -> File {
        let name = self.filename.clone();
        File {
            meta: FileMeta {
                filename: name.unwrap_or_else(|| FileName::of_id(id)),
                content_type: self.content_type.clone(),
                length,
                uploaded,
                metadata: self.metadata.clone(),
                revision: None,
            },
            body: Body::Linked { offset: 0 },
            stated,
            subject: self.subject,
            answer: self.answer,
            state: State::Waiting,
            belonging: Belonging {
                sub: self.sub.clone(),
                ..Belonging::default()
            },
        }
    }
}
