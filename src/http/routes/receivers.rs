//! The lists of receivers. Clients read them, wait for messages, count them, and report deliveries.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::future::ready;
use futures::stream::once;
use serde::Deserialize;

use super::{delete, messages, methods};
use crate::delivery::List;
use crate::file::FileId;
use crate::http::gate::messages as rights;
use crate::http::headers::path;
use crate::http::{Node, Problem};
use crate::journal::Standing;
use crate::message::{Cursor, Party};

/// The number of messages of a page: the default and the most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1000;

/// The longest time that a request may wait. Servers between client and sidecar usually give up
/// after a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(55);

/// The most bytes of a report of deliveries.
const MOST_BYTES: usize = 64 * 1024;

/// A message gets into lists when it is committed.
const LISTED: &str = Standing::Committed.name();

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// The query: which page the caller wants.
#[derive(Deserialize)]
struct Asked {
    after: Option<String>,
    limit: Option<u32>,
    wait: Option<u64>,
}

/// A report of deliveries: these messages, or all messages up to a cursor.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Delivered {
    Ids(Vec<String>),
    Through(String),
}

/// The routes of receivers.
pub(super) fn routes(service: &mut ServiceConfig) {
    let list = web::resource("/receivers/{receiver}/messages")
        .route(web::get().to(list))
        .route(web::head().to(count));
    let entry =
        web::resource("/receivers/{receiver}/messages/{id}").route(web::delete().to(strike));
    let one = web::resource("/receivers/{receiver}/messages/{id}/delivered")
        .route(web::post().to(delivered_one));
    let many = web::resource("/receivers/{receiver}/delivered").route(web::post().to(delivered));
    service
        .service(methods::and_no_other(list, methods::OF_LIST))
        .service(methods::and_no_other(entry, methods::OF_ENTRY))
        .service(methods::and_no_other(one, methods::OF_DELIVERED))
        .service(methods::and_no_other(many, methods::OF_DELIVERED));
}

/// Answers `GET /receivers/{receiver}/messages` with the waiting messages, the oldest first.
async fn list(
    request: HttpRequest,
    asked: Result<web::Query<Asked>, actix_web::Error>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let receiver = receiver(&request)?;
    let has_receivers = rights::check_list(&request, &node, &receiver)?;
    let Asked { after, limit, wait } = asked.map_err(|_| Problem::no_list())?.into_inner();
    let after = after.as_deref().map(cursor).transpose()?;
    let limit = limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let wait = Duration::from_secs(wait.unwrap_or_default()).min(LONGEST_WAIT);
    let found = node
        .lists
        .page(&receiver, after.unwrap_or_default(), limit, wait)
        .await?;
    let accepted = request.headers().get(header::ACCEPT);
    let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
    let (kind, body) = if accepted.is_some_and(|accepted| accepted.contains(LINES)) {
        (LINES, lines(&found, has_receivers))
    } else {
        (JSON, document(&found, has_receivers))
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(kind);
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let permit = found.permit;
    let body = once(ready(Ok::<_, Infallible>(Bytes::from(body))));
    let body = body.inspect_ok(move |_| {
        let _held_to_the_end = &permit;
    });
    Ok(answer.body(SizedStream::new(length, body)))
}

/// Answers `HEAD` with the number and the bytes of the waiting messages.
async fn count(request: HttpRequest, node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let receiver = receiver(&request)?;
    rights::check_list(&request, &node, &receiver)?;
    let waiting = node.lists.count(&receiver).await?;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("gridspool-messages", waiting.messages))
        .insert_header(("gridspool-bytes", waiting.bytes));
    if waiting.has_more {
        answer.insert_header(("gridspool-more", "true"));
    }
    Ok(answer.content_type(JSON).finish())
}

/// Answers `DELETE …/messages/{id}`: the message is off this list for good, and stays itself.
async fn strike(request: HttpRequest, node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let receiver = receiver(&request)?;
    rights::check_list(&request, &node, &receiver)?;
    let id = messages::id(&request)?;
    let found = messages::find(&node, id).await?;
    if !found.message.to.contains(&receiver) {
        return Err(Problem::not_found());
    }
    delete::carry_out_entry(node, receiver, id).await
}

/// Answers `POST …/messages/{id}/delivered`.
async fn delivered_one(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let receiver = receiver(&request)?;
    rights::check_list(&request, &node, &receiver)?;
    let id = messages::id(&request)?;
    read(body).await?;
    node.lists.delivered(&receiver, vec![id]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Answers `POST …/delivered`, which reports many deliveries at once.
async fn delivered(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let receiver = receiver(&request)?;
    rights::check_list(&request, &node, &receiver)?;
    let body = read(body).await?;
    match serde_json::from_slice(&body).map_err(|_| Problem::not_delivered())? {
        Delivered::Ids(ids) => {
            let ids: Result<Vec<FileId>, _> = ids.iter().map(|id| id.parse()).collect();
            let ids = ids.map_err(|_| Problem::not_delivered())?;
            node.lists.delivered(&receiver, ids).await?;
        }
        Delivered::Through(through) => {
            let through = through.parse().map_err(|_| Problem::not_delivered())?;
            node.lists.delivered_through(&receiver, through).await?;
        }
    }
    Ok(HttpResponse::NoContent().finish())
}

async fn read(body: web::Payload) -> Result<Bytes, Problem> {
    match body.to_bytes_limited(MOST_BYTES).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // The client has closed the connection, so nobody reads this answer.
        Ok(Err(_)) => Err(Problem::body_not_passed()),
        Err(_) => Err(Problem::too_large()),
    }
}

fn receiver(request: &HttpRequest) -> Result<Party, Problem> {
    let target = request.uri().path_and_query();
    let target = target.map_or("", |target| target.as_str());
    Ok(path::receiver(target)?)
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    text.parse().map_err(|_| Problem::no_list())
}

/// Writes all messages as one JSON value, each as at its own address.
fn document(list: &List, has_receivers: bool) -> Vec<u8> {
    let mut body = begun(list);
    body.extend_from_slice(b"{\"messages\":[");
    for (place, (_, wording)) in list.messages.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        wording.push_line(&mut body, LISTED, has_receivers);
    }
    let (next, has_more) = (list.next, list.has_more);
    let end = format!("],\"next\":\"{next}\",\"has_more\":{has_more}}}");
    body.extend_from_slice(end.as_bytes());
    body
}

/// Writes a line for each message, with the cursor behind it, and a last line. A list without the
/// last line was cut.
fn lines(list: &List, has_receivers: bool) -> Vec<u8> {
    let mut body = begun(list);
    for (cursor, wording) in &list.messages {
        let line = wording.line(LISTED, has_receivers);
        // The text is an object that is never empty.
        let members = line.get(1..).unwrap_or_default();
        body.extend_from_slice(format!("{{\"cursor\":\"{cursor}\",").as_bytes());
        body.extend_from_slice(members);
        body.push(b'\n');
    }
    let (next, has_more) = (list.next, list.has_more);
    let end = format!("{{\"next\":\"{next}\",\"has_more\":{has_more}}}\n");
    body.extend_from_slice(end.as_bytes());
    body
}

/// Makes an empty answer with room for all messages.
fn begun(list: &List) -> Vec<u8> {
    let around = 64;
    let messages = list.messages.iter();
    let bytes = messages.map(|(_, wording)| wording.bytes() + around);
    Vec::with_capacity(bytes.sum::<usize>() + around)
}
