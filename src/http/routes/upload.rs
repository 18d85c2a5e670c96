//! POST and PUT of a file: from a head and a body to a promise.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{created, inline_body, upload_form, uploads_answer, uploads_begin};
use crate::http::gate::access;
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
    let longest = node.intake.max_body_bytes();
    let answered = match content_type::boundary(request.headers())? {
        None => take(&request, body, node).await,
        Some(boundary) => upload_form::take(&request, body, boundary, node).await,
    };
    uploads_answer::of_beginning(request.headers(), answered, longest)
}

/// `PUT /files`, and `PUT /files/{filename}`.
pub(super) async fn put(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let longest = node.intake.max_body_bytes();
    let answered = take(&request, body, node).await;
    uploads_answer::of_beginning(request.headers(), answered, longest)
}

/// Takes a body over, to its end: a caller that hangs up half-way leaves either a promise or nothing.
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
    if let Meaning::Begins { declared } = meaning {
        // A box: most uploads come whole, and need no memory for this.
        return Box::pin(uploads_begin::by_draft(
            request, body, node, caller, declared,
        ))
        .await;
    }
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
    created::answer(node.into_inner(), preferences, adopted, Shape::File).await
}
