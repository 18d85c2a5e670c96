//! POST and PUT: from a head and a body to a promise.

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;

use super::{created, inline_body};
use crate::accel;
use crate::file::FileName;
use crate::http::gate::access;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::whole;
use crate::http::headers::{content_type, digest, disposition, idempotency_key, upload_metadata};
use crate::http::{Node, Problem, form};
use crate::intake::{FileUpload, FormUpload, Head, Shape, SpooledName};

/// `POST /files`: a form, or a file itself.
pub(super) async fn posted(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let Some(boundary) = content_type::boundary(request.headers())? else {
        return upload(&request, body, node, None).await;
    };
    let preferences = Preferences::read(request.headers());
    let upload = FormUpload {
        sender: access::uploader(&request, &node).await?.sender,
        head: head(request.headers())?,
    };
    let read = move |body: &_, metadata: &_, most_files| {
        let form = form::read(body, &boundary, metadata, most_files)?;
        if let Some(form) = &form {
            whole::check_fields(form.metadata.pairs())?;
        }
        Ok::<_, Problem>(form)
    };
    let taken = node.intake.take_form(upload, read).await?;
    // A large one is answered at once: what it is answered with is not kept in memory for so long.
    let preferences = match taken.place {
        None => preferences,
        Some(_) => Preferences {
            wait_seconds: None,
            ..preferences
        },
    };
    created::answer(node.into_inner(), preferences, taken.adopted, Shape::Form).await
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

/// Takes a body over to its end: a caller that hangs up half-way leaves either a promise or nothing.
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
            head: head(headers)?,
            sender,
        })
    };
    let preferences = Preferences::read(headers);
    let adopted = if inline_body::is_inline(headers) {
        let is_expected = caller.is_expected(&node);
        let room = caller.room;
        let upload = upload(caller.sender)?;
        let body = inline_body::read(headers, body).await?;
        access::let_in(&node, &upload.sender, room.as_ref())?;
        node.intake.take_passed(upload, body, is_expected).await?
    } else {
        node.intake.take_spooled(upload(caller.sender)?).await?
    };
    created::answer(node.into_inner(), preferences, adopted, Shape::File).await
}

/// The claims of an upload's head about its body.
fn head(headers: &HeaderMap) -> Result<Head, Problem> {
    Ok(Head {
        spooled: spooled(headers)?,
        digests: digest::read(headers)?,
        metadata: upload_metadata::read(headers)?,
        key: idempotency_key::read(headers)?,
    })
}

/// `None` if the request has no body, or one that came with it.
fn spooled(headers: &HeaderMap) -> Result<Option<SpooledName>, Problem> {
    let length = match headers.get(accel::BODY_LENGTH) {
        None => None,
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(length.ok_or_else(Problem::body_not_passed)?)
        }
    };
    match headers.get(accel::BODY_FILE) {
        Some(path) => Ok(Some(SpooledName {
            path: path.as_bytes().to_owned(),
            length,
        })),
        None if length.unwrap_or(0) == 0 => Ok(None),
        None => {
            log::error!("nginx counted a body and named no file: see nginx.conf.d/gridspool");
            Err(Problem::body_not_passed())
        }
    }
}
