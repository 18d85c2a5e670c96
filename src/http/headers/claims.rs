//! The claims about the body in the head of an upload.

use actix_web::http::header::HeaderMap;

use super::{HeadError, body, digest, idempotency_key, upload_metadata};
use crate::intake::Head;

/// Reads the claims.
///
/// # Errors
/// When one of them cannot be read.
pub(in crate::http) fn read(headers: &HeaderMap) -> Result<Head, HeadError> {
    Ok(Head {
        spooled: body::spooled(headers)?,
        digests: digest::read(headers)?,
        metadata: upload_metadata::read(headers)?,
        key: idempotency_key::read(headers)?,
        upload: None,
    })
}
