//! `/drain` on the admin socket: takes a node out of service, or back.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::Node;

/// `POST /drain`.
pub(super) async fn begin(node: web::Data<Node>) -> HttpResponse {
    set(&node, true)
}

/// `DELETE /drain`.
pub(super) async fn end(node: web::Data<Node>) -> HttpResponse {
    set(&node, false)
}

fn set(node: &Node, is_on: bool) -> HttpResponse {
    node.edge.drain.set(is_on);
    HttpResponse::Ok().json(json!({ "draining": is_on }))
}
