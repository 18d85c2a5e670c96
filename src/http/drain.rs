//! Taking a node out of service: no new uploads, while everything else goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::{Node, Problem};

/// Seconds in which a balancer has noticed.
const RETRY_SECONDS: u32 = 5;

/// Whether this node is being drained. A restart forgets it.
#[derive(Debug, Default)]
pub struct Drain(AtomicBool);

impl Drain {
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Refuses an upload whose body has not been read yet. One whose body is here is taken: it was
    /// let in before.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.is_on() {
            Err(Problem::draining())
        } else {
            Ok(())
        }
    }

    fn set(&self, is_on: bool) -> HttpResponse {
        self.0.store(is_on, Ordering::Relaxed);
        if is_on {
            log::info!("draining: no new uploads are taken");
        } else {
            log::info!("uploads are taken again");
        }
        HttpResponse::Ok().json(json!({ "draining": is_on }))
    }
}

/// `POST /drain` on the admin socket.
pub(super) async fn begin(node: web::Data<Node>) -> HttpResponse {
    node.drain.set(true)
}

/// `DELETE /drain` on the admin socket.
pub(super) async fn end(node: web::Data<Node>) -> HttpResponse {
    node.drain.set(false)
}

impl Problem {
    fn draining() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "This node takes no more files. Send the request again.",
        )
        .retry_after(RETRY_SECONDS)
    }
}
