//! Slices of files that nginx cannot send by itself, for its cache alone: committed ones, and parts
//! of forms.

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures::StreamExt as _;
use futures::stream;

use super::download::{self, insert_validators};
use super::ranges::{self, Wanted};
use super::{Node, Problem};
use crate::accel;
use crate::delivery::{DeliveryError, Found};
use crate::file::FileKey;

/// `GET /_gridspool/store/{key}/{version}`, and `store/small/` likewise, with the range that nginx's
/// slice module sets. Each answer must be a 206 with the file's tag and exact bounds, or nginx drops
/// the whole file.
pub(super) async fn slice(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let part = |name| request.match_info().query(name);
    let key = FileKey::from_segment(part("key")).ok_or_else(Problem::not_found)?;
    let found = node.delivery.find_here(&key).await?;
    let meta = found.meta().ok_or_else(Problem::not_found)?;
    if let Some(other) = other_version(&request, &found, part("version")) {
        return other;
    }
    let length = meta.length;
    let header = request.headers().get(header::RANGE);
    let wanted = header.map_or(Wanted::Whole, |value| {
        ranges::wanted(value.to_str().unwrap_or_default(), length)
    });
    let (mut answer, range) = match wanted {
        Wanted::Nothing => return Err(Problem::range_not_satisfiable(length)),
        Wanted::Whole => (HttpResponse::Ok(), 0..length),
        Wanted::Part(range) => {
            let mut partial = HttpResponse::PartialContent();
            let bounds = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            partial.insert_header((header::CONTENT_RANGE, bounds));
            (partial, range)
        }
    };
    insert_validators(&mut answer, meta);
    answer.insert_header((header::CONTENT_TYPE, meta.content_type.as_str()));
    let size = range.end - range.start;
    let bytes = node.delivery.read(&found, range).await?;
    let mut bytes = bytes.ok_or_else(Problem::not_found)?;
    // The first bytes are waited for: what is missing from the start gets a proper answer.
    let first = match bytes.next().await.transpose() {
        Err(err) if meta.revision.is_some() => {
            // It may have been replaced within the time for which its description is kept.
            node.delivery.forget_description(&key);
            let found = node.delivery.find_here(&key).await?;
            let other = other_version(&request, &found, part("version"));
            return other.unwrap_or_else(|| Err(err.into()));
        }
        first => first?,
    };
    let body = stream::iter(first.map(Ok)).chain(bytes.map(|item| item.inspect_err(cut_off)));
    Ok(answer.body(SizedStream::new(size, body)))
}

/// Sends nginx on to another content, if a file has been replaced since nginx was sent for this one; 404
/// if there is none any more. nginx takes no slices of two contents for one file.
fn other_version(
    request: &HttpRequest,
    found: &Found,
    version: &str,
) -> Option<Result<HttpResponse, Problem>> {
    let Some(meta) = found.meta() else {
        return Some(Err(Problem::not_found()));
    };
    if accel::version(meta) == version {
        return None;
    }
    Some(match found {
        Found::Stored { file, .. } => download::answer_stored(request, file, None),
        Found::Kept(_) | Found::Elsewhere { .. } | Found::Absent => Err(Problem::not_found()),
    })
}

/// The head is out already: all that is left is to break the connection off, so that nobody takes
/// the part for the whole.
fn cut_off(err: &DeliveryError) {
    log::error!("{err}; the download is cut off");
}
