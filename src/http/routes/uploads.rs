//! Uploads that survive a broken connection: `/uploads` and `/uploads/{id}`.
//!
//! There are two dialects, tus 1.0.0 and draft-ietf-httpbis-resumable-upload-12, over the same
//! functions of [`crate::intake`]. An upload may begin in one and go on in the other. By tus an upload
//! begins at `/uploads`; by the draft it begins at `/files`, as any upload does.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::uploads_answer::{self as answers, View};
use super::{created, delete, elsewhere, inline_body, methods};
use crate::accel;
use crate::delivery::{Found, Usable};
use crate::file::{FileId, FileKey, FileName};
use crate::http::gate::access::{self, Caller};
use crate::http::headers::dialect::Dialect;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{
    HeadError, append, body as bodies, idempotency_key, tus, upload_metadata,
};
use crate::http::{Node, Problem};
use crate::intake::{
    Append, AppendBody, ClaimedType, CurrentUpload, IntakeError, NewUpload, StatedDigests,
};
use crate::journal::{Adopted, Appended, Completion, UploadError};
use crate::token::Scope;

/// The routes of uploads.
pub(super) fn routes(service: &mut ServiceConfig) {
    service
        .service(web::resource("/uploads").default_service(web::to(collection)))
        .service(web::resource("/uploads/{id}").default_service(web::to(upload)));
}

/// `POST /uploads`: an upload begins, by tus.
async fn collection(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    if request.method() == Method::OPTIONS {
        return Ok(answers::options(&node, methods::OF_UPLOADS));
    }
    // Only tus begins uploads here.
    let caller = caller(&request, &node, Dialect::Tus)?;
    let longest = node.intake.longest(&caller.sender);
    let begun = begin_by_tus(&request, body, node, caller).await;
    begun.map_err(|problem| problem.in_dialect(Dialect::Tus, longest))
}

/// `HEAD`, `GET`, `PATCH` and `DELETE /uploads/{id}`, in both dialects.
async fn upload(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    if request.method() == Method::OPTIONS {
        return Ok(answers::options(&node, methods::OF_UPLOAD));
    }
    let dialect = Dialect::of(request.headers());
    let caller = caller(&request, &node, dialect)?;
    let longest = node.intake.longest(&caller.sender);
    let answered = carry_out(&request, body, node, caller, dialect).await;
    answered.map_err(|problem| problem.in_dialect(dialect, longest))
}

/// Returns the sender of a request, who may upload files.
fn caller(request: &HttpRequest, node: &Node, dialect: Dialect) -> Result<Caller, Problem> {
    let caller = access::caller(request, node).and_then(|caller| {
        caller.check_upload(&node.access, request.path())?;
        Ok(caller)
    });
    caller.map_err(|problem| problem.in_dialect(dialect, node.intake.max_body_bytes()))
}

async fn carry_out(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    caller: Caller,
    dialect: Dialect,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    if dialect == Dialect::Tus {
        tus::check_version(headers)?;
    }
    let id = request.match_info().query("id").parse();
    let id: FileId = id.map_err(|_| Problem::no_upload())?;
    if let Some(sent_on) = elsewhere::upload(request, &node, id)? {
        return Ok(sent_on);
    }
    match tus::method(headers, request.method().as_str())? {
        "HEAD" | "GET" => {
            let longest = node.intake.longest(&caller.sender);
            let view = match node.intake.upload(&caller.sender, id).await? {
                Some(CurrentUpload::Open(open)) => View::of_open(open),
                Some(CurrentUpload::Complete(adopted)) => View::of_file(adopted.meta()),
                None => View::of_file(
                    stored(&node, &caller, id)
                        .await?
                        .meta()
                        .ok_or_else(Problem::no_upload)?,
                ),
            };
            Ok(answers::status(dialect, &view, longest))
        }
        "PATCH" => append_to(request, body, node, caller, dialect, id).await,
        "DELETE" => end(node, caller, dialect, id).await,
        _ => Err(Problem::method_not_allowed(methods::OF_UPLOAD)),
    }
}

/// An upload that has left the journal is a file of the store.
async fn stored(node: &Node, caller: &Caller, id: FileId) -> Result<Found, Problem> {
    let outline = node.delivery.outline(id, Usable::Any).await?;
    let own = outline.filter(|file| file.sub.as_deref() == caller.sender.grant.subject());
    own.ok_or_else(Problem::no_upload)?;
    Ok(node.delivery.find_here(&FileKey::Id(id)).await?)
}

async fn append_to(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    caller: Caller,
    dialect: Dialect,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let (body, length) = read_body(request, body, &node).await?;
    let append = append::read(headers, dialect, Some(length))?;
    let offset = append.offset;
    let longest = node.intake.longest(&caller.sender);
    let intake = &node.intake;
    let appended = intake.append(caller.sender.clone(), id, append, body).await;
    let asks_again = |whole: u64| length == 0 && offset == whole;
    match appended {
        Ok(Appended::Grown(open)) => Ok(answers::grown(dialect, &View::of_open(open), longest)),
        Ok(Appended::Complete(adopted)) => {
            complete(node, Preferences::read(headers), dialect, adopted, longest).await
        }
        // The answer to the last append was lost.
        Err(IntakeError::Upload(UploadError::Complete(adopted)))
            if asks_again(adopted.meta().length) =>
        {
            complete(node, Preferences::read(headers), dialect, *adopted, longest).await
        }
        Err(IntakeError::Upload(UploadError::Absent)) => {
            let found = stored(&node, &caller, id).await?;
            let meta = found.meta().ok_or_else(Problem::no_upload)?;
            if asks_again(meta.length) {
                let again = created::stored(id, meta);
                return Ok(answers::complete(dialect, again, id, meta, longest));
            }
            Err(Problem::append_to_complete(meta.length, offset))
        }
        Err(err) => Err(Problem::of_append(err, offset)),
    }
}

/// Answers the append that completes an upload. By the draft it is the answer that a one-shot upload gets.
async fn complete(
    node: web::Data<Node>,
    preferences: Preferences,
    dialect: Dialect,
    adopted: Adopted,
    longest: u64,
) -> Result<HttpResponse, Problem> {
    let (id, meta) = (adopted.id(), adopted.meta().clone());
    let answer = created::file(node.into_inner(), preferences, adopted).await?;
    Ok(answers::complete(dialect, answer, id, &meta, longest))
}

/// Ends an upload. One that is complete is a file: whoever may delete files deletes it so by tus, too.
async fn end(
    node: web::Data<Node>,
    caller: Caller,
    dialect: Dialect,
    id: FileId,
) -> Result<HttpResponse, Problem> {
    let sender = &caller.sender;
    let has_ended = match node.intake.end_upload(sender, id).await {
        Err(IntakeError::Upload(UploadError::Absent)) => {
            stored(&node, &caller, id).await.map(|_| false)?
        }
        ended => ended?,
    };
    let file = FileKey::Id(id);
    if !has_ended {
        if dialect == Dialect::Draft || !sender.grant.allows_on(Scope::Delete, &file) {
            return Err(Problem::upload_complete());
        }
        delete::carry_out(node, file).await?;
    }
    Ok(answers::ended(dialect))
}

/// Returns the body of a request, and its length in bytes.
async fn read_body(
    request: &HttpRequest,
    body: web::Payload,
    node: &Node,
) -> Result<(AppendBody, u64), Problem> {
    let headers = request.headers();
    if bodies::is_inline(headers) {
        let bytes = inline_body::read(headers, body).await?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        return Ok((AppendBody::Inline(bytes), length));
    }
    let length = bodies::length(headers, accel::BODY_LENGTH).unwrap_or_default();
    node.intake.arrived(length);
    Ok((AppendBody::Spooled(bodies::spooled(headers)?), length))
}

async fn begin_by_tus(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    tus::check_version(headers)?;
    if tus::method(headers, request.method().as_str())? != "POST" {
        return Err(Problem::method_not_allowed(methods::OF_UPLOADS));
    }
    let digests = tus::checksum(headers)?;
    let metadata = upload_metadata::read(headers)?;
    let kind = tus::kind(headers)?;
    let said = |names: [&str; 2]| {
        let mut texts = metadata.pairs();
        texts
            .find(|(name, _)| names.contains(name))
            .map(|(_, text)| text)
    };
    let content_type = said(["filetype", "type"]).map(str::as_bytes);
    let (declared, is_partial, parts) = match kind {
        tus::Kind::Whole(declared) => (declared, false, None),
        tus::Kind::Partial(declared) => (declared, true, None),
        tus::Kind::Final(parts) => (None, false, Some(parts)),
    };
    let upload = NewUpload {
        content_type: ClaimedType::read(content_type),
        filename: said(["filename", "name"]).and_then(FileName::from_claim),
        key: idempotency_key::read(headers)?,
        declared,
        is_partial,
        whole: None,
        sender: caller.sender.clone(),
        metadata,
    };
    let (body, length) = read_body(request, body, &node).await?;
    if length > 0 {
        tus::check_type(headers)?;
    }
    let longest = node.intake.longest(&caller.sender);
    if let Some(parts) = parts {
        if length > 0 {
            return Err(HeadError::UploadField("A final upload has no body of its own.").into());
        }
        if matches!(body, AppendBody::Inline(_)) {
            access::let_in(&node, &caller.sender, caller.room.as_ref())?;
        }
        let adopted = node.intake.concatenate(upload, parts).await?;
        let view = View::of_file(adopted.meta());
        return Ok(answers::begun(Dialect::Tus, adopted.id(), &view, longest));
    }
    let (id, current) = begin(&node, caller, upload, digests, (body, length)).await?;
    let view = match current {
        CurrentUpload::Open(open) => View::of_open(open),
        CurrentUpload::Complete(adopted) => View::of_file(adopted.meta()),
    };
    Ok(answers::begun(Dialect::Tus, id, &view, longest))
}

/// Begins an upload by the draft, at `/files`. The upload may be complete with its first body.
pub(super) async fn begin_by_draft(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    caller: Caller,
    upload: NewUpload,
    digests: StatedDigests,
) -> Result<HttpResponse, Problem> {
    let longest = node.intake.longest(&caller.sender);
    let body = read_body(request, body, &node).await?;
    match begin(&node, caller, upload, digests, body).await? {
        (id, CurrentUpload::Open(open)) => Ok(answers::begun(
            Dialect::Draft,
            id,
            &View::of_open(open),
            longest,
        )),
        (_, CurrentUpload::Complete(adopted)) => {
            let preferences = Preferences::read(request.headers());
            complete(node, preferences, Dialect::Draft, adopted, longest).await
        }
    }
}

/// Begins an upload, and appends its first bytes if there are some. If these are refused, nothing is
/// left. An upload that is begun again under its key keeps what it has got.
async fn begin(
    node: &Node,
    caller: Caller,
    upload: NewUpload,
    digests: StatedDigests,
    (body, length): (AppendBody, u64),
) -> Result<(FileId, CurrentUpload), Problem> {
    let Caller { sender, room } = caller;
    // nginx asks about all other bodies before it reads them.
    if matches!(body, AppendBody::Inline(_)) {
        access::let_in(node, &sender, room.as_ref())?;
    }
    let is_keyed = upload.key.is_some();
    let intake = &node.intake;
    let (id, current) = intake.open_upload(upload).await?;
    let is_new = matches!(&current, CurrentUpload::Open(open) if open.offset == 0);
    if !is_new || length == 0 {
        return Ok((id, current));
    }
    let append = Append {
        offset: 0,
        completion: Completion::default(),
        digests,
    };
    match intake.append(sender.clone(), id, append, body).await {
        Ok(Appended::Grown(open)) => Ok((id, CurrentUpload::Open(open))),
        Ok(Appended::Complete(adopted)) => Ok((id, CurrentUpload::Complete(adopted))),
        Err(err) => {
            if !is_keyed && let Err(err) = intake.end_upload(&sender, id).await {
                log::debug!("{id} stays until it expires: {err}");
            }
            Err(Problem::of_append(err, 0))
        }
    }
}
