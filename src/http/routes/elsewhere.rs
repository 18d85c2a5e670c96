//! Sends nginx to the node that may have a file or an upload.

use std::net::SocketAddr;

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::download::to_be_saved_or_not;
use crate::accel;
use crate::file::FileId;
use crate::http::gate::access;
use crate::http::{Node, Problem};
use crate::peers::{HOP, PASS, Purpose};

/// The end of the address of a file's description.
pub(super) const META: &str = "/meta";

/// Sends nginx to the node that may have a file, with what the query says about the answer.
///
/// # Errors
/// As [`to`].
pub(super) fn file(
    request: &HttpRequest,
    node: &Node,
    owner: u16,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    let path = to_be_saved_or_not(request, format!("/files/{id}"));
    to(node, owner, accel::PEER, &path, id, Purpose::Read)
}

/// Sends nginx to the node that may have a file, for its description.
///
/// # Errors
/// As [`to`].
pub(super) fn meta(
    node: &Node,
    owner: u16,
    id: FileId,
    purpose: Purpose,
) -> Result<HttpResponse, Problem> {
    let path = format!("/files/{id}{META}");
    to(node, owner, accel::PEER, &path, id, purpose)
}

/// Sends nginx by this location to this path of the node that may have a file.
///
/// # Errors
/// 503, if that node cannot be asked just now.
pub(super) fn to(
    node: &Node,
    owner: u16,
    location: &str,
    path: &str,
    id: FileId,
    purpose: Purpose,
) -> Result<HttpResponse, Problem> {
    let address = node.peers.address(owner)?;
    Ok(HttpResponse::Ok()
        .insert_header((accel::REDIRECT, format!("{location}/{owner}{path}")))
        .insert_header((accel::PEER_ADDRESS, format!("{address}{HOP}{path}")))
        .insert_header((PASS, node.peers.pass(purpose, owner, id)))
        .finish())
}

/// The way to the other node that has an upload.
#[derive(Debug)]
pub(super) struct WayToOwner {
    address: SocketAddr,
    /// The client for which the request is sent on.
    client: String,
}

impl WayToOwner {
    /// Tells nginx the way.
    pub(super) fn tell(&self, answer: &mut HttpResponseBuilder) {
        answer.insert_header((accel::PEER_ADDRESS, self.address.to_string()));
        answer.insert_header((accel::SENT_ON_FOR, &*self.client));
    }
}

/// Returns the way to the other node that made a resumable upload, and has it alone, for a request with this
/// target; `None` if it is none of them.
///
/// # Errors
/// 503, if that node is known to be down, or if another node has sent the request here: then the nodes do
/// not agree who has which number.
pub(super) async fn owner_of_upload(
    headers: &HeaderMap,
    target: &str,
    node: &Node,
    id: FileId,
) -> Result<Option<WayToOwner>, Problem> {
    let Some(owner) = node.peers.find_owner(id).await? else {
        return Ok(None);
    };
    if headers.contains_key(accel::SENT_ON) {
        log::error!("a node has sent a request for upload {id} of node {owner} here");
        return Err(Problem::unavailable());
    }
    let client = access::client_address(headers);
    Ok(Some(WayToOwner {
        address: node.peers.address(owner)?,
        client: node.peers.state_client(owner, client, target),
    }))
}

/// Sends nginx to the node that has a resumable upload, with the request as it is. That node checks the
/// token; `None` if it is no other node.
///
/// # Errors
/// As [`owner_of_upload`].
pub(super) async fn upload(
    request: &HttpRequest,
    node: &Node,
    id: FileId,
) -> Result<Option<HttpResponse>, Problem> {
    let target = access::target(request);
    let way = owner_of_upload(request.headers(), target, node, id).await?;
    Ok(way.map(|way| {
        let mut answer = HttpResponse::Ok();
        answer.insert_header((accel::REDIRECT, accel::UPLOAD_AT_PEER));
        way.tell(&mut answer);
        answer.finish()
    }))
}
