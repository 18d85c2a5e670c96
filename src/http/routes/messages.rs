//! Messages: clients send them by a form or in JSON, and read them without the bytes of their
//! parts.

use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures::FutureExt as _;

use super::{created, delete, download, file, inline_body, methods};
use crate::delivery::FoundMessage;
use crate::file::{FileId, FileKey};
use crate::http::form;
use crate::http::gate::messages::{self as rights, Deletes};
use crate::http::gate::{access, changes, references};
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{body as inline, claims, content_type, path};
use crate::http::{Node, Problem};
use crate::intake::{MessageContent, MessageUpload, TakenMessage, UploadBody};
use crate::journal::Standing;
use crate::message::{MessageError, Receipt, Request};

/// The most bytes of a message in JSON.
const MOST_JSON_BYTES: u64 = 1024 * 1024;

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
    let (caller, _) = access::uploader(&request, &node).await?;
    let headers = request.headers();
    let boundary = content_type::boundary(headers)?;
    let preferences = Preferences::read(headers);
    let is_expected = caller.is_expected(&node);
    let upload = MessageUpload {
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
    let read = move |body: &UploadBody| match boundary {
        Some(boundary) => read_form(body, &boundary),
        None => read_json(body),
    };
    let finder = node.clone();
    let find = move |grant, sources| references::find(finder, grant, sources).boxed();
    let taken = node
        .intake
        .take_message(upload, body, is_expected, read, find)
        .await?;
    answer(node, preferences, taken).await
}

fn read_form(body: &UploadBody, boundary: &[u8]) -> Result<MessageContent, Problem> {
    match body {
        UploadBody::Spooled(body) => form::read_message(body, boundary),
        // nginx spools every form, so this one did not come through it.
        UploadBody::Inline(_) => Err(Problem::body_not_passed()),
    }
}

fn read_json(body: &UploadBody) -> Result<MessageContent, Problem> {
    let received = body.received();
    if received.length() > MOST_JSON_BYTES {
        return Err(MessageError::TextTooLong.into());
    }
    let mut bytes = vec![0; usize::try_from(received.length()).unwrap_or_default()];
    let read = received.read_exact_at(&mut bytes, 0);
    read.map_err(|err| Problem::unreadable_body(&err))?;
    Ok(MessageContent {
        request: Request::from_json(&bytes)?,
        files: Vec::new(),
    })
}

/// Answers the sender with the promise. A message that was promised before is looked up.
async fn answer(
    node: web::Data<Node>,
    preferences: Preferences,
    taken: TakenMessage,
) -> Result<HttpResponse, Problem> {
    let mut files = taken.files;
    let package = files.first().ok_or_else(Problem::internal)?;
    let (id, is_deleted) = (package.id(), package.standing() == Standing::Deleted);
    let message = match taken.message {
        Some(message) => Some(message),
        None if is_deleted => None,
        None => {
            let found = node.delivery.message(id).await?;
            found.map(|found| found.message.clone())
        }
    };
    let (mut answer, state) = created::begin(node.into_inner(), preferences, &mut files).await?;
    let receipt = Receipt {
        id,
        state: if message.is_some() {
            state.name()
        } else {
            Standing::Deleted.name()
        },
        message: message.as_deref(),
    };
    let told = receipt
        .to_json()
        .map_err(|err| Problem::not_written(&err))?;
    Ok(answer
        .insert_header((header::LOCATION, receipt.url()))
        .content_type("application/json")
        .body(told))
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
