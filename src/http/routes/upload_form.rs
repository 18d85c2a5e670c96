//! POST of a form: from a head and a spooled body to the promise of all its files.

use actix_web::{HttpRequest, HttpResponse, web};

use super::created;
use crate::http::gate::access;
use crate::http::headers::prefer::Preferences;
use crate::http::headers::{claims, whole};
use crate::http::{Node, Problem, form};
use crate::intake::{FormUpload, Shape};

/// Takes a form with this boundary over to its end.
pub(super) async fn take(
    request: &HttpRequest,
    boundary: Vec<u8>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let preferences = Preferences::read(request.headers());
    let upload = FormUpload {
        sender: access::uploader(request, &node).await?.0.sender,
        head: claims::read(request.headers())?,
    };
    let read = move |body: &_, metadata: &_, most_files| {
        let form = form::read(body, &boundary, metadata, most_files)?;
        if let Some(form) = &form {
            whole::check_fields(form.metadata.pairs())?;
        }
        Ok::<_, Problem>(form)
    };
    let taken = node.intake.take_form(upload, read).await?;
    // A large form is answered at once, so that its answer does not stay in memory.
    let preferences = match taken.place {
        None => preferences,
        Some(_) => Preferences {
            wait_seconds: None,
            ..preferences
        },
    };
    created::answer(node.into_inner(), preferences, taken.adopted, Shape::Form).await
}
