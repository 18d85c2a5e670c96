//! The dialect of a request about an upload resource: tus, or the IETF's draft.

use actix_web::http::header::{HeaderMap, HeaderName};

use super::{content_type, tus};

/// The offset of an upload in bytes; both dialects have it.
pub(in crate::http) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The length of an upload in bytes; both dialects have it.
pub(in crate::http) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// Whether an upload is complete (draft).
pub(in crate::http) const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

/// The limits of an upload (draft).
pub(in crate::http) const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// The version of an answer (tus).
pub(in crate::http) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");

/// The versions that are spoken (tus).
pub(in crate::http) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");

/// The largest upload in bytes (tus).
pub(in crate::http) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");

/// A protocol of resumable uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Dialect {
    /// tus 1.0.0.
    Tus,
    /// draft-ietf-httpbis-resumable-upload-12.
    Draft,
}

impl Dialect {
    /// Returns the dialect of a request. The draft has requests without any field of its own.
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(TUS_RESUMABLE) || content_type::is_of(headers, tus::PATCH_TYPE) {
            Self::Tus
        } else {
            Self::Draft
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::testing::head;

    #[test]
    fn tus_is_told_by_its_version_or_its_type() {
        for (fields, expected) in [
            (&[][..], Dialect::Draft),
            (&[("upload-complete", "?1")], Dialect::Draft),
            (&[("tus-resumable", "0.1")], Dialect::Tus),
            (
                &[("content-type", "application/offset+octet-stream")],
                Dialect::Tus,
            ),
        ] {
            assert_eq!(Dialect::of(&head(fields)), expected, "{fields:?}");
        }
    }
}
