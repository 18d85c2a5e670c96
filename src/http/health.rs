//! What a balancer asks.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Node;

/// `GET /healthz`: 200 while this process can take uploads; 503 once an fsync has failed, and while
/// the node is drained.
pub(super) async fn alive(node: web::Data<Node>) -> HttpResponse {
    let is_sound = node.journal.poison().is_none();
    let is_draining = node.drain.is_on();
    status(is_sound && !is_draining).json(json!({
        "journal": journal(is_sound),
        "draining": is_draining,
    }))
}

/// `GET /readyz`: 200 while uploads can be taken and MongoDB answers too, and may be relied on.
pub(super) async fn ready(node: web::Data<Node>) -> HttpResponse {
    let is_writable = node.journal.check_admission(0).is_ok();
    let mongodb = node.health.state().standing;
    let is_draining = node.drain.is_on();
    status(is_writable && mongodb.is_up() && !is_draining).json(json!({
        "draining": is_draining,
        "journal": journal(is_writable),
        "mongodb": mongodb.name(),
    }))
}

fn journal(is_writable: bool) -> &'static str {
    if is_writable {
        "writable"
    } else {
        "not writable"
    }
}

fn status(is_good: bool) -> actix_web::HttpResponseBuilder {
    HttpResponse::build(if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}
