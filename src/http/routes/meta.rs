//! `GET /files/{id}/meta`: the description of a file.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::elsewhere;
use super::waiting::Why;
use crate::delivery::Found;
use crate::file::{FileKey, FileMeta, Metadata};
use crate::http::gate::access;
use crate::http::headers::path;
use crate::http::{Node, Problem};
use crate::journal::Standing;
use crate::peers::Purpose;
use crate::token::Scope;

/// The description changes when the file is committed, so no copy of it is good.
const CACHE_CONTROL: &str = "no-store";

/// `GET` and `HEAD /files/{id}/meta`, for callers who may have the file, and for admins. An admin is also
/// told why a file waits.
pub(super) async fn meta(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let key = node.read(path::key(request.path())?);
    let grant = access::caller(&request, &node)?.sender.grant;
    let is_admin = grant.allows(Scope::Admin);
    let needed = if is_admin {
        Scope::Admin
    } else {
        Scope::Download
    };
    access::check_grant(grant, &node, needed, &key)?;
    let purpose = if is_admin {
        Purpose::Explain
    } else {
        Purpose::Read
    };
    match node.delivery.find(&key).await? {
        Found::Elsewhere { owner, id } => elsewhere::meta(&node, owner, id, purpose),
        Found::Kept(kept) if is_admin => {
            let why = Why::of(&node, kept.id).await?;
            describe(&key, &Found::Kept(kept), why)
        }
        here @ (Found::Kept(_) | Found::Stored { .. } | Found::Growing(_) | Found::Absent) => {
            describe(&key, &here, None)
        }
    }
}

/// Describes a file that is here, with the reason why it waits if there is one. 404 if there is no file.
pub(super) fn describe(
    key: &FileKey,
    found: &Found,
    waiting: Option<Why>,
) -> Result<HttpResponse, Problem> {
    let meta = found.meta().ok_or_else(Problem::not_found)?;
    let standing = match found {
        Found::Kept(kept) => kept.standing(),
        Found::Stored { .. } | Found::Elsewhere { .. } | Found::Growing(_) | Found::Absent => {
            Standing::Committed
        }
    };
    let (id, created) = match key {
        FileKey::Id(id) => (id.to_string(), Timestamp::try_from(id.made_at()).ok()),
        FileKey::Foreign(text) => (text.clone(), None),
    };
    let is_dated = meta.last_modified().is_some();
    let uploaded = i64::try_from(meta.uploaded.0).ok().filter(|_| is_dated);
    let mut description = Description::new(id, meta, standing);
    if let Found::Stored { file, .. } = found
        && let Ok(foreign) = serde_json::from_str(&file.foreign_metadata)
    {
        description.metadata = Told::Foreign(foreign);
    }
    let document = Document {
        description,
        created: created.map(|time| time.to_string()),
        uploaded: uploaded
            .and_then(|millis| Some(Timestamp::from_millisecond(millis).ok()?.to_string())),
        sha256: found.sha256().map(|sha256| sha256.to_string()),
        waiting,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .json(document))
}

/// The members that a description and the answer to an upload share.
#[derive(Debug, Serialize)]
pub(super) struct Description<'a> {
    id: String,
    filename: &'a str,
    length: u64,
    content_type: &'a str,
    metadata: Told<'a>,
    state: &'static str,
}

/// The metadata of a file, beside its name and type.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Ours(&'a Metadata),
    /// Metadata that another driver wrote, as it is.
    Foreign(Value),
}

/// The whole description. Dates are in UTC, in the form of RFC 3339.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    description: Description<'a>,
    created: Option<String>,
    uploaded: Option<String>,
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Why>,
}

impl<'a> Description<'a> {
    pub(super) fn new(id: String, meta: &'a FileMeta, standing: Standing) -> Self {
        Self {
            id,
            filename: meta.filename.as_str(),
            length: meta.length,
            content_type: meta.content_type.as_str(),
            metadata: Told::Ours(&meta.metadata),
            state: standing.name(),
        }
    }
}
