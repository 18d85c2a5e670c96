//! Messages: clients send them by a form or in JSON, and read them without the bytes of their
//! parts.

use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::{delete, download, file, inline_body, methods, taken, uploads_answer, uploads_begin};
use crate::accel;
use crate::delivery::FoundMessage;
use crate::file::{FileId, FileKey};
use crate::http::gate::messages::{self as rights, Deletes};
use crate::http::gate::{access, changes};
use crate::http::headers::prefer::Preferences;
use crate::http::headers::whole::Meaning;
use crate::http::headers::{beginning, body as inline, claims, content_type, path};
use crate::http::{Node, Problem};
use crate::intake::MessageUpload;
use crate::journal::Standing;

/// The cache must not keep a message that is not committed: its state will change.
const PASSING: &str = "no-store";

/// The routes of messages.
pub(super) fn routes(service: &mut ServiceConfig) {
    let collection = |path: &str| {
        let resource = web::resource(path).route(web::post().to(send));
        methods::and_no_other(resource, methods::OF_SENDING)
    };
    let message = web::resource("/messages/{id}")
        .route(web::get().to(read))
        .route(web::head().to(read))
        .route(web::delete().to(withdraw));
    let part = web::resource("/messages/{id}/{part}")
        .route(web::get().to(part))
        .route(web::head().to(part));
    service
        .service(collection("/messages"))
        .service(collection("/messages/"))
        .service(methods::and_no_other(message, methods::OF_MESSAGE))
        .service(methods::and_no_other(part, methods::OF_PART));
}

/// Answers `POST /messages` with 201 when the package and all parts are durable.
async fn send(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let longest = node.intake.max_body_bytes();
    let answered = take(&request, body, node).await;
    uploads_answer::of_beginning(request.headers(), answered, longest)
}

/// Takes a message over to its end, or begins an upload that becomes one.
async fn take(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let (caller, meaning) = access::uploader(request, &node).await?;
    let headers = request.headers();
    let boundary = content_type::boundary(headers)?;
    if let Meaning::Begins { declared } = meaning {
        // A box: most uploads come whole, and need no memory for this.
        return Box::pin(uploads_begin::by_draft(
            request, body, node, caller, declared,
        ))
        .await;
    }
    let preferences = Preferences::read(headers);
    let is_expected = caller.is_expected(&node);
    let length = inline::length(headers, accel::BODY_LENGTH);
    let upload = MessageUpload {
        broken: beginning::of_whole(headers, request.path(), length, &caller.sender)?,
        head: claims::read(headers)?,
        sender: caller.sender,
    };
    let body = if inline::is_inline(headers) {
        let body = inline_body::read(headers, body).await?;
        access::let_in(&node, &upload.sender, caller.room.as_ref())?;
        Some(body)
    } else {
        None
    };
    let find = taken::finder(&node);
    let read = taken::message_reader(boundary);
    let message = node
        .intake
        .take_message(upload, body, is_expected, read, find)
        .await?;
    taken::answer_message(node, preferences, message).await
}

/// Answers `GET` and `HEAD /messages/{id}` with the package and a descriptor of each part.
async fn read(request: HttpRequest, node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    let reader = rights::reader(&request, &node)?;
    let found = find(&node, id).await?;
    let has_receivers = reader.check(&node, &found, None)?;
    let caching = if found.standing == Standing::Committed {
        download::LASTING
    } else {
        PASSING
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, caching))
        .content_type("application/json")
        .body(found.line(has_receivers)))
}

/// Answers `GET` and `HEAD /messages/{id}/{part}` with the file of a part, as at the file's own
/// address.
async fn part(request: HttpRequest, node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    let reader = rights::reader(&request, &node)?;
    let number = request.match_info().query("part");
    let number = path::number(number).ok_or_else(Problem::not_found)?;
    let found = find(&node, id).await?;
    let part = found.message.part(number).ok_or_else(Problem::not_found);
    let file = part.as_ref().ok().map(|part| FileKey::Id(part.file));
    reader.check(&node, &found, file.as_ref())?;
    let key = FileKey::Id(part?.file);
    file::send(&request, &node, &key).await
}

/// Answers `DELETE /messages/{id}` with 204 when the message is gone on every route, together with
/// its parts that belong to no other message. It answers 404 if there is none. For a receiver, the
/// message goes from its own list alone.
async fn withdraw(request: HttpRequest, node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    let deleter = rights::deleter(&request, &node)?;
    let found = find(&node, id).await?;
    let effect = deleter.check_delete(&node, &found)?;
    changes::check_delete(&request, &node, &FileKey::Id(id)).await?;
    match effect {
        Deletes::Message => delete::carry_out_message(node, id).await,
        Deletes::OwnEntry(receiver) => delete::carry_out_entry(node, receiver, id).await,
    }
}

pub(super) async fn find(node: &Node, id: FileId) -> Result<std::sync::Arc<FoundMessage>, Problem> {
    let found = node.delivery.message(id).await?;
    found.ok_or_else(Problem::not_found)
}

pub(super) fn id(request: &HttpRequest) -> Result<FileId, Problem> {
    let id = request.match_info().query("id").parse();
    id.map_err(|_| Problem::not_found())
}

impl Problem {
    /// A value of the answer has no form in JSON.
    pub(super) fn not_written(err: &serde_json::Error) -> Self {
        log::error!("a message cannot be told: {err}");
        Self::internal()
    }
}
