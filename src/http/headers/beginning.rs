//! The head of a request that begins an upload, by tus, by the draft, or as a whole file.

use actix_web::http::header::{self, HeaderMap};

use super::dialect::UPLOAD_COMPLETE;
use super::{
    HeadError, content_type, digest, disposition, idempotency_key, path, tus, upload_metadata,
    whole,
};
use crate::file::{FileId, FileName, WholeDigests};
use crate::intake::{ClaimedType, NewUpload, Sender, StatedDigests};
use crate::journal::{Becomes, Ends};

/// An upload that begins.
#[derive(Debug)]
pub(in crate::http) struct Beginning {
    pub(in crate::http) upload: NewUpload,
    /// The digests of its first body alone.
    pub(in crate::http) digests: StatedDigests,
    /// Whether its first body completes it, if it has all of its bytes. By the draft only a body that
    /// has come whole and says so does (§4.4), and such a body is no beginning.
    pub(in crate::http) ends: Ends,
    /// The uploads that it is made of, if it is final (tus, Concatenation).
    pub(in crate::http) parts: Option<Vec<FileId>>,
}

/// Reads the head of an upload by tus.
///
/// # Errors
/// When a field cannot be read.
pub(in crate::http) fn by_tus(headers: &HeaderMap, sender: Sender) -> Result<Beginning, HeadError> {
    whole::check_coding(headers)?;
    let digests = tus::checksum(headers)?;
    let mut metadata = upload_metadata::read(headers)?;
    let said = |names: [&str; 2]| {
        let mut texts = metadata.pairs();
        texts
            .find(|(name, _)| names.contains(name))
            .map(|(_, text)| text)
    };
    let content_type = said(["filetype", "type"]).map(str::as_bytes);
    let (declared, becomes, parts) = match tus::kind(headers)? {
        tus::Kind::Whole(declared) => (declared, Becomes::File, None),
        tus::Kind::Partial(declared) => (declared, Becomes::Part, None),
        tus::Kind::Final(parts) => (None, Becomes::File, Some(parts)),
    };
    let filename = said(["filename", "name"]).and_then(FileName::from_claim);
    let content_type = ClaimedType::read(content_type);
    if parts.is_some() {
        tus::keep_parts(headers, &mut metadata)?;
    } else if metadata.has(tus::CONCAT) {
        let said = "The text upload_concat is one of files that are made of parts.";
        return Err(HeadError::UploadField(said));
    }
    Ok(Beginning {
        upload: NewUpload {
            content_type,
            filename,
            key: idempotency_key::read(headers)?,
            declared,
            becomes,
            whole: WholeDigests::default(),
            sender,
            metadata,
        },
        digests,
        ends: Ends::AtLength,
        parts,
    })
}

/// Reads the head of an upload to this target of files or messages. `declared` is the length of the
/// whole in bytes.
///
/// # Errors
/// When a field cannot be read.
pub(in crate::http) fn at(
    headers: &HeaderMap,
    target: &str,
    declared: Option<u64>,
    sender: Sender,
) -> Result<Beginning, HeadError> {
    let boundary = content_type::boundary(headers)?;
    let becomes = if path::is_of_messages(target) {
        Becomes::Message
    } else if boundary.is_some() {
        Becomes::Form
    } else {
        Becomes::File
    };
    let completes_itself = becomes == Becomes::File && !headers.contains_key(UPLOAD_COMPLETE);
    Ok(Beginning {
        upload: NewUpload {
            content_type: match &boundary {
                Some(boundary) => content_type::of_form(boundary),
                None => content_type::claimed(headers),
            },
            filename: filename(headers, target).filter(|_| becomes == Becomes::File),
            key: idempotency_key::read(headers)?,
            declared,
            becomes,
            whole: digest::of_whole(headers)?,
            sender,
            metadata: upload_metadata::read(headers)?,
        },
        digests: digest::of_content(headers)?,
        ends: if completes_itself {
            Ends::AtLength
        } else {
            Ends::Later
        },
        parts: None,
    })
}

/// The upload as which the first bytes are kept of a whole request under a key, if it breaks off.
///
/// # Errors
/// As [`at`].
pub(in crate::http) fn of_whole(
    headers: &HeaderMap,
    target: &str,
    length: Option<u64>,
    sender: &Sender,
) -> Result<Option<NewUpload>, HeadError> {
    let begun = at(headers, target, length, sender.clone())?;
    Ok(Some(begun.upload).filter(|upload| upload.key.is_some()))
}

/// The name of a file that is uploaded to this target: the one in its head in preference to the last
/// part of the path.
pub(in crate::http) fn filename(headers: &HeaderMap, target: &str) -> Option<FileName> {
    let claimed = headers.get(header::CONTENT_DISPOSITION);
    claimed
        .and_then(|value| disposition::claimed_name(value.as_bytes()))
        .or_else(|| path::name(target))
}
