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
    if accel::version(meta) != part("version") {
        // Another writer has replaced it since nginx was sent here.
        return match &found {
            Found::Stored { file, .. } => download::answer_stored(&request, file, None),
            Found::Kept(_) | Found::Elsewhere { .. } | Found::Absent => Err(Problem::not_found()),
        };
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
    let first = bytes.next().await.transpose()?;
    let body = stream::iter(first.map(Ok)).chain(bytes.map(|item| item.inspect_err(cut_off)));
    Ok(answer.body(SizedStream::new(size, body)))
}

/// The head is out already: all that is left is to break the connection off, so that nobody takes
/// the part for the whole.
fn cut_off(err: &DeliveryError) {
    log::error!("{err}; the download is cut off");
}
