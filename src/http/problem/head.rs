//! The refusals that follow from a head, or from a body that does not keep to it.

use actix_web::http::StatusCode;
use actix_web::http::header;

use super::{Problem, Reason};

impl Problem {
    pub(super) fn ambiguous_path() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "ambiguous-path",
            "The path has dots, slashes, backslashes or parameters that servers read in different ways.",
        )
    }

    pub(super) fn coded() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-coding-not-taken",
            "The body has a content coding. Send the file itself, without Content-Encoding.",
        )
        .with(header::ACCEPT_ENCODING, "identity".to_owned())
    }

    /// The body is a piece, or belongs to another protocol.
    pub(super) fn not_whole(by: &str, said: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "not-a-whole-file",
            format!("{by}: {said} Send the whole file in one request."),
        )
    }

    pub(super) fn many_tokens() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "many-tokens",
            "The request has more than one token.",
        )
    }

    /// Only a POST says by itself what the parts of a form shall be called.
    pub(in crate::http) fn no_form_here() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "forms-not-taken",
            "Forms are taken by POST to /files. Send the file itself as the body here.",
        )
    }

    pub(in crate::http) fn bad_form(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-form", detail)
    }

    pub(in crate::http) fn no_file_in_form() -> Self {
        Self::bad_form("The form holds no file.")
    }

    pub(super) fn bad_metadata() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-metadata",
            "Upload-Metadata is not made of names and texts in base64.",
        )
    }

    /// As tus has it: the names of `Upload-Metadata` are unique.
    pub(super) fn repeated_metadata() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-metadata",
            "Upload-Metadata has one name twice.",
        )
    }

    pub(in crate::http) fn too_much_metadata() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-much-metadata",
            "The texts of the request are longer than this server takes.",
        )
    }

    /// Each file of a form keeps all texts of it.
    pub(super) fn too_much_metadata_for_so_many() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-much-metadata",
            "The texts of the form, kept with each of its files, are more than this server takes.",
        )
    }

    pub(super) fn bad_digest() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-digest",
            "A digest field is not one of RFC 9530.",
        )
    }

    pub(super) fn digest_mismatch() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "digest-mismatch",
            "The body does not have the digest that the request claims.",
        )
    }

    pub(super) fn bad_key() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-idempotency-key",
            "Idempotency-Key is not one string of 1 to 255 printable ASCII characters.",
        )
        .because(Reason::Key)
    }

    pub(in crate::http) fn body_not_passed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "body-not-passed",
            "The body did not arrive through the front server.",
        )
    }
}
