//! Credits the bytes that nginx has written of a body that broke off: of an append, or of a request
//! under an idempotency key that begins an upload or sends a whole file.
//!
//! nginx asks for this when the client has gone, and removes the spool file after the answer, which it
//! shows to nobody. The request has the client's own head, so it is checked as that request would be.

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::accel;
use crate::file::FileId;
use crate::http::gate::access::Caller;
use crate::http::headers::beginning::{self, Beginning};
use crate::http::headers::dialect::Dialect;
use crate::http::headers::structured;
use crate::http::headers::whole::{self, Asked, Meaning};
use crate::http::headers::{HeadError, append, body, path, text, tus};
use crate::http::{Node, Problem};
use crate::intake::{IntakeError, SpooledName};

/// Answers `POST /_gridspool/salvage` with 204 if the bytes count, or if there are none.
pub(super) async fn salvage(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let target = text(headers, accel::TARGET);
    let caller = node.access.caller(headers, target, &node.peers)?;
    caller.check_upload(&node.access, target)?;
    if let Some(body) = body::left(headers) {
        match path::upload(target) {
            Some(id) => of_append(headers, &node, caller, id, body).await?,
            None => of_beginning(headers, &node, caller, target, body).await?,
        }
    }
    Ok(HttpResponse::NoContent().finish())
}

async fn of_append(
    headers: &HeaderMap,
    node: &Node,
    caller: Caller,
    id: FileId,
    body: SpooledName,
) -> Result<(), Problem> {
    if tus::method(headers, text(headers, accel::METHOD))? != "PATCH" {
        return Err(Problem::no_upload());
    }
    let append = append::read(headers, Dialect::of(headers), None)?;
    let offset = append.offset;
    let request = text(headers, accel::REQUEST);
    let salvaged = node
        .intake
        .salvage(caller.sender, id, append, body, request)
        .await;
    salvaged.map_err(|err| {
        log::debug!("nothing of a broken append to {id} at {offset} counts: {err}");
        Problem::of_append(err, offset)
    })?;
    log::debug!("a broken append to {id} at {offset} is credited");
    Ok(())
}

async fn of_beginning(
    headers: &HeaderMap,
    node: &Node,
    caller: Caller,
    target: &str,
    body: SpooledName,
) -> Result<(), Problem> {
    let Beginning {
        upload,
        digests,
        ends,
        parts,
    } = beginning(headers, caller, target)?;
    // Without a key nobody could find it. Bytes with a digest are kept whole or not at all.
    if upload.key.is_none() || !digests.are_none() || parts.is_some() {
        return Ok(());
    }
    match node.intake.salvage_beginning(upload, ends, body).await {
        Ok(Some((id, _))) => log::debug!("a broken body has begun upload {id}"),
        Ok(None) => {}
        // The sender has sent it again.
        Err(err @ (IntakeError::StillRunning | IntakeError::KeyOfAnother)) => {
            log::debug!("nothing of a broken body is kept: {err}");
        }
        Err(err) => return Err(err.into()),
    }
    Ok(())
}

/// Reads the head of a request that broke off.
fn beginning(headers: &HeaderMap, caller: Caller, target: &str) -> Result<Beginning, Problem> {
    let method = text(headers, accel::METHOD);
    if path::is_collection_of_uploads(target) {
        tus::check_version(headers)?;
        if tus::method(headers, method)? != "POST" {
            return Err(Problem::no_upload());
        }
        tus::check_type(headers)?;
        return Ok(beginning::by_tus(headers, caller.sender)?);
    }
    if !path::is_of_files(target) && !path::is_of_messages(target) {
        return Err(Problem::no_upload());
    }
    caller.check_claim(headers, target)?;
    let length = body::length(headers, accel::BODY_LENGTH);
    let meaning = whole::check(
        headers,
        Asked {
            method,
            target,
            length,
        },
    )?;
    let declared = match meaning {
        Meaning::Begins { declared } => declared,
        Meaning::Whole { .. } => {
            let told = length.or(structured::integer(headers, "upload-length"));
            Some(told.ok_or(HeadError::UploadLength)?)
        }
    };
    Ok(beginning::at(headers, target, declared, caller.sender)?)
}
