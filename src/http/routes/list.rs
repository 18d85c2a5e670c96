//! `GET /files?subject=…` lists the files of a subject, for the platform and admins.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::file::{FileId, FileMeta};
use crate::http::gate::access;
use crate::http::{Node, Problem};

/// The number of files of a page: the default and the most.
const PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1000;

/// The query: which page the caller wants.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    subject: String,
    before: Option<String>,
    limit: Option<u32>,
}

/// A page, as JSON.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    files: Vec<Listed<'a>>,
    /// The bytes of all files of this page.
    bytes: u64,
    /// The bytes of the subject's files that wait in this node's journal. They are not in the list.
    pending_bytes: u64,
    /// The value of `before` for the next page.
    next: Option<String>,
}

/// A file of a page, with the fields of its description.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: String,
    url: String,
    filename: &'a str,
    content_type: &'a str,
    length: u64,
    created: Option<String>,
}

impl<'a> Listed<'a> {
    fn new(id: FileId, meta: &'a FileMeta) -> Self {
        let created = Timestamp::try_from(id.made_at()).ok();
        Self {
            id: id.to_string(),
            url: format!("/files/{id}"),
            filename: meta.filename.as_str(),
            content_type: meta.content_type.as_str(),
            length: meta.length,
            created: created.map(|time| time.to_string()),
        }
    }
}

/// Answers `GET` and `HEAD /files` with the files of a subject in GridFS, the newest first, in
/// pages.
pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    access::check_lister(&request, &node)?;
    let page = web::Query::<Page>::from_query(request.query_string());
    let Page {
        subject,
        before,
        limit,
    } = page.map_err(|_| Problem::no_listing())?.into_inner();
    let before = before.map(|id| id.parse()).transpose();
    let before = before.map_err(|_| Problem::no_listing())?;
    let most = limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let found = node.subjects.files_of(&subject, before, most).await?;
    let files = found.files.iter();
    let listing = Listing {
        bytes: files.clone().map(|(_, meta)| meta.length).sum(),
        files: files.map(|(id, meta)| Listed::new(*id, meta)).collect(),
        pending_bytes: node.intake.pending_bytes(&subject),
        next: found.next.map(|id| id.to_string()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(listing))
}

impl Problem {
    fn no_listing() -> Self {
        let detail = "Files are listed by `subject`; a page begins below an id (`before`) and has a number of \
                      files (`limit`).";
        Self::new(StatusCode::BAD_REQUEST, "bad-page", detail)
    }
}
