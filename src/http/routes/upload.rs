//! POST and PUT of a file: from a head and a body to a promise.

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{created, inline_body, upload_form, uploads_begin};
use crate::http::gate::access;
use crate::http::headers::dialect::{Dialect, UPLOAD_COMPLETE};
use crate::http::headers::prefer::Preferences;
use crate::http::headers::whole::Meaning;
use crate::http::headers::{beginning, body as inline, claims, content_type};
use crate::http::{Node, Problem};
use crate::intake::{FileUpload, Shape};

/// `POST /files`: a form, or a file itself.
pub(super) async fn posted(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let Some(boundary) = content_type::boundary(request.headers())? else {
        return upload(&request, body, node).await;
    };
    upload_form::take(&request, boundary, node).await
}

/// `PUT /files`, and `PUT /files/{filename}`.
pub(super) async fn put(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    upload(&request, body, node).await
}

/// Takes a body over, to its end: a caller that hangs up half-way leaves either a promise or nothing.
async fn upload(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    // Only then the sender reads an answer of resumable uploads.
    let is_resumable = request.headers().contains_key(UPLOAD_COMPLETE);
    let uploaded = take(request, body, node.clone()).await;
    uploaded.map_err(|problem| {
        if is_resumable {
            problem.in_dialect(Dialect::Draft, node.intake.max_body_bytes())
        } else {
            problem
        }
    })
}

async fn take(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let (caller, meaning) = access::uploader(request, &node).await?;
    let headers = request.headers();
    if content_type::is_form(headers) {
        return Err(Problem::no_form_here());
    }
    let is_resumable = match meaning {
        Meaning::Whole { is_resumable } => is_resumable,
        Meaning::Begins { declared } => {
            let sender = caller.sender.clone();
            let begun = beginning::of_file(headers, request.path(), declared, sender)?;
            return uploads_begin::by_draft(request, body, node, caller, begun).await;
        }
    };
    let upload = |sender| {
        Ok::<_, Problem>(FileUpload {
            content_type: content_type::claimed(headers),
            filename: beginning::filename(headers, request.path()),
            head: claims::read(headers)?,
            sender,
        })
    };
    let preferences = Preferences::read(headers);
    let adopted = if inline::is_inline(headers) {
        let is_expected = caller.is_expected(&node);
        let room = caller.room;
        let upload = upload(caller.sender)?;
        let body = inline_body::read(headers, body).await?;
        access::let_in(&node, &upload.sender, room.as_ref())?;
        node.intake.take_inline(upload, body, is_expected).await?
    } else {
        node.intake.take_spooled(upload(caller.sender)?).await?
    };
    let answer = created::answer(node.into_inner(), preferences, adopted, Shape::File);
    let mut answer = answer.await?;
    if is_resumable {
        let is_complete = HeaderValue::from_static("?1");
        answer.headers_mut().insert(UPLOAD_COMPLETE, is_complete);
    }
    Ok(answer)
}
