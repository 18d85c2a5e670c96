//! `GET /files/{id}/meta`: what is known of a file, without the file.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::download::key;
use super::{Node, Problem, access, hop};
use crate::delivery::Found;
use crate::file::{FileKey, FileMeta};
use crate::journal::Standing;
use crate::token::Scope;

/// It changes when the file is committed, which no copy of it would know of.
const CACHE_CONTROL: &str = "no-store";

/// `GET` and `HEAD /files/{id}/meta`. Who may have the file may have this.
pub(super) async fn meta(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let key = key(&request);
    access::check_file(&request, &node, Scope::Download, &key)?;
    match node.delivery.find(&key).await? {
        Found::Elsewhere { owner, id } => Ok(hop::redirect(&node, owner, id, hop::META)),
        here @ (Found::Kept(_) | Found::Stored(_) | Found::Absent) => describe(&key, &here),
    }
}

/// Describes a file that is here, or says that there is none.
pub(super) fn describe(key: &FileKey, found: &Found) -> Result<HttpResponse, Problem> {
    let meta = found.meta().ok_or_else(Problem::not_found)?;
    let standing = match found {
        Found::Kept(kept) => kept.standing(),
        Found::Stored(_) | Found::Elsewhere { .. } | Found::Absent => Standing::Committed,
    };
    let (id, created) = match key {
        FileKey::Id(id) => (id.to_string(), date(Timestamp::try_from(id.made_at()).ok())),
        FileKey::Foreign(text) => (text.clone(), Value::Null),
    };
    let uploaded = i64::try_from(meta.uploaded.0).ok();
    let uploaded = uploaded.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let mut document = description(&id, meta, standing);
    document.insert("created".to_owned(), created);
    document.insert("uploaded".to_owned(), date(uploaded));
    let sha256 = found.sha256().map(|sha256| sha256.to_string());
    document.insert("sha256".to_owned(), sha256.into());
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .json(document))
}

/// What an upload's answer says of a file too.
pub(super) fn description(id: &str, meta: &FileMeta, standing: Standing) -> Map<String, Value> {
    let metadata: Map<_, _> = meta
        .metadata
        .iter()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    let described = [
        ("id", id.into()),
        ("filename", meta.filename.as_str().into()),
        ("length", meta.length.into()),
        ("content_type", meta.content_type.as_str().into()),
        ("metadata", metadata.into()),
        ("state", standing.name().into()),
    ];
    let named = described.map(|(name, value)| (name.to_owned(), value));
    named.into_iter().collect()
}

/// RFC 3339, in UTC.
fn date(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.to_string()))
}
