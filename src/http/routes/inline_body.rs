//! The bodies that come with their heads, or in spool files.

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, web};
use bytes::Bytes;

use crate::accel;
use crate::http::headers::body as bodies;
use crate::http::{Node, Problem};
use crate::intake::AppendBody;

/// Reads a body that came with its head. nginx holds all of it already.
pub(super) async fn read(headers: &HeaderMap, body: web::Payload) -> Result<Bytes, Problem> {
    bodies::check_inline(headers)?;
    let whole = body.to_bytes_limited(accel::INLINE_BODY_BYTES).await;
    match whole {
        Ok(Ok(bytes)) => Ok(bytes),
        // The sender has gone, so nobody reads this answer.
        Ok(Err(_)) | Err(_) => Err(Problem::body_not_passed()),
    }
}

/// Returns the body of a request that begins or grows an upload, and its length in bytes.
pub(super) async fn or_spooled(
    request: &HttpRequest,
    body: web::Payload,
    node: &Node,
) -> Result<(AppendBody, u64), Problem> {
    let headers = request.headers();
    if bodies::is_inline(headers) {
        let bytes = read(headers, body).await?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        return Ok((AppendBody::Inline(bytes), length));
    }
    let length = bodies::length(headers, accel::BODY_LENGTH).unwrap_or_default();
    node.intake.arrived(length);
    Ok((AppendBody::Spooled(bodies::spooled(headers)?), length))
}
