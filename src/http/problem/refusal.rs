//! The refusals that depend on the caller: their token, their sizes and their rates.

use actix_web::http::StatusCode;

use super::reason::Reason;
use super::{Problem, RETRY_LATER};
use crate::token::{Scope, TokenError};

/// The beginning of every challenge.
const REALM: &str = "Bearer realm=\"gridspool\"";

/// Seconds in which some pending files are probably committed.
const PENDING_SECONDS: u32 = 30;

/// Seconds in which an upload that has arrived is probably answered.
const RUNNING_SECONDS: u32 = 1;

impl Problem {
    /// There is no token. The challenge says only that one is needed (RFC 6750 §3).
    pub(in crate::http) fn token_needed() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "A valid token is needed.",
        )
        .challenge(REALM.to_owned())
    }

    /// The token is not valid; the challenge says why.
    pub(in crate::http) fn invalid_token(err: TokenError) -> Self {
        let challenge = format!("{REALM}, error=\"invalid_token\", error_description=\"{err}\"");
        let detail = format!("A valid token is needed: {err}.");
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).challenge(challenge)
    }

    /// A valid token that does not allow this (RFC 6750 §3.1).
    pub(in crate::http) fn insufficient_scope(scope: Scope) -> Self {
        let scope = scope.name();
        let said = format!("the token does not have the scope {scope}");
        Self::out_of_scope(scope, &said)
    }

    /// An upload with a token for one file.
    pub(in crate::http) fn no_new_files() -> Self {
        let said = "the token is for one file, and allows no new ones";
        Self::out_of_scope(Scope::Upload.name(), said)
    }

    fn out_of_scope(scope: &str, said: &str) -> Self {
        let challenge = format!(
            "{REALM}, error=\"insufficient_scope\", error_description=\"{said}\", scope=\"{scope}\""
        );
        let detail = format!("The token does not allow this: {said}.");
        Self::new(StatusCode::FORBIDDEN, "insufficient-scope", detail).challenge(challenge)
    }

    pub(in crate::http) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed.")
    }

    /// A node without keys knows nobody who may do this.
    pub(in crate::http) fn for_tokens_only() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "A token has to allow this, and this server checks no tokens.",
        )
    }

    pub(in crate::http) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is larger than this server takes.",
        )
    }

    /// The form has more files than a minute allows, so it can never be taken.
    pub(in crate::http) fn too_many_at_once() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "form-too-large",
            "The form has more files than may come in a minute.",
        )
    }

    pub(in crate::http) fn larger_than_allowed() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "larger-than-allowed",
            "The body is larger than the token allows.",
        )
    }

    /// A body that may be over a limit must not come in before its length is known.
    pub(in crate::http) fn length_required() -> Self {
        Self::new(
            StatusCode::LENGTH_REQUIRED,
            "length-required",
            "The token limits the body. Send it with Content-Length.",
        )
    }

    pub(super) fn too_many_readers() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-readers",
            "Too many clients read uploads that are not complete. Send the request again later.",
        )
        .retry_after(RETRY_LATER)
    }

    pub(in crate::http) fn type_not_allowed() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "type-not-allowed",
            "The token does not allow files of this type.",
        )
    }

    pub(in crate::http) fn too_many_uploads(seconds: u32) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-uploads",
            "Too many uploads within a minute. Send the request again later.",
        )
        .retry_after(seconds)
    }

    pub(in crate::http) fn too_much_pending() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-much-pending",
            "Too many bytes of yours wait to be stored. Send the request again later.",
        )
        .because(Reason::Quota)
        .retry_after(PENDING_SECONDS)
    }

    pub(in crate::http) fn still_running() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "still-running",
            "The upload with this Idempotency-Key is being taken just now. Send the request again.",
        )
        .because(Reason::Key)
        .retry_after(RUNNING_SECONDS)
    }

    pub(in crate::http) fn key_of_another() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "Another upload was sent with this Idempotency-Key.",
        )
        .because(Reason::Key)
    }

    pub(in crate::http) fn disk_not_asked(err: &std::io::Error) -> Self {
        log::error!("the disk does not answer: {err}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "No files can be taken here just now.",
        )
        .retry_after(PENDING_SECONDS)
    }
}
