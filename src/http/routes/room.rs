//! Answers a balancer before it sends an upload: whether this node takes the upload.
//!
//! A yes has the node's number, so that the balancer sends the upload to the node that answered. It
//! also has a *word* that comes back with the upload: a node that is drained meanwhile still takes
//! such an upload.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::accel;
use crate::http::{Node, Problem};

/// Answers `GET /_gridspool/room` with 204, or with 404 and the reason, because nginx does not
/// count a 404 against a node. It does not check the token, nor anything else that is the same at
/// every node.
pub(super) async fn room(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let length = request.headers().get(accel::BODY_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    // A chunked body has no length yet.
    let length = length.unwrap_or(0);
    if node.edge.drain.is_on() {
        return Err(Problem::no_room("This node is being drained."));
    }
    if node.peers.obstacle().is_some() {
        return Err(Problem::no_room(
            "By the list of nodes, this node takes no uploads.",
        ));
    }
    let journal = Arc::clone(&node.journal);
    let free = node.intake.room().await?;
    if let Err(err) = journal.check_room(free, length) {
        log::debug!("a balancer was sent elsewhere: {err}");
        return Err(Problem::no_room("This node has no room for the body."));
    }
    Ok(HttpResponse::NoContent()
        .insert_header((accel::NODE, node.peers.number().to_string()))
        .insert_header((accel::ROOM, node.edge.drain.word()))
        .finish())
}

impl Problem {
    fn no_room(detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-room", detail)
    }
}
