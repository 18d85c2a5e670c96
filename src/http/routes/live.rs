//! GET and HEAD of uploads that may still grow.
//!
//! nginx is sent to a location of its own, which passes each piece on as it comes. There it asks for the
//! bytes. An answer that cannot go on breaks the connection off, so that no client takes a part for the
//! whole; HTTP/1.0 has no way to tell the two apart.

use actix_web::body::SizedStream;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream;

use super::download::{send_from_here, to_be_saved_or_not};
use super::elsewhere;
use crate::accel;
use crate::delivery::LiveReader;
use crate::file::{FileId, FileMeta, FileName};
use crate::http::headers::ranges::Wanted;
use crate::http::headers::{disposition, live as heads};
use crate::http::{Node, Problem};
use crate::journal::OpenUpload;
use crate::peers::{HOP, Purpose};

/// Answers for an upload on this node that may still grow; the rights were checked.
pub(super) async fn begin(
    request: &HttpRequest,
    node: &Node,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    if request.method() != Method::HEAD {
        check_protocol(request)?;
        let uri = to_be_saved_or_not(request, accel::live_uri(id));
        let mut sent_on = HttpResponse::Ok();
        return Ok(sent_on.insert_header((accel::REDIRECT, uri)).finish());
    }
    match node.live.open(&node.journal, id).await? {
        Some((open, reader)) => send(request, id, &open, reader),
        None => send_from_here(request, node, id).await,
    }
}

/// Sends nginx to the node that may have the upload; the rights were checked.
pub(super) fn at_owner(
    request: &HttpRequest,
    node: &Node,
    owner: u16,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    if request.method() != Method::HEAD {
        check_protocol(request)?;
    }
    let path = to_be_saved_or_not(request, format!("/live/{id}"));
    elsewhere::to(node, owner, accel::PEER_LIVE, &path, id, Purpose::Read)
}

/// `GET /_gridspool/live/{id}`. No token is checked here, so the address must be exactly the one that this
/// process gave nginx.
pub(super) async fn bytes(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = request.match_info().query("id").parse();
    let id = id.map_err(|_| Problem::not_found())?;
    match node.live.open(&node.journal, id).await? {
        Some((open, reader)) => send(&request, id, &open, reader),
        None => send_from_here(&request, &node, id).await,
    }
}

fn send(
    request: &HttpRequest,
    id: FileId,
    open: &OpenUpload,
    reader: LiveReader,
) -> Result<HttpResponse, Problem> {
    let (headers, declared) = (request.headers(), open.declared);
    if heads::wants_tag(headers) {
        return Err(Problem::precondition_failed());
    }
    let is_head = request.method() == Method::HEAD;
    let wanted = if is_head {
        Wanted::Whole
    } else {
        heads::part(headers, declared)
    };
    let (mut answer, range) = match wanted {
        Wanted::Nothing => {
            return Err(Problem::range_not_satisfiable(declared.unwrap_or_default()));
        }
        Wanted::Whole => (HttpResponse::Ok(), 0..declared.unwrap_or(u64::MAX)),
        Wanted::Part(range) => {
            let mut partial = HttpResponse::PartialContent();
            let bounds = heads::content_range(&range, declared);
            partial.insert_header((header::CONTENT_RANGE, bounds));
            (partial, range)
        }
    };
    let name = open.filename.clone();
    let meta = FileMeta {
        filename: name.unwrap_or_else(|| FileName::of_id(id)),
        content_type: open.content_type.clone(),
        length: open.offset,
        uploaded: open.begun,
        metadata: open.metadata.clone(),
        revision: None,
    };
    let is_to_be_saved = disposition::is_to_be_saved(request.query_string());
    let disposition = disposition::of_download(&meta, is_to_be_saved);
    answer
        .insert_header((header::CONTENT_TYPE, meta.content_type.as_str()))
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((accel::BUFFERING, "no"));
    // The bytes that are there are known to come; so are all of a declared length.
    let is_sized = declared.is_some() || range.end <= open.offset;
    let length = is_sized.then_some(range.end - range.start);
    if is_head {
        let none = stream::empty::<Result<Bytes, std::io::Error>>();
        return Ok(match length {
            Some(length) => answer.body(SizedStream::new(length, none)),
            None => answer.streaming(none),
        });
    }
    // actix keeps memory with a connection.
    answer.force_close();
    let pieces = reader.stream(range);
    let pieces = pieces.inspect_err(move |err| log::debug!("{id}: a reader is cut off: {err}"));
    Ok(match length {
        Some(length) => answer.body(SizedStream::new(length, pieces)),
        None => answer.streaming(pieces),
    })
}

/// Refuses HTTP/1.0, by the word of nginx.
fn check_protocol(request: &HttpRequest) -> Result<(), Problem> {
    // Another node has checked its own client.
    if request.path().starts_with(HOP) {
        return Ok(());
    }
    let protocol = request.headers().get(accel::PROTOCOL);
    match protocol.map(header::HeaderValue::as_bytes) {
        Some(b"HTTP/1.0" | b"HTTP/0.9") | None => Err(Problem::protocol_too_old()),
        Some(_) => Ok(()),
    }
}

impl Problem {
    fn protocol_too_old() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "version-not-supported",
            "An upload that is not complete is only sent by HTTP/1.1 or later.",
        )
    }
}
