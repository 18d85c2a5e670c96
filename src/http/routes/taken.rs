//! Forms and messages that have come whole, at once or in pieces: reads them, and answers their senders
//! with the promise.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::created;
use crate::file::Metadata;
use crate::http::gate::references;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::whole;
use crate::http::{Node, Problem, form};
use crate::intake::{FormContent, MessageContent, Shape, TakenForm, TakenMessage, UploadBody};
use crate::journal::Standing;
use crate::message::{MessageError, Part, Receipt, Request, Source};
use crate::spool::SpooledBody;
use crate::token::Grant;

/// The most bytes of a message in JSON.
const MOST_JSON_BYTES: u64 = 1024 * 1024;

/// Reads forms with this boundary.
pub(super) fn form_reader(
    boundary: Vec<u8>,
) -> impl Fn(&SpooledBody, &Metadata, usize) -> Result<Option<FormContent>, Problem> + Send + 'static
{
    move |body, metadata, most_files| {
        let form = form::read(body, &boundary, metadata, most_files)?;
        if let Some(form) = &form {
            whole::check_fields(form.metadata.pairs())?;
        }
        Ok(form)
    }
}

/// Answers the sender of a form with the promise.
pub(super) async fn answer_form(
    node: web::Data<Node>,
    preferences: Preferences,
    taken: TakenForm,
) -> Result<HttpResponse, Problem> {
    // A large form is answered at once, so that its answer does not stay in memory.
    let preferences = match taken.place {
        None => preferences,
        Some(_) => Preferences {
            wait_seconds: None,
            ..preferences
        },
    };
    created::answer(node.into_inner(), preferences, taken.adopted, Shape::Form).await
}

/// Reads messages: forms with this boundary, or JSON.
pub(super) fn message_reader(
    boundary: Option<Vec<u8>>,
) -> impl FnOnce(&UploadBody) -> Result<MessageContent, Problem> + Send + 'static {
    move |body| match boundary {
        Some(boundary) => read_form(body, &boundary),
        None => read_json(body),
    }
}

/// Finds the files that a message refers to.
pub(super) fn finder(
    node: &web::Data<Node>,
) -> impl FnOnce(Grant, Vec<Source>) -> BoxFuture<'static, Result<Vec<Part>, Problem>> + Send + 'static
{
    let node = node.clone();
    move |grant, sources| references::find(node, grant, sources).boxed()
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

/// Answers the sender of a message with the promise. One that was promised before is looked up.
pub(super) async fn answer_message(
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
