//! POST and PUT of a file: from a head and a body to a promise.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;

use super::{created, inline_body, upload_form, uploads};
use crate::file::FileName;
use crate::http::gate::access;
use crate::http::headers::dialect::{Dialect, UPLOAD_COMPLETE};
use crate::http::headers::prefer::Preferences;
use crate::http::headers::whole::Meaning;
use crate::http::headers::{
    body as inline, claims, content_type, digest, disposition, idempotency_key, upload_metadata,
};
use crate::http::{Node, Problem};
use crate::intake::{FileUpload, NewUpload, Shape};

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
    // Only then the sender reads an answer of resumable uploads.
    let is_resumable = request.headers().contains_key(UPLOAD_COMPLETE);
    let uploaded = take(request, body, node.clone(), path_name).await;
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
    path_name: Option<FileName>,
) -> Result<HttpResponse, Problem> {
    let (caller, meaning) = access::uploader(request, &node).await?;
    let headers = request.headers();
    if content_type::is_form(headers) {
        return Err(Problem::no_form_here());
    }
    let filename = headers
        .get(header::CONTENT_DISPOSITION)
        .and_then(|value| disposition::claimed_name(value.as_bytes()))
        .or(path_name);
    let is_resumable = match meaning {
        Meaning::Whole { is_resumable } => is_resumable,
        Meaning::Begins { declared } => {
            let upload = NewUpload {
                sender: caller.sender.clone(),
                content_type: content_type::claimed(headers),
                filename,
                metadata: upload_metadata::read(headers)?,
                key: idempotency_key::read(headers)?,
                declared,
                is_partial: false,
                whole: digest::of_whole(headers)?,
            };
            let digests = digest::of_content(headers)?;
            return uploads::begin_by_draft(request, body, node, caller, upload, digests).await;
        }
    };
    let upload = |sender| {
        Ok::<_, Problem>(FileUpload {
            content_type: content_type::claimed(headers),
            filename,
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
