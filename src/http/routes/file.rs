//! GET and HEAD of files and of uploads that may still grow: this finds them.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{download, elsewhere, live};
use crate::delivery::Found;
use crate::file::FileKey;
use crate::http::gate::access;
use crate::http::headers::{live as heads, path};
use crate::http::{Node, Problem};
use crate::token::Scope;

/// `GET` and `HEAD /files/{id}` and `/files/{id}/{any name}`.
pub(super) async fn file(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let key = node.read(path::key(request.path())?);
    access::check_file(&request, &node, Scope::Download, &key)?;
    send(&request, &node, &key).await
}

/// Sends a file; the rights were checked.
pub(super) async fn send(
    request: &HttpRequest,
    node: &Node,
    key: &FileKey,
) -> Result<HttpResponse, Problem> {
    let is_live = heads::is_asked(request.query_string());
    match node.delivery.find(key).await? {
        Found::Kept(kept) => download::answer_kept(request, node, &kept).await,
        Found::Stored { file, at_hand } => {
            download::answer_stored(request, node, &file, at_hand).await
        }
        Found::Elsewhere { owner, id } if is_live => live::at_owner(request, node, owner, id),
        Found::Elsewhere { owner, id } => elsewhere::file(request, node, owner, id),
        Found::Growing(id) if is_live => live::begin(request, node, id).await,
        Found::Growing(_) | Found::Absent => Err(Problem::not_found()),
    }
}
