//! Sends slices to nginx's cache, for files that nginx cannot send by itself: committed files, and
//! parts of forms. It also sends the few files that nginx must send whole without evaluating the
//! conditions of the request.

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};

use super::download::{self, insert_validators};
use crate::accel;
use crate::delivery::{DeliveryError, Found, Slice};
use crate::file::FileKey;
use crate::http::headers::ranges::{self, Wanted};
use crate::http::{Node, Problem};
use crate::store::StoreError;

/// Bytes in a piece. actix copies each piece, and keeps the copy until nginx takes it, for each of many
/// readers.
const PIECE_BYTES: usize = 32 * 1024;

/// The longest slice after which nginx may keep its connection. actix keeps as much memory with a connection
/// as its longest piece took: 500 readers of a file of 20 MB took 30 MiB. The time of a new connection is not
/// felt beside a longer slice.
const KEEPING_BYTES: u64 = 8 * 1024;

/// `GET /_gridspool/store/{key}/{version}`, and `store/small/` likewise, with the range that nginx's
/// slice module sets. Each answer must be a 206 with the file's tag and exact bounds, or nginx drops
/// the whole file. Without a range, the whole file: see [`accel::JUDGED`].
pub(super) async fn slice(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let part = |name| request.match_info().query(name);
    let key = FileKey::from_segment(part("key")).ok_or_else(Problem::not_found)?;
    let found = node.delivery.find_here(&key).await?;
    let meta = found.meta().ok_or_else(Problem::not_found)?;
    if let Some(other) = other_version(&request, &node, &found, part("version")).await {
        return other;
    }
    let length = meta.length;
    let header = request.headers().get(header::RANGE);
    let wanted = header.map_or(Wanted::Whole, |value| {
        ranges::wanted(value.to_str().unwrap_or_default(), length)
    });
    let (mut answer, range, whole_permit, mut filling) = match wanted {
        Wanted::Nothing => return Err(Problem::range_not_satisfiable(length)),
        Wanted::Whole => {
            let permit = node.edge.slices.take_whole()?;
            let mut whole = HttpResponse::Ok();
            whole.insert_header((header::ACCEPT_RANGES, "bytes"));
            (whole, 0..length, Some(permit), None)
        }
        Wanted::Part(range) => {
            let mut partial = HttpResponse::PartialContent();
            let bounds = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            partial.insert_header((header::CONTENT_RANGE, bounds));
            let filling = node.delivery.fills().begin(Slice {
                uri: accel::store_uri(&key, meta),
                number: range.start / accel::SLICE_BYTES,
            });
            (partial, range, None, Some(filling))
        }
    };
    insert_validators(&mut answer, meta);
    answer.insert_header((header::CONTENT_TYPE, meta.content_type.as_str()));
    let size = range.end - range.start;
    if size > KEEPING_BYTES {
        answer.force_close();
    }
    let bytes = node.delivery.read(&found, range).await?;
    let mut bytes = bytes.ok_or_else(Problem::not_found)?;
    // It waits for the first bytes, so that a file that is missing gets a proper answer.
    let first = match bytes.next().await.transpose() {
        Err(err) if meta.revision.is_some() || is_damaged(&err) => {
            // The file may have been replaced or deleted during the time for which its description is kept.
            node.delivery.forget_description(&key);
            let found = node.delivery.find_here(&key).await?;
            let other = other_version(&request, &node, &found, part("version")).await;
            return other.unwrap_or_else(|| Err(err.into()));
        }
        first => first?,
    };
    // The permit comes only now: a slice that waits for the store must not hold others up.
    let permit = match whole_permit {
        None => node.edge.slices.take().await,
        whole => whole,
    };
    let bytes = stream::iter(first.map(Ok)).chain(bytes.map(|item| item.inspect_err(cut_off)));
    let pieces = bytes
        .map_ok(|bytes| stream::iter(in_pieces(bytes).map(Ok::<_, DeliveryError>)))
        .try_flatten();
    let mut sent = 0;
    let pieces = pieces.inspect_ok(move |piece| {
        let _held_to_the_end = &permit;
        sent += u64::try_from(piece.len()).unwrap_or_default();
        if let Some(filling) = filling.as_mut().filter(|_| sent == size) {
            filling.complete();
        }
    });
    Ok(answer.body(SizedStream::new(size, pieces)))
}

fn is_damaged(err: &DeliveryError) -> bool {
    matches!(err, DeliveryError::Store(StoreError::Damaged(_)))
}

/// actix copies each piece that it is given.
fn in_pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = bytes.len().min(PIECE_BYTES);
        (length > 0).then(|| bytes.split_to(length))
    })
}

/// Sends nginx to the new content if the file was replaced since nginx was sent for this one; 404 if it is
/// gone. nginx must not put slices of two contents into one file.
async fn other_version(
    request: &HttpRequest,
    node: &Node,
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
        Found::Stored { file, .. } => download::answer_stored(request, node, file, None).await,
        Found::Kept(_) | Found::Elsewhere { .. } | Found::Growing(_) | Found::Absent => {
            Err(Problem::not_found())
        }
    })
}

/// Breaks the connection off, because the head was sent already. So no client takes the part for
/// the whole.
fn cut_off(err: &DeliveryError) {
    log::error!("{err}; the download is cut off");
}
