//! Answers nginx's question before it reads the body of an upload.
//!
//! It checks everything that is known before the body. The route of the upload checks the same
//! again, and the rest.

use actix_web::{HttpRequest, HttpResponse, web};

use super::elsewhere::WayToOwner;
use super::{methods, uploads_admission};
use crate::accel;
use crate::http::gate::access::{self, Caller};
use crate::http::gate::changes;
use crate::http::headers::dialect::{Dialect, UPLOAD_COMPLETE};
use crate::http::headers::whole::{self, Asked, Meaning};
use crate::http::headers::{body, content_type, idempotency_key, path};
use crate::http::{Node, Problem};

/// The outcome for an upload that is not refused.
enum Admitted {
    /// It may come in.
    Here,
    /// Another node has it, and judges it.
    At(WayToOwner),
}

/// `GET /_gridspool/admission`: 204 if this upload may come in, or a refusal that nginx passes on. An append
/// to an upload of another node goes there, by the way of a refusal.
pub(super) async fn admission(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    match admit(&request, &node).await {
        Ok(Admitted::Here) => HttpResponse::NoContent().finish(),
        Ok(Admitted::At(way)) => {
            let mut answer = HttpResponse::Forbidden();
            answer.insert_header((accel::REFUSAL, accel::BODY_TO_PEER));
            way.tell(&mut answer);
            answer.finish()
        }
        Err(problem) => {
            node.access.refusals.count(problem.reason());
            problem.to_refusal()
        }
    }
}

async fn admit(request: &HttpRequest, node: &Node) -> Result<Admitted, Problem> {
    let headers = request.headers();
    let target = headers.get(accel::TARGET);
    let target = target.map_or_else(Default::default, |value| {
        String::from_utf8_lossy(value.as_bytes())
    });
    path::check_target(&target)?;
    let caller = node.access.caller(headers, &target, &node.peers)?;
    caller.check_upload(&node.access, &target)?;
    if path::is_of_uploads(&target) {
        // A box: most questions are about whole uploads, and need no memory for this.
        let admitted = Box::pin(uploads_admission::admit(headers, node, &caller, &target));
        let owner = admitted.await?;
        return Ok(owner.map_or(Admitted::Here, Admitted::At));
    }
    let method = headers.get(accel::METHOD);
    let asked = Asked {
        method: method.map_or("", |method| method.to_str().unwrap_or_default()),
        target: &target,
        length: body::length(headers, accel::BODY_LENGTH),
    };
    let is_of_messages = path::is_of_messages(&target);
    if is_of_messages && (asked.method != "POST" || !path::is_collection(&target)) {
        return Err(Problem::method_not_allowed(methods::of_messages(&target)));
    }
    if asked.method == "POST" && !path::is_collection(&target) {
        return Err(Problem::method_not_allowed(methods::below_files(&target)));
    }
    if asked.method == "PUT" && content_type::is_form(headers) {
        return Err(Problem::no_form_here());
    }
    let is_resumable = headers.contains_key(UPLOAD_COMPLETE);
    let judged = judge(request, node, &caller, asked).await;
    judged.map_err(|problem| {
        if is_resumable {
            problem.in_dialect(Dialect::Draft, node.intake.longest(&caller.sender))
        } else {
            problem
        }
    })?;
    Ok(Admitted::Here)
}

async fn judge(
    request: &HttpRequest,
    node: &Node,
    caller: &Caller,
    asked: Asked<'_>,
) -> Result<(), Problem> {
    let headers = request.headers();
    let meaning = whole::check(headers, asked)?;
    content_type::boundary(headers)?;
    // A chunked body has no length yet.
    if asked.length.is_none() && caller.sender.grant.max_bytes().is_some() {
        return Err(Problem::length_required());
    }
    changes::check_upload(request, node, asked.method, asked.target).await?;
    access::let_in(node, &caller.sender, caller.room.as_ref())?;
    let length = asked.length.unwrap_or(0);
    let intake = &node.intake;
    intake.check_length(&caller.sender, length)?;
    caller.check_claim(headers, asked.target)?;
    let key = idempotency_key::read(headers)?;
    if let Meaning::Begins { declared } = meaning {
        let is_expected = caller.is_expected(node);
        let key = key.as_deref();
        let admitted = intake.admit_upload(&caller.sender, declared, length, key, is_expected);
        return Ok(admitted.await?);
    }
    intake.check_quota_of_file(&caller.sender, length, key.as_deref())?;
    intake.check_room(length, caller.is_expected(node)).await?;
    Ok(())
}
