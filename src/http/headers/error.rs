//! The reasons why a head is refused.

use crate::file::InvalidMetadata;

/// The reason why a head, or a field of it, is refused. The texts are for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum HeadError {
    #[error(
        "The path has dots, slashes, backslashes or parameters that servers read in different ways."
    )]
    AmbiguousPath,
    /// The path cannot be that of a file.
    #[error("There is no such file.")]
    NoKey,
    #[error("The request has more than one token.")]
    ManyTokens,
    #[error("A digest field is not one of RFC 9530.")]
    Digest,
    #[error("Idempotency-Key is not one string of 1 to 255 printable ASCII characters.")]
    IdempotencyKey,
    #[error("The request has no Idempotency-Key, so there is nothing to look for.")]
    NoIdempotencyKey,
    #[error("Upload-Metadata is not made of names and texts in base64.")]
    Metadata,
    /// tus demands that names are unique.
    #[error("Upload-Metadata has one name twice.")]
    RepeatedMetadata,
    /// The metadata is well-formed, and cannot be kept.
    #[error(transparent)]
    UnkeptMetadata(#[from] InvalidMetadata),
    /// A form, or a part of it, cannot be read.
    #[error("{0}")]
    Form(&'static str),
    #[error("The body has a content coding. Send the file itself, without Content-Encoding.")]
    Coded,
    /// The body is not the whole file, or belongs to another protocol.
    #[error("{by}: {said} Send the whole file in one request.")]
    NotWhole {
        /// The field or the place that shows it.
        by: &'static str,
        /// The explanation for the caller.
        said: &'static str,
    },
    /// The version of tus is missing, or another (tus 1.0.0, Core protocol).
    #[error("Tus-Resumable does not name version 1.0.0.")]
    TusVersion,
    /// A field of a resumable upload cannot be read.
    #[error("{0}")]
    UploadField(&'static str),
    /// The lengths in a request contradict each other.
    #[error("The lengths of the whole upload contradict each other.")]
    UploadLength,
    #[error("Upload-Checksum is no digest of sha1, sha256 or sha512 in base64.")]
    Checksum,
    /// The body of an append has another type.
    #[error("The body of an append has the type {0}.")]
    PatchType(&'static str),
    /// The body did not come in one of the ways in which nginx hands bodies over.
    #[error("The body did not arrive through the front server.")]
    BodyNotPassed,
    /// nginx has counted a body and names no file.
    #[error("The body did not arrive through the front server.")]
    NoBodyFile,
}
