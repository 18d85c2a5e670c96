//! Credits the bytes that nginx has written of an append whose body broke off.
//!
//! nginx asks for this when the client has gone, and removes the spool file after the answer, which it
//! shows to nobody. The request has the client's own head, so it is checked as the append would be.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::accel;
use crate::http::headers::dialect::Dialect;
use crate::http::headers::{append, body, path, tus};
use crate::http::{Node, Problem};

/// Answers `POST /_gridspool/salvage` with 204 if the bytes count, or if there are none.
pub(super) async fn salvage(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let target = text(accel::TARGET);
    let id = path::upload(target).ok_or_else(Problem::no_upload)?;
    let caller = node.access.caller(headers, target)?;
    caller.check_upload(&node.access, target)?;
    if tus::method(headers, text(accel::METHOD))? != "PATCH" {
        return Err(Problem::no_upload());
    }
    let append = append::read(headers, Dialect::of(headers), None)?;
    let offset = append.offset;
    if let Some(body) = body::spooled(headers)? {
        let request = text(accel::REQUEST);
        let salvaged = node
            .intake
            .salvage(caller.sender, id, append, body, request)
            .await;
        salvaged.map_err(|err| {
            log::debug!("nothing of a broken append to {id} at {offset} counts: {err}");
            Problem::of_append(err, offset)
        })?;
        log::debug!("a broken append to {id} at {offset} is credited");
    }
    Ok(HttpResponse::NoContent().finish())
}
