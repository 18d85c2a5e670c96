//! POST and PUT: from a head and a spool file to a 201.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::disposition;
use super::{Node, Problem};
use crate::accel;
use crate::file::{FileName, MediaType, UnixMillis};
use crate::journal::{Adopted, Draft};

/// `POST /files`, and PUT without a name.
pub(super) async fn unnamed(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    upload(&request, node.into_inner(), None).await
}

/// `PUT /files/{filename}`, as `curl -T` sends it. Of a longer path the last part is the name.
pub(super) async fn named(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let segment = ["name", "id"]
        .into_iter()
        .filter_map(|part| request.match_info().get(part))
        .find(|segment| !segment.is_empty());
    let name = segment
        .and_then(|segment| FileName::from_claim(&percent_decode_str(segment).decode_utf8_lossy()));
    upload(&request, node.into_inner(), name).await
}

/// Claims the spool file and adopts it, in one go on the blocking pool: a caller that hangs up
/// half-way leaves either a promise or nothing.
async fn upload(
    request: &HttpRequest,
    node: Arc<Node>,
    path_name: Option<FileName>,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let claimed_type = claimed_type(headers)?;
    let filename = headers
        .get(header::CONTENT_DISPOSITION)
        .and_then(disposition::claimed_name)
        .or(path_name);
    let spooled = spooled(headers)?;
    let adopted = web::block(move || adopt(&node, spooled, claimed_type, filename)).await??;
    Ok(created(&adopted))
}

/// What nginx says of the body: the header that names its file, and its length.
struct Spooled {
    path: Vec<u8>,
    length: Option<u64>,
}

/// `None` if the request has no body.
fn spooled(headers: &HeaderMap) -> Result<Option<Spooled>, Problem> {
    let length = match headers.get(accel::BODY_LENGTH) {
        None => None,
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(length.ok_or_else(Problem::body_not_passed)?)
        }
    };
    match headers.get(accel::BODY_FILE) {
        Some(path) => Ok(Some(Spooled {
            path: path.as_bytes().to_owned(),
            length,
        })),
        None if length.unwrap_or(0) == 0 => Ok(None),
        None => {
            log::error!("nginx counted a body and named no file: see nginx.conf.d/gridspool");
            Err(Problem::body_not_passed())
        }
    }
}

/// The type that the client claims; `None` if it claims none.
fn claimed_type(headers: &HeaderMap) -> Result<Option<MediaType>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(None);
    };
    let claimed = value.to_str().ok().map(MediaType::parse);
    match claimed {
        Some(Ok(claimed)) if claimed.essence() == "multipart/form-data" => Err(Problem::no_forms()),
        Some(Ok(claimed)) => Ok(Some(claimed)),
        _ => Err(Problem::bad_content_type()),
    }
}

/// Blocks on the disk.
fn adopt(
    node: &Node,
    spooled: Option<Spooled>,
    claimed_type: Option<MediaType>,
    filename: Option<FileName>,
) -> Result<Adopted, Problem> {
    let body = spooled
        .map(|spooled| node.spool.claim(&spooled.path, spooled.length))
        .transpose()?;
    let content_type = match (claimed_type, &body) {
        (Some(claimed), _) => claimed,
        (None, None) => MediaType::octet_stream(),
        (None, Some(body)) => body.sniff().unwrap_or_else(|err| {
            log::warn!("a body's type cannot be sniffed: {err}");
            MediaType::octet_stream()
        }),
    };
    let draft = Draft {
        filename,
        content_type,
    };
    let adopted = node.journal.adopt(body.as_ref(), draft)?;
    node.backlog.push(adopted.id(), UnixMillis::now());
    Ok(adopted)
}

/// The answer that the promise is.
fn created(adopted: &Adopted) -> HttpResponse {
    let (id, meta) = (adopted.id(), adopted.meta());
    let url = format!("/files/{id}");
    HttpResponse::Created()
        .insert_header((header::LOCATION, url.as_str()))
        .insert_header((header::ETAG, meta.etag()))
        .json(json!({
            "id": id.to_string(),
            "filename": meta.filename.as_str(),
            "length": meta.length,
            "content_type": meta.content_type.as_str(),
            "state": "pending",
            "url": url,
        }))
}
