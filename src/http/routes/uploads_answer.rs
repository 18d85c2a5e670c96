//! The answers about uploads, in both dialects.

use std::time::{Duration, SystemTime};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web;
use actix_web::{HttpResponse, HttpResponseBuilder};

use super::created;
use crate::file::{FileId, FileMeta, Metadata};
use crate::http::headers::dialect::{
    Dialect, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION, UPLOAD_COMPLETE, UPLOAD_LENGTH,
    UPLOAD_LIMIT, UPLOAD_OFFSET,
};
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{resumable, tus, upload_metadata};
use crate::http::{Node, Problem};
use crate::intake::CurrentUpload;
use crate::journal::{Adopted, Becomes, OpenUpload};

/// An upload, as an answer tells it.
#[derive(Debug)]
pub(super) struct View {
    offset: u64,
    length: Option<u64>,
    /// When the upload ends if nothing comes; `None` if it is complete.
    lapses: Option<SystemTime>,
    metadata: Metadata,
    /// The value of `Upload-Concat`, if it is a part of a file, or is made of parts (tus).
    concat: Option<String>,
}

impl View {
    pub(super) fn of(current: CurrentUpload) -> Self {
        match current {
            CurrentUpload::Open(open) => Self::of_open(open),
            CurrentUpload::Complete(adopted) => Self::of_file(adopted.meta()),
            CurrentUpload::Made(made) => Self::of_whole(made.length, made.metadata),
        }
    }

    /// An upload that is complete.
    pub(super) fn of_whole(length: u64, metadata: Metadata) -> Self {
        Self {
            offset: length,
            length: Some(length),
            lapses: None,
            concat: tus::parts_kept(&metadata).map(str::to_owned),
            metadata,
        }
    }

    pub(super) fn of_open(open: OpenUpload) -> Self {
        Self {
            offset: open.offset,
            length: open.declared,
            lapses: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(open.lapses.0)),
            metadata: open.metadata,
            concat: (open.becomes == Becomes::Part).then(|| "partial".to_owned()),
        }
    }

    pub(super) fn of_file(meta: &FileMeta) -> Self {
        Self::of_whole(meta.length, meta.metadata.clone())
    }

    /// The fields that every answer has.
    fn fields(&self, dialect: Dialect, longest: u64) -> Vec<(HeaderName, String)> {
        let mut fields = vec![
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (UPLOAD_OFFSET, self.offset.to_string()),
        ];
        match dialect {
            Dialect::Tus => {
                fields.push((TUS_RESUMABLE, tus::VERSION.to_owned()));
                if let Some(lapses) = self.lapses {
                    let expires = HeaderName::from_static("upload-expires");
                    fields.push((expires, httpdate::fmt_http_date(lapses)));
                }
            }
            Dialect::Draft => {
                let left = self.lapses.map(|lapses| {
                    let left = lapses.duration_since(SystemTime::now());
                    left.unwrap_or_default().as_secs()
                });
                let is_complete = if left.is_some() { "?0" } else { "?1" };
                fields.push((UPLOAD_COMPLETE, is_complete.to_owned()));
                fields.push((UPLOAD_LIMIT, resumable::limit(longest, left)));
            }
        }
        fields
    }

    /// The fields of an answer to a question about the upload.
    fn details(&self, dialect: Dialect) -> Vec<(HeaderName, String)> {
        let mut fields = Vec::new();
        let named = |name, value: &str| (HeaderName::from_static(name), value.to_owned());
        match self.length {
            Some(length) => fields.push((UPLOAD_LENGTH, length.to_string())),
            None if dialect == Dialect::Tus => fields.push(named("upload-defer-length", "1")),
            None => {}
        }
        if dialect == Dialect::Tus {
            if let Some(concat) = &self.concat {
                fields.push(named("upload-concat", concat));
            }
            let told = upload_metadata::write(&self.metadata);
            if !told.is_empty() {
                fields.push(named("upload-metadata", &told));
            }
        }
        fields
    }
}

/// The address of an upload.
pub(super) fn location(id: FileId) -> (HeaderName, String) {
    (header::LOCATION, format!("/uploads/{id}"))
}

/// The upload has begun: a relative address, as nginx may stand behind others.
pub(super) fn begun(dialect: Dialect, id: FileId, view: &View, longest: u64) -> HttpResponse {
    let mut answer = HttpResponse::Created();
    answer.insert_header(location(id));
    with(&mut answer, view.fields(dialect, longest)).finish()
}

/// The upload has grown.
pub(super) fn grown(dialect: Dialect, view: &View, longest: u64) -> HttpResponse {
    with(
        &mut HttpResponse::NoContent(),
        view.fields(dialect, longest),
    )
    .finish()
}

/// The state of an upload.
pub(super) fn status(dialect: Dialect, view: &View, longest: u64) -> HttpResponseBuilder {
    let mut answer = HttpResponse::NoContent();
    with(&mut answer, view.fields(dialect, longest));
    with(&mut answer, view.details(dialect));
    answer
}

/// The upload is a file. `answer` is that of a one-shot upload, as the draft wants it; by tus the answer
/// has no content, and names the file.
pub(super) fn complete(
    dialect: Dialect,
    answer: HttpResponse,
    id: FileId,
    meta: &FileMeta,
    longest: u64,
) -> HttpResponse {
    let answer = match dialect {
        Dialect::Draft => answer,
        Dialect::Tus => {
            let named = (header::CONTENT_LOCATION, format!("/files/{id}"));
            HttpResponse::NoContent().insert_header(named).finish()
        }
    };
    last(dialect, answer, &View::of_file(meta), longest)
}

/// The last answer about an upload.
pub(super) fn last(
    dialect: Dialect,
    mut answer: HttpResponse,
    view: &View,
    longest: u64,
) -> HttpResponse {
    for (name, value) in view.fields(dialect, longest) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// The answer to an upload that may begin a resumable one. Only a sender that speaks of those reads their
/// fields.
pub(super) fn of_beginning(
    headers: &HeaderMap,
    answered: Result<HttpResponse, Problem>,
    longest: u64,
) -> Result<HttpResponse, Problem> {
    if !headers.contains_key(UPLOAD_COMPLETE) {
        return answered;
    }
    let mut answer = answered.map_err(|problem| problem.in_dialect(Dialect::Draft, longest))?;
    if !answer.headers().contains_key(UPLOAD_COMPLETE) {
        let is_complete = HeaderValue::from_static("?1");
        answer.headers_mut().insert(UPLOAD_COMPLETE, is_complete);
    }
    Ok(answer)
}

/// Answers the append that completes an upload. By the draft it is the answer that a one-shot upload gets.
pub(super) async fn finished(
    node: web::Data<Node>,
    preferences: Preferences,
    dialect: Dialect,
    adopted: Adopted,
    longest: u64,
) -> Result<HttpResponse, Problem> {
    let (id, meta) = (adopted.id(), adopted.meta().clone());
    let answer = created::file(node.into_inner(), preferences, adopted).await?;
    Ok(complete(dialect, answer, id, &meta, longest))
}

/// The upload has ended.
pub(super) fn ended(dialect: Dialect) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    if dialect == Dialect::Tus {
        answer.insert_header((TUS_RESUMABLE, tus::VERSION));
    }
    answer.finish()
}

/// Tells all that is spoken here, in both dialects: OPTIONS has no field that tells the dialect.
pub(super) fn options(node: &Node, allow: &'static str) -> HttpResponse {
    let longest = node.intake.max_body_bytes();
    HttpResponse::build(StatusCode::NO_CONTENT)
        .insert_header((header::ALLOW, allow))
        .insert_header((UPLOAD_LIMIT, resumable::limit(longest, None)))
        .insert_header((TUS_RESUMABLE, tus::VERSION))
        .insert_header((TUS_VERSION, tus::VERSION))
        .insert_header((HeaderName::from_static("tus-extension"), tus::EXTENSIONS))
        .insert_header((
            HeaderName::from_static("tus-checksum-algorithm"),
            tus::ALGORITHMS,
        ))
        .insert_header((TUS_MAX_SIZE, longest.to_string()))
        .finish()
}

fn with(
    answer: &mut HttpResponseBuilder,
    fields: Vec<(HeaderName, String)>,
) -> &mut HttpResponseBuilder {
    for field in fields {
        answer.insert_header(field);
    }
    answer
}
