//! Why a head is refused.

use crate::file::InvalidMetadata;

/// Why a field of a head, or all of it, cannot be heeded. The caller is told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum HeadError {
    /// Servers could read the path in two ways.
    AmbiguousPath,
    /// The path names nothing that could be a file.
    NoKey,
    /// The request has more than one token.
    ManyTokens,
    /// A field is not one of RFC 9530.
    Digest,
    /// `Idempotency-Key` is not one string, or is too long.
    IdempotencyKey,
    /// `Upload-Metadata` is not made of names and texts in base64.
    Metadata,
    /// `Upload-Metadata` has one name twice.
    RepeatedMetadata,
    /// Metadata that can be read, and not kept.
    UnkeptMetadata(InvalidMetadata),
    /// A form, or a part of it, cannot be read.
    Form(&'static str),
    /// The body has a content coding.
    Coded,
    /// The body is not the whole file, or belongs to another protocol.
    NotWhole {
        /// The field, or the place, that says so.
        by: &'static str,
        /// The answer to that.
        said: &'static str,
    },
    /// The body did not come in one of the ways in which nginx hands bodies over.
    BodyNotPassed,
    /// nginx has counted a body and names no file.
    NoBodyFile,
}

impl From<InvalidMetadata> for HeadError {
    fn from(err: InvalidMetadata) -> Self {
        Self::UnkeptMetadata(err)
    }
}
