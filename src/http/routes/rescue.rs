//! `/rescue` on the admin socket: takes the journal of a dead node over, and tells how far that is.

use std::path::PathBuf;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use crate::http::{Node, Problem};

/// The journal, by an absolute path, and the number of its node.
#[derive(Debug, Deserialize)]
pub(super) struct Dead {
    journal: PathBuf,
    node: u16,
}

/// `POST /rescue`.
pub(super) async fn begin(
    node: web::Data<Node>,
    dead: web::Query<Dead>,
) -> Result<HttpResponse, Problem> {
    let begun = node.rescue.begin(&dead.journal, dead.node);
    begun.map_err(|refusal| {
        Problem::new(StatusCode::CONFLICT, "not-rescued", refusal.to_string())
    })?;
    Ok(progress(node).await)
}

/// `GET /rescue`.
pub(super) async fn progress(node: web::Data<Node>) -> HttpResponse {
    let progress = node.rescue.progress();
    HttpResponse::Ok().json(json!({
        "running": progress.is_running,
        "error": progress.error,
        "node": progress.node,
        "entries": progress.entries,
        "seen": progress.seen,
        "taken": progress.taken,
        "before": progress.before,
        "settled": progress.settled,
        "deleted": progress.deleted,
        "missing": progress.missing,
        "unreadable": progress.unreadable,
    }))
}
