//! Sends nginx to the node that may have a file or an upload.

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse};

use crate::accel;
use crate::file::FileId;
use crate::http::{Node, Problem};
use crate::peers::{PASS, Purpose};

/// The end of the address of a file's description.
pub(super) const META: &str = "/meta";

/// Sends nginx to the node that may have a file. `part` is the end of the address: empty for the file itself.
pub(super) fn redirect(
    node: &Node,
    owner: u16,
    id: FileId,
    part: &str,
    purpose: Purpose,
) -> HttpResponse {
    let uri = format!("{}{part}", accel::peer_uri(owner, id));
    to(node, owner, id, uri, purpose)
}

/// Sends nginx to this address of the node that may have a file.
pub(super) fn to(
    node: &Node,
    owner: u16,
    id: FileId,
    uri: String,
    purpose: Purpose,
) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((accel::REDIRECT, uri))
        .insert_header((PASS, node.peers.pass(purpose, owner, id)))
        .finish()
}

/// Returns the other node that made a resumable upload, and has it alone; `None` if it is none of them.
///
/// # Errors
/// 503, if that node is known to be down, or if another node has sent the request here: then the nodes do
/// not agree who has which number.
pub(super) fn owner_of_upload(
    headers: &HeaderMap,
    node: &Node,
    id: FileId,
) -> Result<Option<u16>, Problem> {
    let owner = node.peers.owner_of(id);
    if let Some(owner) = owner
        && headers.contains_key(accel::SENT_ON)
    {
        log::error!("a node has sent a request for upload {id} of node {owner} here");
        return Err(Problem::unavailable());
    }
    owner.map_or(Ok(()), |owner| node.peers.check_up(owner))?;
    Ok(owner)
}

/// Sends nginx to the node that has a resumable upload, with the request as it is. That node checks the
/// token; `None` if it is no other node.
///
/// # Errors
/// As [`owner_of_upload`].
pub(super) fn upload(
    request: &HttpRequest,
    node: &Node,
    id: FileId,
) -> Result<Option<HttpResponse>, Problem> {
    let owner = owner_of_upload(request.headers(), node, id)?;
    Ok(owner.map(|owner| {
        HttpResponse::Ok()
            .insert_header((accel::REDIRECT, accel::upload_location(owner)))
            .finish()
    }))
}
