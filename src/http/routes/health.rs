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

/// The query of a balancer that sends nothing but reads.
const FOR_READ: &str = "for=read";

/// `GET /healthz`: 200 while this node can take uploads: it is not drained, its number is its own, no fsync
/// has failed, the disk answers, there is room on it and in the journal, and no thread stands still. `GET /healthz?for=read`: 200
/// while no thread stands still.
async fn alive(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let uploads = Uploads::of(&node).await;
    let mut asked = request.query_string().split('&');
    let only_reads = asked.any(|one| one == FOR_READ);
    let goes_on = !node.watchdog.sees_standstill();
    let told = json!({
        "journal": uploads.journal(),
        "draining": uploads.is_draining,
        "listed": uploads.is_listed,
        "threads": if goes_on { "go on" } else { "stand still" },
    });
    let is_good = goes_on && (only_reads || uploads.are_taken());
    answer(&request, is_good, &told)
}

/// `GET /readyz`: 200 while uploads can be taken, and MongoDB answers and may be relied on.
async fn ready(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let uploads = Uploads::of(&node).await;
    let mongodb = node.commits.store_state().standing;
    let told = json!({
        "draining": uploads.is_draining,
        "listed": uploads.is_listed,
        "journal": uploads.journal(),
        "mongodb": mongodb.name(),
    });
    answer(&request, uploads.are_taken() && mongodb.is_up(), &told)
}

/// Whether this node takes uploads just now.
struct Uploads {
    is_writable: bool,
    is_draining: bool,
    /// By the list of nodes this node has its number, and others know it.
    is_listed: bool,
}

impl Uploads {
    async fn of(node: &Node) -> Self {
        // The threads that serve nginx must not wait for a disk.
        let is_writable = match node.intake.free().await {
            Ok(free) => node.journal.check_room(free, 0).is_ok() && !node.journal.stands_still(),
            Err(_) => false,
        };
        Self {
            is_writable,
            is_draining: node.edge.drain.is_on(),
            is_listed: node.peers.obstacle().is_none(),
        }
    }

    fn are_taken(&self) -> bool {
        self.is_writable && !self.is_draining && self.is_listed
    }

    fn journal(&self) -> &'static str {
        if self.is_writable {
            "writable"
        } else {
            "not writable"
        }
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
