//! The refusals of bodies that are no form, or not what their heads say.

use actix_web::http::StatusCode;

use super::Problem;

impl Problem {
    /// Only a POST gives the parts of a form their names by itself.
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

    pub(in crate::http) fn too_much_metadata() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-much-metadata",
            "The texts of the request are longer than this server takes.",
        )
    }

    pub(super) fn bad_metadata(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-metadata", detail)
    }

    /// Each file of a form keeps all texts of the form.
    pub(super) fn too_much_metadata_for_so_many() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-much-metadata",
            "The texts of the form, kept with each of its files, are more than this server takes.",
        )
    }

    pub(super) fn digest_mismatch() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "digest-mismatch",
            "The body does not have the digest that the request claims.",
        )
    }

    pub(in crate::http) fn body_not_passed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "body-not-passed",
            "The body did not arrive through the front server.",
        )
    }
}
