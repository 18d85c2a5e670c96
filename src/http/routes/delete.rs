//! Deletes files and messages.

use actix_web::{HttpRequest, HttpResponse, rt, web};

use crate::delivery::Deleted;
use crate::file::{FileId, FileKey};
use crate::http::gate::{access, changes};
use crate::http::headers::path;
use crate::http::{Node, Problem};
use crate::message::Party;
use crate::token::Scope;

/// `DELETE /files/{id}`: 204 when the file is gone on every route, 404 when there is none, and 409 while it
/// belongs to a message.
pub(super) async fn file(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let key = node.read(path::key(request.path())?);
    access::check_file(&request, &node, Scope::Delete, &key)?;
    changes::check_delete(&request, &node, &key).await?;
    carry_out(node, key).await
}

/// Deletes a file; the rights were checked. A task does this to its end even if the caller goes
/// away: otherwise chunks could stay after their document is gone.
pub(super) async fn carry_out(
    node: web::Data<Node>,
    key: FileKey,
) -> Result<HttpResponse, Problem> {
    answer(async move { node.delivery.delete(&key).await }).await
}

/// Deletes a message; the rights were checked.
pub(super) async fn carry_out_message(
    node: web::Data<Node>,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    answer(async move { node.delivery.delete_message(id).await }).await
}

/// Takes a message off the list of a receiver; the rights were checked.
pub(super) async fn carry_out_entry(
    node: web::Data<Node>,
    receiver: Party,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    answer(async move { node.lists.strike(&receiver, id).await }).await
}

async fn answer<E: 'static>(
    deleting: impl Future<Output = Result<Deleted, E>> + 'static,
) -> Result<HttpResponse, Problem>
where
    Problem: From<E>,
{
    let deleted = rt::spawn(deleting).await;
    match deleted.unwrap_or_else(|lost| std::panic::resume_unwind(lost.into_panic()))? {
        Deleted::Absent => Err(Problem::not_found()),
        Deleted::Gone => Ok(HttpResponse::NoContent().finish()),
        Deleted::Linked => Err(Problem::linked()),
    }
}
