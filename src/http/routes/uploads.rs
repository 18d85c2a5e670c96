//! Uploads that survive a broken connection: `/uploads` and `/uploads/{id}`.
//!
//! There are two dialects, tus 1.0.0 and draft-ietf-httpbis-resumable-upload-12, over the same
//! functions of [`crate::intake`]. An upload may begin in one and go on in the other. By tus an upload
//! begins at `/uploads`; by the draft it begins at `/files` or `/messages`, as any upload does.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::uploads_admission::{is_final, refuse};
use super::uploads_answer::{self as answers, View};
use super::{created, delete, elsewhere, inline_body, methods, uploads_begin, uploads_made};
use crate::delivery::{Found, Usable};
use crate::file::{FileId, FileKey, FileMeta};
use crate::http::gate::access::{self, Caller};
use crate::http::headers::dialect::Dialect;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{HeadError, append, idempotency_key, resumable, tus};
use crate::http::{Node, Problem};
use crate::intake::{CurrentUpload, IntakeError};
use crate::journal::{Appended, UploadError};
use crate::token::Scope;

/// The routes of uploads.
pub(super) fn routes(service: &mut ServiceConfig) {
    service
        .service(web::resource(["/uploads", "/uploads/"]).default_service(web::to(collection)))
        .service(web::resource("/uploads/by-key").default_service(web::to(by_key)))
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
    let begun = uploads_begin::by_tus(&request, body, node, caller).await;
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
    if let Some(sent_on) = elsewhere::upload(request, &node, id).await? {
        return Ok(sent_on);
    }
    match tus::method(headers, request.method().as_str())? {
        "HEAD" | "GET" => {
            if dialect == Dialect::Draft {
                resumable::check_question(headers)?;
            }
            let view = view(&node, &caller, dialect, id).await?;
            let longest = node.intake.longest(&caller.sender);
            Ok(answers::status(dialect, &view, longest).finish())
        }
        "PATCH" => append_to(request, body, node, caller, dialect, id).await,
        "DELETE" => end(node, caller, dialect, id).await,
        _ => Err(Problem::method_not_allowed(methods::OF_UPLOAD)),
    }
}

/// `HEAD` and `GET /uploads/by-key`: the upload or the file that the caller's idempotency key has
/// brought, at any node. A body that broke off is found so, whose sender was told no address.
async fn by_key(request: HttpRequest, node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    if request.method() == Method::OPTIONS {
        return Ok(answers::options(&node, methods::OF_KEYS));
    }
    let dialect = Dialect::of(request.headers());
    let caller = caller(&request, &node, dialect)?;
    let longest = node.intake.longest(&caller.sender);
    let found = find_by_key(&request, &node, &caller, dialect).await;
    let (id, view) = found.map_err(|problem| problem.in_dialect(dialect, longest))?;
    let mut answer = answers::status(dialect, &view, longest);
    Ok(answer.insert_header(answers::location(id)).finish())
}

async fn find_by_key(
    request: &HttpRequest,
    node: &Node,
    caller: &Caller,
    dialect: Dialect,
) -> Result<(FileId, View), Problem> {
    if ![Method::HEAD, Method::GET].contains(request.method()) {
        return Err(Problem::method_not_allowed(methods::OF_KEYS));
    }
    let headers = request.headers();
    if dialect == Dialect::Tus {
        tus::check_version(headers)?;
    }
    let key = idempotency_key::read(headers)?.ok_or(HeadError::NoIdempotencyKey)?;
    let found = node.intake.under_key(&caller.sender, &key).await?;
    Ok(match found.ok_or_else(Problem::no_upload)? {
        (id, None) => (id, view(node, caller, dialect, id).await?),
        (id, Some(elsewhere)) => (id, view_of(dialect, elsewhere)?),
    })
}

/// Returns the state of an upload of the caller.
async fn view(node: &Node, caller: &Caller, dialect: Dialect, id: FileId) -> Result<View, Problem> {
    if let Some(current) = node.intake.upload(&caller.sender, id).await? {
        return view_of(dialect, current);
    }
    let stored = stored(node, caller, id).await?;
    Ok(View::of_file(stored.meta().ok_or_else(Problem::no_upload)?))
}

/// By tus, an upload that becomes no file would seem to be complete as soon as all of its bytes are there: it
/// goes on by the draft only.
fn view_of(dialect: Dialect, current: CurrentUpload) -> Result<View, Problem> {
    if dialect == Dialect::Tus && current.becomes().is_made() {
        return Err(Problem::no_upload());
    }
    Ok(View::of(current))
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
    let (body, length) = inline_body::or_spooled(request, body, &node).await?;
    let append = append::read(headers, dialect, Some(length))?;
    let offset = append.offset;
    let longest = node.intake.longest(&caller.sender);
    let intake = &node.intake;
    let preferences = Preferences::read(headers);
    let appended = intake.append(caller.sender.clone(), id, append, body).await;
    let asks_again =
        |meta: &FileMeta| length == 0 && offset == meta.length && !is_final(dialect, meta);
    match appended {
        Ok(Appended::Grown(open)) => Ok(answers::grown(dialect, &View::of_open(open), longest)),
        Ok(Appended::Complete(adopted)) => {
            answers::finished(node, preferences, dialect, adopted, longest).await
        }
        Ok(Appended::Whole(open)) => {
            uploads_made::make(node, preferences, caller.sender, id, open).await
        }
        // The answer to the last append was lost.
        Err(IntakeError::Upload(UploadError::Complete(adopted))) if asks_again(adopted.meta()) => {
            answers::finished(node, preferences, dialect, *adopted, longest).await
        }
        Err(IntakeError::Upload(UploadError::Made(made)))
            if length == 0 && offset == made.length =>
        {
            uploads_made::again(node, preferences, *made, longest).await
        }
        Err(IntakeError::Upload(UploadError::Absent)) => {
            let found = stored(&node, &caller, id).await?;
            let meta = found.meta().ok_or_else(Problem::no_upload)?;
            if asks_again(meta) {
                let again = created::stored(id, meta);
                return Ok(answers::complete(dialect, again, id, meta, longest));
            }
            if is_final(dialect, meta) {
                return Err(Problem::upload_complete());
            }
            Err(Problem::append_to_complete(meta.length, offset))
        }
        Err(err) => Err(refuse(&node, &caller.sender, id, dialect, err, offset).await),
    }
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
