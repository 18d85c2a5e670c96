//! Sends nginx to the node that may have a file.

use actix_web::HttpResponse;

use crate::accel;
use crate::file::FileId;
use crate::http::Node;
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
    let uri = accel::peer_uri(owner, id);
    HttpResponse::Ok()
        .insert_header((accel::REDIRECT, format!("{uri}{part}")))
        .insert_header((PASS, node.peers.pass(purpose, owner, id)))
        .finish()
}
