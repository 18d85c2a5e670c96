//! POST of a form: from a head and a spooled body to the promise of all its files.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{taken, uploads_begin};
use crate::accel;
use crate::http::gate::access;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::whole::Meaning;
use crate::http::headers::{beginning, body as bodies, claims};
use crate::http::{Node, Problem};
use crate::intake::FormUpload;

/// Takes a form with this boundary over to its end, or begins an upload that becomes one.
pub(super) async fn take(
    request: &HttpRequest,
    body: web::Payload,
    boundary: Vec<u8>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let preferences = Preferences::read(headers);
    let (caller, meaning) = access::uploader(request, &node).await?;
    if let Meaning::Begins { declared } = meaning {
        // A box: most uploads come whole, and need no memory for this.
        return Box::pin(uploads_begin::by_draft(
            request, body, node, caller, declared,
        ))
        .await;
    }
    let length = bodies::length(headers, accel::BODY_LENGTH);
    let upload = FormUpload {
        broken: beginning::of_whole(headers, request.path(), length, &caller.sender)?,
        sender: caller.sender,
        head: claims::read(headers)?,
    };
    let read = taken::form_reader(boundary);
    let form = node.intake.take_form(upload, read).await?;
    taken::answer_form(node, preferences, form).await
}
