//! The methods of each address, and the answers that tell them (RFC 9110 §9.3.7, §15.5.6).

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, web};
use percent_encoding::percent_decode_str;

use crate::http::gate::access;
use crate::http::headers::dialect::UPLOAD_LIMIT;
use crate::http::headers::{path, resumable};
use crate::http::{Node, Problem};

/// The methods of the collection of files.
pub(super) const OF_FILES: &str = "GET, HEAD, POST, PUT, OPTIONS";

/// The methods of a file.
pub(super) const OF_FILE: &str = "GET, HEAD, PUT, DELETE, OPTIONS";

/// The methods of a file's description.
pub(super) const OF_META: &str = "GET, HEAD, PUT, OPTIONS";

/// The methods of the collection of uploads.
pub(super) const OF_UPLOADS: &str = "POST, OPTIONS";

/// The methods of the address that finds an upload by its idempotency key.
pub(super) const OF_KEYS: &str = "GET, HEAD, OPTIONS";

/// The methods of an upload that may still grow.
pub(super) const OF_UPLOAD: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";

/// The methods of the collection of messages.
pub(super) const OF_SENDING: &str = "POST, OPTIONS";

/// The methods of a message.
pub(super) const OF_MESSAGE: &str = "GET, HEAD, DELETE, OPTIONS";

/// The methods of a part of a message.
pub(super) const OF_PART: &str = "GET, HEAD, OPTIONS";

/// The methods of the list of a receiver.
pub(super) const OF_LIST: &str = "GET, HEAD, OPTIONS";

/// The methods of an entry in the list of a receiver.
pub(super) const OF_ENTRY: &str = "DELETE, OPTIONS";

/// The methods of the addresses at which receivers say what was delivered.
pub(super) const OF_DELIVERED: &str = "POST, OPTIONS";

/// The methods of the message, the part or the collection that a target names.
pub(super) fn of_messages(target: &str) -> &'static str {
    if path::is_collection(target) {
        return OF_SENDING;
    }
    let path = target.split('?').next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    match path.split('/').nth(3) {
        None => OF_MESSAGE,
        Some(_) => OF_PART,
    }
}

/// The methods of the file or description that a target names.
pub(super) fn below_files(target: &str) -> &'static str {
    let path = target.split('?').next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<_> = path.split('/').skip(3).collect();
    match segments.as_slice() {
        ["meta", ..] => OF_META,
        _ => OF_FILE,
    }
}

/// Adds OPTIONS and the 405 to an address for clients. OPTIONS needs no token, as it does nothing.
pub(super) fn and_no_other(resource: Resource, allow: &'static str) -> Resource {
    let refuse = move |request: HttpRequest, node: web::Data<Node>| async move {
        access::caller(&request, &node)?;
        Err::<HttpResponse, _>(Problem::method_not_allowed(allow))
    };
    resource
        .route(web::method(Method::OPTIONS).to(move |node| async move { options(&node, allow) }))
        .default_service(web::to(refuse))
}

/// The 405 of an address for nodes and admins.
pub(super) fn only(allow: &'static str) -> Route {
    web::to(move || async move { Err::<HttpResponse, _>(Problem::method_not_allowed(allow)) })
}

/// Uploads of files and messages may be resumable: their limit is told
/// (draft-ietf-httpbis-resumable-upload-12, §4.1.4).
fn options(node: &web::Data<Node>, allow: &'static str) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::ALLOW, allow));
    if [OF_FILES, OF_FILE, OF_SENDING].contains(&allow) {
        let longest = node.intake.max_body_bytes();
        answer.insert_header((UPLOAD_LIMIT, resumable::limit(longest, None)));
    }
    answer.finish()
}
