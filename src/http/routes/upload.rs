//! POST and PUT of a file: from a head and a body to a promise.

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::{created, upload_form};
use crate::accel;
use crate::file::FileName;
use crate::http::gate::access;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{body as inline, claims, content_type, disposition};
use crate::http::{Node, Problem};
use crate::intake::{FileUpload, Shape};

/// `POST /files`: a form, or a file itself.
pub(super) async fn posted(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let Some(boundary) = content_type::boundary(request.headers())? else {
        return upload(&request, body, node, None).await;
    };
    upload_form::take(&request, boundary, node).await
}

/// PUT without a name.
pub(super) async fn unnamed(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    upload(&request, body, node, None).await
}

/// `PUT /files/{filename}`, as `curl -T` sends it. The last part of a longer path is the name.
pub(super) async fn named(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let segment = ["name", "id"]
        .into_iter()
        .filter_map(|part| request.match_info().get(part))
        .find(|segment| !segment.is_empty());
    let name = segment.and_then(|segment| {
        let bytes: Vec<u8> = percent_decode_str(segment).collect();
        disposition::name_in_path(&bytes)
    });
    upload(&request, body, node, name).await
}

/// Takes a body over, to its end: a caller that hangs up half-way leaves either a promise or nothing.
async fn upload(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    path_name: Option<FileName>,
) -> Result<HttpResponse, Problem> {
    let caller = access::uploader(request, &node).await?;
    let headers = request.headers();
    if content_type::is_form(headers) {
        return Err(Problem::no_form_here());
    }
    let upload = |sender| {
        Ok::<_, Problem>(FileUpload {
            content_type: content_type::claimed(headers),
            filename: headers
                .get(header::CONTENT_DISPOSITION)
                .and_then(|value| disposition::claimed_name(value.as_bytes()))
                .or(path_name),
            head: claims::read(headers)?,
            sender,
        })
    };
    let preferences = Preferences::read(headers);
    let adopted = if inline::is_inline(headers) {
        let is_expected = caller.is_expected(&node);
        let room = caller.room;
        let upload = upload(caller.sender)?;
        let body = read_inline(headers, body).await?;
        access::let_in(&node, &upload.sender, room.as_ref())?;
        node.intake.take_inline(upload, body, is_expected).await?
    } else {
        node.intake.take_spooled(upload(caller.sender)?).await?
    };
    created::answer(node.into_inner(), preferences, adopted, Shape::File).await
}

/// Reads a body that came with its head. nginx holds all of it already.
pub(super) async fn read_inline(headers: &HeaderMap, body: web::Payload) -> Result<Bytes, Problem> {
    inline::check_inline(headers)?;
    let whole = body.to_bytes_limited(accel::INLINE_BODY_BYTES).await;
    match whole {
        Ok(Ok(bytes)) => Ok(bytes),
        // The sender has gone, so nobody reads this answer.
        Ok(Err(_)) | Err(_) => Err(Problem::body_not_passed()),
    }
}
