//! Begins uploads: by tus at `/uploads`, and by the draft at `/files` and `/messages`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::uploads_answer::{self as answers, View};
use super::{elsewhere, inline_body, methods, uploads_made};
use crate::file::FileId;
use crate::http::gate::access::{self, Caller};
use crate::http::headers::beginning::{self, Beginning};
use crate::http::headers::dialect::Dialect;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{HeadError, tus};
use crate::http::{Node, Problem};
use crate::intake::{Append, AppendBody, CurrentUpload, IntakeError};
use crate::journal::{Appended, Completion, Ends, UploadError};

/// Begins an upload by tus, or puts one together from partial ones, at the node that has the first of them.
pub(super) async fn by_tus(
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
    let mut begun = beginning::by_tus(headers, caller.sender.clone())?;
    if let Some(&first) = begun.parts.iter().flatten().next()
        && let Some(sent_on) = elsewhere::upload(request, &node, first).await?
    {
        return Ok(sent_on);
    }
    let (body, length) = inline_body::or_spooled(request, body, &node).await?;
    if length > 0 {
        tus::check_type(headers)?;
    }
    let longest = node.intake.longest(&caller.sender);
    if let Some(parts) = begun.parts.take() {
        if length > 0 {
            return Err(HeadError::UploadField("A final upload has no body of its own.").into());
        }
        if matches!(body, AppendBody::Inline(_)) {
            access::let_join(&node, &caller.sender)?;
        }
        let adopted = node.intake.concatenate(begun.upload, parts).await?;
        let view = View::of_file(adopted.meta());
        return Ok(answers::begun(Dialect::Tus, adopted.id(), &view, longest));
    }
    let (id, current) = begin(&node, caller, begun, (body, length)).await?;
    Ok(answers::begun(
        Dialect::Tus,
        id,
        &View::of(current),
        longest,
    ))
}

/// Begins an upload of this declared length by the draft, at `/files` or `/messages`. One that began before under its key may be
/// complete.
pub(super) async fn by_draft(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    caller: Caller,
    declared: Option<u64>,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let begun = beginning::at(headers, request.path(), declared, caller.sender.clone())?;
    let longest = node.intake.longest(&caller.sender);
    let preferences = Preferences::read(headers);
    let body = inline_body::or_spooled(request, body, &node).await?;
    match begin(&node, caller, begun, body).await? {
        (id, CurrentUpload::Open(open)) => Ok(answers::begun(
            Dialect::Draft,
            id,
            &View::of_open(open),
            longest,
        )),
        (_, CurrentUpload::Made(made)) => {
            uploads_made::again(node, preferences, made, longest).await
        }
        (_, CurrentUpload::Complete(adopted)) => {
            answers::finished(node, preferences, Dialect::Draft, adopted, longest).await
        }
    }
}

/// Begins an upload, and appends its first bytes if there are some. If these are refused, nothing is
/// left. An upload that is begun again under its key keeps what it has got.
async fn begin(
    node: &Node,
    caller: Caller,
    Beginning {
        upload,
        digests,
        ends,
        ..
    }: Beginning,
    (body, length): (AppendBody, u64),
) -> Result<(FileId, CurrentUpload), Problem> {
    let Caller { sender, room } = caller;
    // nginx asks about all other bodies before it reads them.
    if matches!(body, AppendBody::Inline(_)) {
        access::let_in(node, &sender, room.as_ref())?;
    }
    let is_keyed = upload.key.is_some();
    // By tus an upload of no bytes is complete at once. By the draft its sender says so (§4.1.3).
    let has_all = upload.declared == Some(length) && ends == Ends::AtLength;
    let intake = &node.intake;
    let (id, current) = intake.open_upload(upload).await?;
    let is_new = matches!(&current, CurrentUpload::Open(open) if open.offset == 0);
    // Its sender goes on at the node that has it.
    if !is_new || length == 0 && !has_all || intake.is_elsewhere(id) {
        return Ok((id, current));
    }
    let append = Append {
        offset: 0,
        completion: Completion {
            ends,
            ..Completion::default()
        },
        digests,
    };
    match intake.append(sender.clone(), id, append, body).await {
        Ok(Appended::Grown(open) | Appended::Whole(open)) => Ok((id, CurrentUpload::Open(open))),
        Ok(Appended::Complete(adopted)) => Ok((id, CurrentUpload::Complete(adopted))),
        // The rest of an earlier try came first.
        Err(IntakeError::Upload(
            UploadError::Offset(_) | UploadError::Complete(_) | UploadError::Made(_),
        )) if is_keyed => {
            let current = intake.upload(&sender, id).await?;
            Ok((id, current.ok_or_else(Problem::no_upload)?))
        }
        Err(err) => {
            if !is_keyed && let Err(err) = intake.end_upload(&sender, id).await {
                log::debug!("{id} stays until it expires: {err}");
            }
            Err(Problem::of_append(err, 0))
        }
    }
}
