//! The bodies that come with their heads.

use actix_web::http::header::HeaderMap;
use actix_web::web;
use bytes::Bytes;

use crate::accel;
use crate::http::Problem;
use crate::http::headers::body as inline;

/// Reads a body that came with its head. nginx holds all of it already.
pub(super) async fn read(headers: &HeaderMap, body: web::Payload) -> Result<Bytes, Problem> {
    inline::check_inline(headers)?;
    let whole = body.to_bytes_limited(accel::INLINE_BODY_BYTES).await;
    match whole {
        Ok(Ok(bytes)) => Ok(bytes),
        // The sender has gone, so nobody reads this answer.
        Ok(Err(_)) | Err(_) => Err(Problem::body_not_passed()),
    }
}
