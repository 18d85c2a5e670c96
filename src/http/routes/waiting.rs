//! Lists the entries that wait for their commit, with the reason, for admins. An admin may have one
//! tried again.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::file::FileId;
use crate::http::{Node, Problem};
use crate::journal::{Journal, Retried, Room, Waiting};

/// Entries of a page by default.
const PAGE: usize = 100;

/// Entries of a page at most, as each is a file to be read.
const LONGEST_PAGE: usize = 1000;

/// The reason why a file waits.
#[derive(Debug, Serialize)]
pub(super) struct Why {
    room: &'static str,
    /// Attempts that failed by the fault of this entry. Attempts while MongoDB was away do not count.
    attempts: u32,
    reason: Option<String>,
    next_attempt: Option<String>,
}

/// An entry of the list.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    length: u64,
    #[serde(flatten)]
    why: Why,
}

/// The query: which page the caller wants.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

impl Why {
    fn new(node: &Node, waiting: Waiting) -> Self {
        let Waiting { room, attempts, .. } = waiting;
        // An entry that never failed waits for all others, or for MongoDB.
        let away = || match room {
            Room::Incoming => node.commits.store_state().error,
            Room::Deferred | Room::Hold | Room::Settled | Room::Deleted => None,
        };
        Self {
            room: room.name(),
            attempts,
            reason: waiting.reason.or_else(away),
            next_attempt: waiting.next_attempt.and_then(|due| {
                let due = i64::try_from(due.0).ok()?;
                Some(Timestamp::from_millisecond(due).ok()?.to_string())
            }),
        }
    }

    /// The reason why this file waits; `None` if it is not pending here.
    pub(super) async fn of(node: &web::Data<Node>, id: FileId) -> Result<Option<Self>, Problem> {
        let waiting = on_disk(node, move |journal| journal.waiting_for(id)).await?;
        Ok(waiting.map(|waiting| Self::new(node, waiting)))
    }
}

/// `GET /waiting`: the entries that were put off or are held, the oldest first, in pages.
pub(super) async fn list(
    page: Result<web::Query<Page>, actix_web::Error>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let Page { after, limit } = page.map_err(|_| Problem::no_page())?.into_inner();
    let after = after.as_deref().map(id).transpose()?;
    let limit = limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let found = on_disk(&node, move |journal| journal.waiting(after, limit)).await?;
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.map(|last| last.id.to_string());
    let entries: Vec<_> = found.into_iter().map(|one| listed(&node, one)).collect();
    Ok(HttpResponse::Ok().json(json!({ "waiting": entries, "next": next })))
}

/// `GET /waiting/{id}`: one entry, in any pending room.
pub(super) async fn one(
    name: web::Path<String>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&name)?;
    let found = on_disk(&node, move |journal| journal.waiting_for(id)).await?;
    let found = found.ok_or_else(|| Problem::not_waiting(id))?;
    Ok(HttpResponse::Ok().json(listed(&node, found)))
}

/// `POST /waiting/{id}/retry`: tries an entry again that was put off or is held.
pub(super) async fn retry(
    name: web::Path<String>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&name)?;
    match on_disk(&node, move |journal| journal.retry(id)).await? {
        Retried::Begun => Ok(HttpResponse::Ok().json(json!({ "retried": [id.to_string()] }))),
        Retried::NotPutOff(room) => Err(Problem::not_put_off(id, room)),
        Retried::Absent => Err(Problem::not_waiting(id)),
    }
}

/// `POST /hold/retry`: gives every held entry a new start.
pub(super) async fn retry_held(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let node = node.into_inner();
    let retried = web::block(move || {
        let mut retried = Vec::new();
        for id in node.journal.held() {
            if node.journal.retry(id)? == Retried::Begun {
                retried.push(id);
            }
        }
        Ok::<_, Problem>(retried)
    })
    .await??;
    let ids: Vec<_> = retried.iter().map(ToString::to_string).collect();
    Ok(HttpResponse::Ok().json(json!({ "retried": ids })))
}

fn listed(node: &Node, waiting: Waiting) -> Listed {
    Listed {
        id: waiting.id.to_string(),
        length: waiting.length,
        why: Why::new(node, waiting),
    }
}

fn id(text: &str) -> Result<FileId, Problem> {
    text.parse().map_err(|_| Problem::no_id())
}

async fn on_disk<T: Send + 'static>(
    node: &web::Data<Node>,
    ask: impl FnOnce(&Journal) -> Result<T, crate::journal::JournalError> + Send + 'static,
) -> Result<T, Problem> {
    let journal = Arc::clone(&node.journal);
    Ok(web::block(move || ask(&journal)).await??)
}

impl Problem {
    fn no_page() -> Self {
        let detail = "A page begins after an id (`after`) and has a number of entries (`limit`).";
        Self::new(StatusCode::BAD_REQUEST, "bad-page", detail)
    }

    fn no_id() -> Self {
        let detail = "An id of this node has 24 hexadecimal digits.";
        Self::new(StatusCode::BAD_REQUEST, "bad-id", detail)
    }

    fn not_waiting(id: FileId) -> Self {
        let detail =
            format!("Nothing waits here under the id {id}: it is committed, deleted or unknown.");
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    fn not_put_off(id: FileId, room: Room) -> Self {
        let detail = match room {
            Room::Incoming => format!("{id} is due already, and tried as soon as MongoDB answers."),
            Room::Settled => format!("{id} is committed."),
            Room::Deleted => format!("{id} is deleted, and is cleared away when MongoDB answers."),
            Room::Deferred | Room::Hold => format!("{id} moves just now."),
        };
        Self::new(StatusCode::CONFLICT, "not-put-off", detail)
    }
}
