//! The fields of resumable uploads over HTTP (draft-ietf-httpbis-resumable-upload-12).
//!
//! An upload begins as a request with `Upload-Complete: ?0` for the resource that shall get the
//! file. Each append is a PATCH of the upload resource. This file must never know the other
//! dialect, tus.

use actix_web::http::header::HeaderMap;

use super::structured::{self, Said};
use super::{HeadError, content_type};
use crate::journal::Ends;

/// The type of the body of an append (§6).
pub(in crate::http) const PATCH_TYPE: &str = "application/partial-upload";

/// The versions of the draft that are spoken here. Both have the same fields.
const VERSIONS: [u64; 2] = [8, 9];

/// The field that names the version of a request.
pub(in crate::http) const INTEROP_VERSION: &str = "upload-draft-interop-version";

/// A request that appends to an upload (§4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Append {
    /// The offset at which the body stands, in bytes.
    pub(in crate::http) offset: u64,
    /// Whether the upload is complete with this body. Without the client's word it is not, even if all
    /// of its bytes are there (§4.1.3).
    pub(in crate::http) ends: Ends,
    /// The length of the whole upload, if the request tells it.
    pub(in crate::http) declared: Option<u64>,
}

impl Append {
    /// Reads an append with a body of this length, as far as that is known (§4.1.3, §4.4).
    ///
    /// # Errors
    /// When the type is another; when the offset or the completeness is missing; when two lengths of
    /// the whole contradict each other.
    pub(in crate::http) fn read(
        headers: &HeaderMap,
        content: Option<u64>,
    ) -> Result<Self, HeadError> {
        if !content_type::is_of(headers, PATCH_TYPE) {
            return Err(HeadError::PatchType(PATCH_TYPE));
        }
        let offset = structured::integer(headers, "upload-offset")
            .ok_or(HeadError::UploadField("Upload-Offset has no offset."))?;
        let is_last = match structured::boolean(headers, "upload-complete") {
            Said::Yes => true,
            Said::No => false,
            Said::Nothing | Said::Unclear => {
                return Err(HeadError::UploadField(
                    "Upload-Complete says neither ?1 nor ?0.",
                ));
            }
        };
        let told = structured::integer(headers, "upload-length");
        let end = content.map(|content| offset.saturating_add(content));
        let is_consistent = match (told, end) {
            (Some(told), Some(end)) => told == end || !is_last && told > end,
            (None, _) | (_, None) => true,
        };
        if !is_consistent {
            return Err(HeadError::UploadLength);
        }
        Ok(Self {
            offset,
            ends: if is_last { Ends::Now } else { Ends::Later },
            declared: told.or(end.filter(|_| is_last)),
        })
    }
}

/// Refuses a question for the offset that tells an offset or a completeness itself: its sender takes it
/// for an append (§4.3).
///
/// # Errors
/// When it has one of these fields.
pub(in crate::http) fn check_question(headers: &HeaderMap) -> Result<(), HeadError> {
    let is_told = |name: &str| headers.contains_key(name);
    if is_told("upload-offset") || is_told("upload-complete") {
        return Err(HeadError::UploadField(
            "A question for the offset has neither Upload-Offset nor Upload-Complete.",
        ));
    }
    Ok(())
}

/// Whether a request is one of a version of the draft that is spoken here.
pub(in crate::http) fn is_spoken(headers: &HeaderMap) -> bool {
    let has_version = headers.contains_key(INTEROP_VERSION);
    let version = structured::integer(headers, INTEROP_VERSION);
    !has_version || version.is_some_and(|version| VERSIONS.contains(&version))
}

/// Returns the value of `Upload-Limit` (§4.1.4). `lasts_seconds` is the lifetime that the upload
/// resource has left.
pub(in crate::http) fn limit(max_bytes: u64, lasts_seconds: Option<u64>) -> String {
    // An integer of a structured field has at most 15 digits.
    const MOST: u64 = 999_999_999_999_999;
    let size = max_bytes.min(MOST);
    match lasts_seconds {
        None => format!("max-size={size}"),
        Some(seconds) => format!("max-size={size}, max-age={}", seconds.min(MOST)),
    }
}

#[cfg(test)]
mod tests {
    use sfv::{Dictionary, Parser};

    use super::*;
    use crate::http::headers::testing::head;

    const TYPE: (&str, &str) = ("content-type", PATCH_TYPE);
    const AT_5: (&str, &str) = ("upload-offset", "5");
    const LAST: (&str, &str) = ("upload-complete", "?1");
    const NOT_LAST: (&str, &str) = ("upload-complete", "?0");

    fn read(fields: &[(&str, &str)], content: Option<u64>) -> Result<Append, HeadError> {
        Append::read(&head(fields), content)
    }

    #[test]
    fn an_append_has_an_offset_and_says_whether_it_is_the_last() {
        for (fields, content, is_last, declared) in [
            (&[TYPE, AT_5, LAST][..], Some(3), true, Some(8)),
            (&[TYPE, AT_5, LAST], None, true, None),
            (&[TYPE, AT_5, NOT_LAST], Some(3), false, None),
            (
                &[TYPE, AT_5, NOT_LAST, ("upload-length", "9")],
                Some(3),
                false,
                Some(9),
            ),
            (
                &[TYPE, AT_5, NOT_LAST, ("upload-length", "8")],
                Some(3),
                false,
                Some(8),
            ),
            (
                &[TYPE, AT_5, LAST, ("upload-length", "8")],
                Some(3),
                true,
                Some(8),
            ),
            // Other values are ignored (§4.1.3).
            (
                &[TYPE, AT_5, NOT_LAST, ("upload-length", "nine")],
                Some(3),
                false,
                None,
            ),
        ] {
            let expected = Append {
                offset: 5,
                ends: if is_last { Ends::Now } else { Ends::Later },
                declared,
            };
            assert_eq!(read(fields, content), Ok(expected), "{fields:?}");
        }
    }

    #[test]
    fn an_append_without_offset_or_completeness_or_with_two_lengths_is_refused() {
        for fields in [
            &[TYPE, LAST][..],
            &[TYPE, ("upload-offset", "-5"), LAST],
            &[TYPE, AT_5],
            &[TYPE, AT_5, ("upload-complete", "1")],
        ] {
            let refused = read(fields, Some(3));
            let is_of_field = matches!(refused, Err(HeadError::UploadField(_)));
            assert!(is_of_field, "{fields:?}");
        }
        for (complete, length) in [(LAST, "9"), (LAST, "7"), (NOT_LAST, "7")] {
            let fields = [TYPE, AT_5, complete, ("upload-length", length)];
            assert_eq!(read(&fields, Some(3)), Err(HeadError::UploadLength));
        }
        let other = ("content-type", "application/octet-stream");
        for fields in [&[other, AT_5, LAST][..], &[AT_5, LAST]] {
            let refused = read(fields, Some(3));
            assert_eq!(refused, Err(HeadError::PatchType(PATCH_TYPE)));
        }
    }

    #[test]
    fn two_versions_of_the_draft_are_spoken() {
        let version = INTEROP_VERSION;
        for (fields, expected) in [
            (&[][..], true),
            (&[(version, "8")], true),
            (&[(version, "9")], true),
            (&[(version, "6")], false),
            (&[(version, "")], false),
            (&[(version, "8"), (version, "9")], false),
        ] {
            assert_eq!(is_spoken(&head(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn limits_are_a_dictionary() {
        assert_eq!(limit(5, None), "max-size=5");
        let longest = limit(u64::MAX, Some(u64::MAX));
        assert_eq!(longest, "max-size=999999999999999, max-age=999999999999999");
        let read: Dictionary = Parser::new(longest.as_bytes()).parse().unwrap();
        assert_eq!(read.len(), 2);
    }
}
