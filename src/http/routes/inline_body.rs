//! Small bodies, which come with their heads.

use actix_web::http::header::{self, HeaderMap};
use actix_web::web;
use bytes::Bytes;

use crate::accel;
use crate::http::Problem;

/// Whether a request brings its body itself. Where nginx spools the body, it takes the length away.
pub(super) fn is_inline(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads such a body, which nginx holds already.
///
/// # Errors
/// When it is longer than nginx passes, has no length, names a file too, or does not come.
pub(super) async fn read(headers: &HeaderMap, body: web::Payload) -> Result<Bytes, Problem> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let is_small = length.is_some_and(|length: usize| length <= accel::PASSED_BODY_BYTES);
    if !is_small || headers.contains_key(accel::BODY_FILE) {
        return Err(Problem::body_not_passed());
    }
    let whole = body.to_bytes_limited(accel::PASSED_BODY_BYTES).await;
    match whole {
        Ok(Ok(bytes)) => Ok(bytes),
        // The sender is gone: nobody reads this.
        Ok(Err(_)) | Err(_) => Err(Problem::body_not_passed()),
    }
}
