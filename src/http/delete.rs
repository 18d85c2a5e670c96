//! DELETE.

use actix_web::{HttpRequest, HttpResponse, web};

use super::download::key;
use super::{Node, Problem, access};
use crate::delivery::Deleted;
use crate::file::{FileKey, UnixMillis};
use crate::journal::Standing;
use crate::token::Scope;

/// `DELETE /files/{id}`: 204 when it is gone on every route, 404 when it never was.
pub(super) async fn file(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let key = key(&request);
    access::check_file(&request, &node, Scope::Delete, &key)?;
    carry_out(&node, &key).await
}

/// Deletes a file for somebody who may have it deleted.
pub(super) async fn carry_out(node: &Node, key: &FileKey) -> Result<HttpResponse, Problem> {
    match node.delivery.delete(key).await? {
        Deleted::Gone => {}
        Deleted::ToClear(id) => {
            node.backlog.push(id, UnixMillis::now());
            node.arrivals.report(id, Standing::Deleted);
        }
        Deleted::Absent => return Err(Problem::not_found()),
    }
    Ok(HttpResponse::NoContent().finish())
}
