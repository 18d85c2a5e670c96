//! Checks that the head of an upload means one whole file, or the beginning of a resumable upload,
//! without a coding and without another protocol.
//!
//! An upload is answered with the promise of a file. A client that sends a piece of a file or a
//! compressed file, or that speaks another protocol, would misread that promise. So such a head is
//! refused before the body, and the answer names the field. This file must never know who asks.

use actix_web::http::header::{self, HeaderMap};
use percent_encoding::percent_decode_str;

use super::structured::{Said, boolean, integer};
use super::{HeadError, pieces, resumable, tus};

/// Fields that override the method of a request (RFC 9110 knows none of them).
const OVERRIDES: [&str; 3] = [
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
];

/// Fields that only uploads of other protocols have, and the answer to each.
const FOREIGN: &[(&str, &str)] = &[
    ("Content-Range", PIECE),
    ("X-Content-Range", PIECE),
    ("X-Update-Range", PIECE),
    ("OC-Chunked", PIECE),
    ("OC-Chunk-Offset", PIECE),
    ("X-MS-Range", PIECE),
    ("X-MS-Page-Write", PIECE),
    ("Tus-Resumable", TUS),
    ("Upload-Concat", TUS),
    ("Upload-Defer-Length", TUS),
    ("Upload-Checksum", TUS),
    ("Upload-Offset", RESUMED),
    ("X-Upload-Content-Length", SESSION),
    ("X-Upload-Content-Type", SESSION),
    ("X-Goog-Resumable", SESSION),
    ("X-Goog-Upload-Command", SESSION),
    ("X-Goog-Upload-Protocol", SESSION),
    ("X-Goog-Upload-Offset", SESSION),
    ("X-Amz-Decoded-Content-Length", SIGNED),
    ("X-Amz-Copy-Source", COPY),
    ("X-Goog-Copy-Source", COPY),
    ("X-MS-Copy-Source", COPY),
    ("Content-Transfer-Encoding", ENCODED),
];

const PIECE: &str = "pieces of files are not put together here.";
const TUS: &str = "tus is spoken at /uploads, and not here.";
const RESUMED: &str = "an upload is resumed at its own address, and not here.";
const UNCLEAR: &str = "it begins no upload that can be resumed here. A complete one says ?1.";
const SESSION: &str = "upload sessions are not opened here.";
const SIGNED: &str = "bodies of signed chunks are not taken here.";
const COPY: &str = "files are not copied here.";
const ENCODED: &str = "bodies in a transfer encoding are not taken here.";
const OVERRIDE: &str = "the method of a request is not changed by a header here.";
const LENGTH: &str = "it is not the length of the body.";

/// Types of bodies that are pieces, and the answer to each.
const PIECE_TYPES: [(&str, &str); 3] = [
    ("multipart/byteranges", PIECE),
    (tus::PATCH_TYPE, TUS),
    (resumable::PATCH_TYPE, RESUMED),
];

/// The digest of the body, or a word for a body in several pieces.
const AMZ_DIGEST: &str = "X-Amz-Content-SHA256";

/// The request line, and the length of the body.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Asked<'a> {
    /// The method, in capitals.
    pub(in crate::http) method: &'a str,
    /// The target with its query.
    pub(in crate::http) target: &'a str,
    /// Bytes of the body, if that is known yet.
    pub(in crate::http) length: Option<u64>,
}

/// The meaning of the head of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Meaning {
    /// The body is a whole file. `is_resumable` says that its sender speaks of resumable uploads.
    Whole { is_resumable: bool },
    /// A resumable upload begins, and the body has its first bytes. The length of the whole in
    /// bytes, if it is told.
    Begins { declared: Option<u64> },
}

/// Refuses a head that means neither one whole file nor the beginning of a resumable upload.
///
/// # Errors
/// A refusal that names the field.
pub(in crate::http) fn check(headers: &HeaderMap, asked: Asked<'_>) -> Result<Meaning, HeadError> {
    check_coding(headers)?;
    let has = |name: &str, is_meant: &dyn Fn(&[u8]) -> bool| {
        let mut values = headers.get_all(name);
        values.any(|value| is_meant(value.as_bytes()))
    };
    for (name, said) in FOREIGN {
        if has(name, &|value| !is_harmless(name, value)) {
            return Err(not_whole(name, said));
        }
    }
    for name in OVERRIDES {
        if has(name, &|value| {
            !value.eq_ignore_ascii_case(asked.method.as_bytes())
        }) {
            return Err(not_whole(name, OVERRIDE));
        }
    }
    if has(AMZ_DIGEST, &|value| value.starts_with(b"STREAMING-")) {
        return Err(not_whole(AMZ_DIGEST, SIGNED));
    }
    let meaning = meaning(headers, asked)?;
    let is_piece = |(kind, _): &(&str, &str)| {
        let mut claimed = headers.get_all(header::CONTENT_TYPE);
        claimed.any(|value| {
            let essence = value.as_bytes().split(|byte| b";,".contains(byte)).next();
            essence
                .is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(kind.as_bytes()))
        })
    };
    if let Some((kind, said)) = PIECE_TYPES.into_iter().find(is_piece) {
        return Err(not_whole(kind, said));
    }
    check_query(asked.target)?;
    let texts = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    check_fields(texts)?;
    Ok(meaning)
}

/// Refuses a file if the fields beside it tell that it is one of several pieces.
///
/// # Errors
/// When they tell that.
pub(in crate::http) fn check_fields<'a>(
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), HeadError> {
    if pieces::are_told(fields) {
        Err(not_whole(
            "The number of chunks that the request tells",
            PIECE,
        ))
    } else {
        Ok(())
    }
}

/// Refuses a part of a form if a line of its head tells that it is coded, or a piece.
///
/// # Errors
/// As [`check`].
pub(in crate::http) fn check_line_of_part(name: &str, value: &[u8]) -> Result<(), HeadError> {
    if name.eq_ignore_ascii_case(header::CONTENT_ENCODING.as_str()) && !is_uncoded(value) {
        return Err(HeadError::Coded);
    }
    if name.eq_ignore_ascii_case(header::CONTENT_RANGE.as_str()) {
        return Err(not_whole("Content-Range of a part", PIECE));
    }
    Ok(())
}

/// `by` is a word of the tables above.
fn not_whole(by: &'static str, said: &'static str) -> HeadError {
    HeadError::NotWhole { by, said }
}

/// Refuses a coded body (RFC 9110 §15.5.16): it would be kept and sent as if it were the file.
///
/// # Errors
/// When a field names a coding.
pub(in crate::http) fn check_coding(headers: &HeaderMap) -> Result<(), HeadError> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING);
    if codings.all(|value| is_uncoded(value.as_bytes())) {
        Ok(())
    } else {
        Err(HeadError::Coded)
    }
}

/// Returns whether a list of codings has only `identity`.
fn is_uncoded(codings: &[u8]) -> bool {
    codings.split(|&byte| byte == b',').all(|coding| {
        let coding = coding.trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    })
}

/// Whether a value changes nothing.
fn is_harmless(name: &str, value: &[u8]) -> bool {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    match name {
        "OC-Chunked" => is("0") || is("false"),
        "Content-Transfer-Encoding" => is("binary") || is("8bit") || is("7bit"),
        _ => false,
    }
}

/// Reads the fields of draft-ietf-httpbis-resumable-upload-12 (§4.1, §4.2).
fn meaning(headers: &HeaderMap, asked: Asked<'_>) -> Result<Meaning, HeadError> {
    let complete = boolean(headers, "upload-complete");
    // The first drafts have this field.
    let incomplete = boolean(headers, "upload-incomplete");
    let is_resumable = complete == Said::Yes;
    let begins = match (complete, incomplete) {
        (Said::Nothing, Said::Nothing) => {
            if headers.contains_key(resumable::INTEROP_VERSION) {
                return Err(not_whole("Upload-Complete", UNCLEAR));
            }
            false
        }
        (Said::Yes, Said::Nothing | Said::No) | (Said::Nothing, Said::No) => false,
        (Said::No, Said::Nothing) if resumable::is_spoken(headers) => true,
        (Said::No | Said::Unclear, _) | (_, Said::Yes | Said::Unclear) => {
            return Err(not_whole("Upload-Complete", UNCLEAR));
        }
    };
    let told = integer(headers, "upload-length");
    if begins {
        return match (told, asked.length) {
            (Some(told), Some(length)) if length > told => Err(HeadError::UploadLength),
            (declared, _) => Ok(Meaning::Begins { declared }),
        };
    }
    let is_right = match (told, asked.length) {
        // It may be of another protocol.
        (None, _) => is_resumable || !headers.contains_key("upload-length"),
        (Some(_), None) => true,
        (Some(told), Some(length)) => told == length,
    };
    if is_right {
        Ok(Meaning::Whole { is_resumable })
    } else if is_resumable {
        Err(HeadError::UploadLength)
    } else {
        Err(not_whole("Upload-Length", LENGTH))
    }
}

/// Refuses pieces and sessions that are named in the query.
fn check_query(target: &str) -> Result<(), HeadError> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            [name, value].map(|text| percent_decode_str(text).decode_utf8_lossy())
        })
        .collect();
    let fields = || pairs.iter().map(|[name, value]| (&**name, &**value));
    let has = |wanted: &str| fields().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let is = |wanted: &str, word: &str| {
        fields().any(|(name, value)| {
            name.eq_ignore_ascii_case(wanted) && value.eq_ignore_ascii_case(word)
        })
    };
    let is_session = has("uploadId") && has("partNumber")
        || is("uploads", "")
        || is("uploadType", "resumable")
        || is("upload_protocol", "resumable")
        || ["block", "blocklist", "page", "appendblock"]
            .iter()
            .any(|word| is("comp", word));
    if is_session {
        return Err(not_whole("The query", SESSION));
    }
    check_fields(fields())
}

#[cfg(test)]
mod tests;
