//! The refusals of resumable uploads, and the fields that each dialect adds to a refusal.

use actix_web::http::{StatusCode, header};

use super::{Problem, RETRY_SOON};
use crate::file::FileId;
use crate::http::headers::dialect::{
    Dialect, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION, UPLOAD_COMPLETE, UPLOAD_LIMIT, UPLOAD_OFFSET,
};
use crate::http::headers::{resumable, tus};
use crate::intake::IntakeError;
use crate::journal::UploadError;

/// Two lengths of one upload.
const INCONSISTENT: &str = "inconsistent-upload-length";

/// A body beyond the length of its upload.
const BEYOND: &str = "beyond-upload-length";

/// The status of a wrong digest in tus (Checksum).
const CHECKSUM_MISMATCH: u16 = 460;

impl Problem {
    /// The body of an append stands at another offset (draft §7.1).
    pub(super) fn mismatching_offset(expected: u64) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "mismatching-upload-offset",
            "The upload has another offset.",
        )
        .with(UPLOAD_OFFSET, expected.to_string())
        .with_member("expected-offset", expected)
    }

    /// The refusal of an append to a complete upload.
    pub(in crate::http) fn append_to_complete(length: u64, provided: u64) -> Self {
        if length == provided {
            Self::upload_complete()
        } else {
            Self::mismatching_offset(length).with_member("provided-offset", provided)
        }
    }

    /// The refusal of an append at this offset.
    pub(in crate::http) fn of_append(err: IntakeError, provided: u64) -> Self {
        if let IntakeError::Upload(UploadError::Complete(adopted)) = &err {
            return Self::append_to_complete(adopted.meta().length, provided);
        } else if let IntakeError::Upload(UploadError::Made(made)) = &err {
            return Self::append_to_complete(made.length, provided);
        }
        let is_of_offset = matches!(err, IntakeError::Upload(UploadError::Offset(_)));
        let problem = Self::from(err);
        if is_of_offset {
            problem.with_member("provided-offset", provided)
        } else {
            problem
        }
    }

    /// Two lengths of the upload contradict each other (draft §7.2).
    pub(super) fn inconsistent_length(declared: u64) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "inconsistent-upload-length",
            format!("The upload has a length of {declared} bytes."),
        )
    }

    /// The body reaches beyond the length of the upload.
    pub(super) fn beyond_length(declared: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "beyond-upload-length",
            format!("The upload has a length of {declared} bytes."),
        )
    }

    pub(super) fn no_complete_part(id: FileId) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "no-complete-part",
            format!("{id} is no partial upload that is complete."),
        )
    }

    /// The upload is complete, and takes no more bytes.
    pub(in crate::http) fn upload_complete() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "upload-complete",
            "The upload is complete, and takes no more bytes.",
        )
    }

    pub(in crate::http) fn no_upload() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is no such upload.",
        )
    }

    pub(in crate::http) fn upload_ended() -> Self {
        Self::new(
            StatusCode::GONE,
            "upload-ended",
            "The upload was ended, or stood still for too long. Begin a new one.",
        )
    }

    /// Another request for this upload is being carried out.
    pub(super) fn upload_busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "upload-busy",
            "Other requests for this upload are being carried out. Send the request again.",
        )
        .retry_after(RETRY_SOON)
    }

    /// All bytes are there, and they are not those that were stated. The upload has ended.
    pub(super) fn whole_digest_mismatch() -> Self {
        Self::digest_mismatch().with(UPLOAD_COMPLETE, "?1".to_owned())
    }

    /// Whether the same body would be refused again, at any time.
    pub(in crate::http) fn is_final(&self) -> bool {
        let passes = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        self.status.is_client_error() && !passes.contains(&self.status)
    }

    /// Returns the refusal of a whole upload, which has ended with it.
    pub(in crate::http) fn of_whole_upload(self) -> Self {
        self.with(UPLOAD_COMPLETE, "?1".to_owned())
    }

    /// Returns the refusal as a dialect tells it. `max_bytes` is the length of the largest upload.
    pub(in crate::http) fn in_dialect(self, dialect: Dialect, max_bytes: u64) -> Self {
        let is_too_large = self.status == StatusCode::PAYLOAD_TOO_LARGE && self.code != BEYOND;
        let has = |name| self.headers.iter().any(|(known, _)| *known == name);
        let is_unfinished = !has(UPLOAD_COMPLETE);
        let mut told = self.with(header::CACHE_CONTROL, "no-store".to_owned());
        match dialect {
            Dialect::Tus => {
                if told.code == "digest-mismatch"
                    && let Ok(status) = StatusCode::from_u16(CHECKSUM_MISMATCH)
                {
                    told.status = status;
                }
                if told.code == "tus-version" {
                    told = told.with(TUS_VERSION, tus::VERSION.to_owned());
                }
                if is_too_large {
                    told = told.with(TUS_MAX_SIZE, max_bytes.to_string());
                }
                told.with(TUS_RESUMABLE, tus::VERSION.to_owned())
            }
            Dialect::Draft => {
                // In the draft, 413 asks for smaller bodies.
                if told.code == BEYOND {
                    (told.status, told.code) = (StatusCode::BAD_REQUEST, INCONSISTENT);
                }
                if is_unfinished {
                    told = told.with(UPLOAD_COMPLETE, "?0".to_owned());
                }
                // A client that told two lengths may have meant one that is too long.
                if is_too_large || told.code == INCONSISTENT {
                    told = told.with(UPLOAD_LIMIT, resumable::limit(max_bytes, None));
                }
                told
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use serde_json::Value;

    use super::*;
    use crate::http::headers::HeadError;

    fn fields(problem: &Problem) -> Vec<(String, String)> {
        let answer = problem.error_response();
        let fields = answer.headers().iter();
        let text = |value: &header::HeaderValue| value.to_str().unwrap().to_owned();
        fields
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    #[test]
    fn an_offset_that_does_not_match_is_told_with_the_right_one() {
        let err = IntakeError::Upload(UploadError::Offset(12));
        let problem = Problem::of_append(err, 25).in_dialect(Dialect::Draft, 100);
        let body: Value = serde_json::from_str(&problem.body()).unwrap();
        let registered = "https://iana.org/assignments/http-problem-types#";
        assert_eq!(
            body["type"],
            format!("{registered}mismatching-upload-offset")
        );
        assert_eq!(body["expected-offset"], 12);
        assert_eq!(body["provided-offset"], 25);
        let fields = fields(&problem);
        for (name, value) in [
            ("upload-offset", "12"),
            ("upload-complete", "?0"),
            ("cache-control", "no-store"),
        ] {
            let field = (name.to_owned(), value.to_owned());
            assert!(fields.contains(&field), "{fields:?}");
        }
    }

    #[test]
    fn each_dialect_has_its_own_fields() {
        for (problem, dialect, status, name, value) in [
            (
                Problem::too_large(),
                Dialect::Draft,
                413,
                "upload-limit",
                "max-size=100",
            ),
            (
                Problem::too_large(),
                Dialect::Tus,
                413,
                "tus-max-size",
                "100",
            ),
            (
                Problem::digest_mismatch(),
                Dialect::Tus,
                460,
                "tus-resumable",
                "1.0.0",
            ),
            (
                Problem::digest_mismatch(),
                Dialect::Draft,
                400,
                "upload-complete",
                "?0",
            ),
            (
                Problem::whole_digest_mismatch(),
                Dialect::Draft,
                400,
                "upload-complete",
                "?1",
            ),
            (
                HeadError::TusVersion.into(),
                Dialect::Tus,
                412,
                "tus-version",
                "1.0.0",
            ),
        ] {
            let problem = problem.in_dialect(dialect, 100);
            assert_eq!(problem.status.as_u16(), status);
            let fields = fields(&problem);
            let told: Vec<_> = fields.iter().filter(|(told, _)| told == name).collect();
            assert_eq!(told, [&(name.to_owned(), value.to_owned())], "{problem}");
        }
    }
}
