//! Refusals: the answer to a caller (RFC 9457). [`from`] turns the errors of other layers into
//! refusals.

mod body;
mod from;
mod log_throttle;
mod message;
mod reason;
mod refusal;
mod resumable;

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::{Value, json};

use crate::accel;

pub(in crate::http) use reason::{Reason, Refusals};

/// Seconds after which a caller may try again if only time is needed.
pub(in crate::http) const RETRY_SOON: u32 = 2;

/// Seconds after which a caller may try again if somebody must make room first.
pub(in crate::http) const RETRY_LATER: u32 = 30;

/// The types that the draft of resumable uploads registers (§7).
const REGISTERED: [&str; 2] = ["mismatching-upload-offset", "inconsistent-upload-length"];

/// An answer of `application/problem+json`.
#[derive(Debug)]
pub(in crate::http) struct Problem {
    status: StatusCode,
    /// The stable name of the fault, which ends the `type`.
    code: &'static str,
    /// One line of printable ASCII.
    detail: Cow<'static, str>,
    /// The reason, for the counts.
    reason: Reason,
    headers: Vec<(header::HeaderName, String)>,
    /// Further members of the body (RFC 9457 §3.2).
    members: Vec<(&'static str, u64)>,
}

impl Problem {
    pub(in crate::http) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            reason: Reason::of(status),
            headers: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Returns the same problem, with a header.
    pub(in crate::http) fn with(mut self, name: header::HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the same problem, with a further member.
    fn with_member(mut self, name: &'static str, value: u64) -> Self {
        self.members.push((name, value));
        self
    }

    /// Returns the same problem, counted under another reason than that of its status.
    pub(in crate::http) fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    pub(in crate::http) fn reason(&self) -> Reason {
        self.reason
    }

    pub(in crate::http) fn retry_after(self, seconds: u32) -> Self {
        self.with(header::RETRY_AFTER, seconds.to_string())
    }

    pub(in crate::http) fn challenge(self, challenge: String) -> Self {
        self.with(header::WWW_AUTHENTICATE, challenge)
    }

    pub(in crate::http) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such file.")
    }

    pub(in crate::http) fn method_not_allowed(allow: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "This address does not take that method.",
        )
        .with(header::ALLOW, allow.to_owned())
    }

    pub(in crate::http) fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "The file is not in the state that the request asks for.",
        )
    }

    pub(in crate::http) fn range_not_satisfiable(length: u64) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range-not-satisfiable",
            "The file has no bytes in that range.",
        )
        .with(header::CONTENT_RANGE, format!("bytes */{length}"))
    }

    pub(in crate::http) fn unreadable_body(err: &std::io::Error) -> Self {
        log::error!("a spooled body cannot be read: {err}");
        Self::internal()
    }

    /// The body is in the journal, and nginx cannot send it.
    pub(in crate::http) fn body_not_sent() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The file cannot be sent just now. Send the request again.",
        )
        .retry_after(RETRY_LATER)
    }

    pub(in crate::http) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The file cannot be looked for just now. Send the request again.",
        )
        .retry_after(RETRY_SOON)
    }

    pub(in crate::http) fn damaged() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "damaged",
            "The file is there, and damaged.",
        )
    }

    /// The log has the cause already.
    pub(in crate::http) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The request could not be carried out.",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(self.status)
            .content_type("application/problem+json")
            .body(self.body())
    }
}

impl Problem {
    /// Returns the answer to nginx's question before the body. nginx knows only 401 and 403 as
    /// refusals of such a question, so the real status and the body are in headers.
    pub(in crate::http) fn to_refusal(&self) -> HttpResponse {
        let location = accel::refusal_location(self.status.as_u16());
        self.answer(StatusCode::FORBIDDEN)
            .insert_header((accel::REFUSAL, location))
            .insert_header((accel::PROBLEM, self.body()))
            .finish()
    }

    fn answer(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut answer = HttpResponse::build(status);
        for (name, value) in &self.headers {
            answer.insert_header((name.clone(), value.as_str()));
        }
        answer
    }

    /// One line of printable ASCII, as a header needs it.
    pub(in crate::http) fn body(&self) -> String {
        let registry = if REGISTERED.contains(&self.code) {
            "https://iana.org/assignments/http-problem-types#"
        } else {
            "urn:gridspool:problem:"
        };
        let body = json!({
            "type": format!("{registry}{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Checksum Mismatch"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut body = body.as_object().cloned().unwrap_or_default();
        let members = self.members.iter();
        body.extend(members.map(|&(name, value)| (name.to_owned(), value.into())));
        Value::Object(body).to_string()
    }
}
