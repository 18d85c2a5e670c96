//! Answers balancers: /healthz and /readyz.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use serde_json::{Value, json};

use super::methods;
use crate::http::Node;

const ALLOW: &str = "GET, HEAD, OPTIONS";

/// The addresses of both. OPTIONS gets the same status, as some balancers ask by it.
pub(super) fn routes(service: &mut ServiceConfig) {
    let complete = |resource: Resource| resource.default_service(methods::only(ALLOW));
    let asked = [Method::GET, Method::HEAD, Method::OPTIONS];
    let alive = asked
        .iter()
        .fold(web::resource("/healthz"), |resource, method| {
            resource.route(web::method(method.clone()).to(alive))
        });
    let ready = asked
        .iter()
        .fold(web::resource("/readyz"), |resource, method| {
            resource.route(web::method(method.clone()).to(ready))
        });
    service.service(complete(alive)).service(complete(ready));
}

/// `GET /healthz`: 200 while this process can take uploads; 503 once an fsync has failed, and while
/// the node is drained.
async fn alive(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let is_sound = node.journal.poison().is_none();
    let is_draining = node.edge.drain.is_on();
    let is_good = is_sound && !is_draining;
    let told = json!({
        "journal": journal(is_sound),
        "draining": is_draining,
    });
    answer(&request, is_good, &told)
}

/// `GET /readyz`: 200 while uploads can be taken, and MongoDB answers and may be relied on.
async fn ready(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    // The threads that serve nginx must not wait for a disk.
    let is_writable = match node.intake.free().await {
        Ok(free) => node.journal.check_room(free, 0).is_ok(),
        Err(_) => false,
    };
    let mongodb = node.commits.store_state().standing;
    let is_draining = node.edge.drain.is_on();
    let is_good = is_writable && mongodb.is_up() && !is_draining;
    let told = json!({
        "draining": is_draining,
        "journal": journal(is_writable),
        "mongodb": mongodb.name(),
    });
    answer(&request, is_good, &told)
}

fn journal(is_writable: bool) -> &'static str {
    if is_writable {
        "writable"
    } else {
        "not writable"
    }
}

/// The answer. It holds for this moment, so no cache may keep it.
fn answer(request: &HttpRequest, is_good: bool, told: &Value) -> HttpResponse {
    let is_options = request.method() == Method::OPTIONS;
    let status = match (is_good, is_options) {
        (true, true) => StatusCode::NO_CONTENT,
        (true, false) => StatusCode::OK,
        (false, _) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    if is_options {
        return answer.insert_header((header::ALLOW, ALLOW)).finish();
    }
    answer.json(told)
}
