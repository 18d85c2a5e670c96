//! The grammars of heads: fields of requests, of answers and of the parts of forms, and the target.
//!
//! Each reads or writes text, and knows neither a node nor a handler. All of them are fuzzed.

pub(super) mod append;
pub(super) mod bearer;
pub(super) mod beginning;
pub(super) mod body;
pub(super) mod claims;
pub(super) mod conditions;
pub(super) mod content_type;
pub(super) mod dialect;
pub(super) mod digest;
pub(super) mod disposition;
mod error;
pub(super) mod idempotency_key;
pub(super) mod live;
pub(super) mod part;
pub(super) mod path;
pub(super) mod pieces;
pub(super) mod prefer;
pub(super) mod ranges;
pub(super) mod resumable;
pub(super) mod structured;
#[cfg(test)]
mod testing;
pub(super) mod tus;
pub(super) mod upload_metadata;
pub(super) mod whole;

use actix_web::http::header::HeaderMap;

pub(super) use error::HeadError;

/// The text of a field; empty if it is absent, or no text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
