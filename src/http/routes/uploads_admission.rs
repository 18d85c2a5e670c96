//! Judges uploads to `/uploads` and `/uploads/{id}` before their bodies come.

use actix_web::http::header::HeaderMap;

use super::elsewhere::{self, WayToOwner};
use super::methods;
use crate::accel;
use crate::file::{FileId, FileMeta};
use crate::http::gate::access::{self, Caller};
use crate::http::headers::dialect::Dialect;
use crate::http::headers::{append, body, idempotency_key, path, tus, whole};
use crate::http::{Node, Problem};
use crate::intake::{IntakeError, Sender};
use crate::journal::UploadError;

/// Judges a request to this target. Returns the way to the other node that has the upload, and judges the request;
/// `None` if the body may come in here.
///
/// # Errors
/// A refusal in the words of the client's dialect.
pub(super) async fn admit(
    headers: &HeaderMap,
    node: &Node,
    caller: &Caller,
    target: &str,
) -> Result<Option<WayToOwner>, Problem> {
    let dialect = match path::upload(target) {
        // Only tus begins uploads here.
        None => Dialect::Tus,
        Some(_) => Dialect::of(headers),
    };
    let longest = node.intake.longest(&caller.sender);
    let judged = judge(headers, node, caller, target, dialect).await;
    judged.map_err(|problem| problem.in_dialect(dialect, longest))
}

async fn judge(
    headers: &HeaderMap,
    node: &Node,
    caller: &Caller,
    target: &str,
    dialect: Dialect,
) -> Result<Option<WayToOwner>, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text(accel::METHOD).unwrap_or_default();
    let length = body::length(headers, accel::BODY_LENGTH);
    let sender = &caller.sender;
    let Some(id) = path::upload(target) else {
        if !path::is_collection_of_uploads(target) {
            return Err(Problem::no_upload());
        }
        tus::check_version(headers)?;
        if tus::method(headers, own)? != "POST" {
            return Err(Problem::method_not_allowed(methods::OF_UPLOADS));
        }
        whole::check_coding(headers)?;
        let kind = tus::kind(headers)?;
        if let Some(&first) = kind.parts().first()
            && let Some(owner) = elsewhere::owner_of_upload(headers, target, node, first).await?
        {
            return Ok(Some(owner));
        }
        check_has_length(caller, length)?;
        if kind.parts().is_empty() {
            access::let_in(node, sender, caller.room.as_ref())?;
        } else {
            access::let_join(node, sender)?;
        }
        let declared = kind.declared();
        let (length, is_expected) = (length.unwrap_or_default(), caller.is_expected(node));
        let key = idempotency_key::read(headers)?;
        let intake = &node.intake;
        intake
            .admit_upload(sender, declared, length, key.as_deref(), is_expected)
            .await?;
        return Ok(None);
    };
    if let Some(owner) = elsewhere::owner_of_upload(headers, target, node, id).await? {
        return Ok(Some(owner));
    }
    match tus::method(headers, own)? {
        "PATCH" => {}
        // They have no body that is kept.
        "HEAD" | "GET" | "DELETE" if length.unwrap_or_default() == 0 => return Ok(None),
        _ => return Err(Problem::method_not_allowed(methods::OF_UPLOAD)),
    }
    check_has_length(caller, length)?;
    let append = append::read(headers, dialect, length)?;
    let request = text(accel::REQUEST).unwrap_or_default();
    let admitted = node
        .intake
        .admit_append(sender, id, &append, length, request)
        .await;
    match admitted {
        Ok(()) => Ok(None),
        Err(err) => Err(refuse(node, sender, id, dialect, err, append.offset).await),
    }
}

/// Refuses an append at this offset. By the draft, an upload whose client sends more than it declared
/// ends (§4.4); tus lets it go on.
pub(super) async fn refuse(
    node: &Node,
    sender: &Sender,
    id: FileId,
    dialect: Dialect,
    err: IntakeError,
    provided: u64,
) -> Problem {
    if dialect == Dialect::Draft && matches!(&err, IntakeError::Upload(UploadError::TooLong { .. }))
    {
        if let Err(err) = node.intake.end_upload(sender, id).await {
            log::debug!("{id} stays until it expires: {err}");
        }
    } else if let IntakeError::Upload(UploadError::Complete(adopted)) = &err
        && is_final(dialect, adopted.meta())
    {
        return Problem::upload_complete();
    }
    Problem::of_append(err, provided)
}

/// Whether a file was made of other uploads by tus: it takes no append at all (Concatenation).
pub(super) fn is_final(dialect: Dialect, meta: &FileMeta) -> bool {
    dialect == Dialect::Tus && tus::parts_kept(&meta.metadata).is_some()
}

/// A chunked body has no length yet.
fn check_has_length(caller: &Caller, length: Option<u64>) -> Result<(), Problem> {
    if length.is_none() && caller.sender.grant.max_bytes().is_some() {
        Err(Problem::length_required())
    } else {
        Ok(())
    }
}
