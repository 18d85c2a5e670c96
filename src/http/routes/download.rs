//! GET and HEAD of files: this sends nginx to the bytes.

use actix_web::body::SizedStream;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures::stream;

use crate::accel;
use crate::delivery::{Found, Slice};
use crate::file::{FileId, FileKey, FileMeta};
use crate::http::headers::conditions::{self, Verdict};
use crate::http::headers::ranges::{self, Wanted};
use crate::http::headers::{digest, disposition};
use crate::http::{Node, Problem};
use crate::journal::{BODIES, Kept};
use crate::store::{Sha256, StoredFile};

/// Our files never change, so a caller may keep them. Nobody else may, because the caller needed a
/// right.
pub(super) const LASTING: &str = "private, max-age=86400, immutable";

/// Files of other writers may be replaced, so a copy is good only for as long as a description is
/// kept here.
const REPLACEABLE: &str = "private, max-age=5, must-revalidate";

/// The time that a caller may keep a file.
fn cache_control(meta: &FileMeta) -> &'static str {
    if meta.revision.is_none() {
        LASTING
    } else {
        REPLACEABLE
    }
}

/// Answers from this node's disk or the store; the rights were checked.
pub(super) async fn send_from_here(
    request: &HttpRequest,
    node: &Node,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    let found = node.delivery.find_here(&FileKey::Id(id)).await?;
    send_found(request, node, found).await
}

/// Sends a file that was found here.
pub(super) async fn send_found(
    request: &HttpRequest,
    node: &Node,
    found: Found,
) -> Result<HttpResponse, Problem> {
    match found {
        Found::Kept(kept) => answer_kept(request, node, &kept).await,
        Found::Stored { file, at_hand } => answer_stored(request, node, &file, at_hand).await,
        Found::Elsewhere { .. } | Found::Growing(_) | Found::Absent => Err(Problem::not_found()),
    }
}

/// nginx was sent to the journal and found no body, because the body was evicted or deleted in
/// between. This looks again: the file is somewhere else by now, or gone.
///
/// No token is checked here, so the address must be exactly the one that this process gave nginx. nginx
/// chooses a location by the decoded address and sends on the one that the client wrote: a request for
/// `/_gridspool/journal/..%2F..%2Ffiles%2F/ID` comes here by the location `/files/`.
pub(super) async fn again(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let part = |name| request.match_info().query(name);
    let id = part("id").parse().map_err(|_| Problem::not_found())?;
    if part("room") != BODIES {
        return Err(Problem::not_found());
    }
    let key = FileKey::Id(id);
    match node.delivery.find_without_body(&key).await? {
        Found::Kept(kept) => {
            log::error!("{}: nginx cannot open this body in the journal", kept.id);
            Err(Problem::body_not_sent())
        }
        Found::Stored { file, at_hand } => answer_stored(&request, &node, &file, at_hand).await,
        Found::Elsewhere { .. } | Found::Growing(_) | Found::Absent => Err(Problem::not_found()),
    }
}

/// Answers with a file that is on this node's disk.
pub(super) async fn answer_kept(
    request: &HttpRequest,
    node: &Node,
    kept: &Kept,
) -> Result<HttpResponse, Problem> {
    let is_nginx_asked = !conditions::nginx_would_refuse(request.headers(), &kept.meta);
    let way = if kept.is_whole_file && is_nginx_asked {
        Way::Journal(accel::journal_uri(BODIES, kept.id))
    } else {
        Way::Store(accel::store_uri(&FileKey::Id(kept.id), &kept.meta))
    };
    let at_hand = kept.content.clone();
    answer(request, node, &kept.meta, kept.sha256, at_hand, way).await
}

/// Answers with a file that is in the store. Bytes in memory are sent at once.
pub(super) async fn answer_stored(
    request: &HttpRequest,
    node: &Node,
    stored: &StoredFile,
    at_hand: Option<Bytes>,
) -> Result<HttpResponse, Problem> {
    let way = Way::Store(accel::store_uri(&stored.key, &stored.meta));
    answer(request, node, &stored.meta, stored.sha256, at_hand, way).await
}

/// The place where nginx gets the bytes.
enum Way {
    /// A body in the journal.
    Journal(String),
    /// nginx's cache.
    Store(String),
}

/// Answers if no bytes are needed or all are at hand; sends nginx for the bytes otherwise.
async fn answer(
    request: &HttpRequest,
    node: &Node,
    meta: &FileMeta,
    sha256: Option<Sha256>,
    at_hand: Option<Bytes>,
    way: Way,
) -> Result<HttpResponse, Problem> {
    match conditions::judge(request.method(), request.headers(), meta) {
        Verdict::Failed => return Err(Problem::precondition_failed()),
        Verdict::OutOfRange => return Err(Problem::range_not_satisfiable(meta.length)),
        Verdict::NotModified => {
            let mut not_modified = HttpResponse::NotModified();
            insert_validators(&mut not_modified, meta);
            return Ok(not_modified
                .insert_header((header::CACHE_CONTROL, cache_control(meta)))
                .finish());
        }
        Verdict::Proceed => {}
    }
    let is_to_be_saved = disposition::is_to_be_saved(request.query_string());
    let disposition = disposition::of_download(meta, is_to_be_saved);
    let mut ok = HttpResponse::Ok();
    ok.insert_header((header::CONTENT_TYPE, meta.content_type.as_str()));
    if let Some(sha256) = sha256 {
        ok.insert_header((digest::REPR_DIGEST, digest::of_file(sha256)));
    }
    let has_no_body = request.method() == Method::HEAD || meta.length == 0;
    // nginx cuts ranges.
    let is_whole = !request.headers().contains_key(header::RANGE);
    let at_hand = at_hand.filter(|_| is_whole);
    if has_no_body || at_hand.is_some() {
        insert_validators(&mut ok, meta);
        ok.insert_header((header::CACHE_CONTROL, cache_control(meta)))
            .insert_header((header::CONTENT_DISPOSITION, disposition))
            .insert_header((header::ACCEPT_RANGES, "bytes"));
        if let (false, Some(bytes)) = (has_no_body, at_hand) {
            return Ok(ok.body(bytes));
        }
        // A HEAD gets the length alone.
        return Ok(ok.body(SizedStream::new(
            meta.length,
            stream::empty::<Result<Bytes, std::io::Error>>(),
        )));
    }
    let is_refused_by_nginx = conditions::nginx_would_refuse(request.headers(), meta);
    let mut uri = match way {
        Way::Store(uri) if is_refused_by_nginx => uri,
        Way::Journal(uri) => uri,
        Way::Store(uri) => {
            let number = first_slice(request, meta.length);
            let slice = Slice { uri, number };
            node.delivery.fills().follow(&slice).await;
            slice.uri
        }
    };
    uri = to_be_saved_or_not(request, uri);
    if is_refused_by_nginx {
        push_parameter(&mut uri, accel::JUDGED);
    } else if conditions::goes_by_date(request.headers(), meta) {
        push_parameter(&mut uri, accel::WHOLE);
    }
    // nginx passes these fields on to any answer, even to an error. So they go in headers of their own, and
    // nginx sets the fields when it has the bytes.
    Ok(ok
        .insert_header((accel::REDIRECT, uri))
        .insert_header((accel::CACHING, cache_control(meta)))
        .insert_header((accel::DISPOSITION, disposition))
        .finish())
}

/// Adds to an address what the query of a request says about the answer: whether the file is to be saved.
pub(super) fn to_be_saved_or_not(request: &HttpRequest, mut uri: String) -> String {
    if disposition::is_to_be_saved(request.query_string()) {
        push_parameter(&mut uri, disposition::DOWNLOAD);
    }
    uri
}

/// Adds a parameter for nginx to an address. nginx sends it again if it finds no body there, or another
/// content.
fn push_parameter(uri: &mut String, parameter: &str) {
    uri.push(if uri.contains('?') { '&' } else { '?' });
    uri.push_str(parameter);
}

/// Returns the slice that nginx begins with: the first one, unless the request names another.
fn first_slice(request: &HttpRequest, length: u64) -> u64 {
    let headers = request.headers();
    let range = headers.get(header::RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    let is_known = |range: &&str| !range.contains("=-") && !headers.contains_key(header::IF_RANGE);
    match range
        .filter(is_known)
        .map(|range| ranges::wanted(range, length))
    {
        Some(Wanted::Part(range)) => range.start / accel::SLICE_BYTES,
        Some(Wanted::Whole | Wanted::Nothing) | None => 0,
    }
}

/// Adds the validators: tag and date.
pub(super) fn insert_validators(answer: &mut HttpResponseBuilder, meta: &FileMeta) {
    answer.insert_header((header::ETAG, meta.etag()));
    if let Some(modified) = meta.last_modified() {
        let date = httpdate::fmt_http_date(modified);
        answer.insert_header((header::LAST_MODIFIED, date));
    }
}
