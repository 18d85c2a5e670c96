//! The check of each path, and the count of all refused uploads.

use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::{Error, HttpRequest, web};

use crate::http::headers::path;
use crate::http::{Node, Problem};

/// Refuses a path that servers could read in two ways, before anything else looks at it.
///
/// # Errors
/// A refusal, if servers could read the path in two ways; it is counted.
pub fn check_path(request: &HttpRequest) -> Result<(), Error> {
    path::check(request.path(), request.headers()).map_err(|err| {
        let problem = Problem::from(err);
        // nginx has sent it here, so both readings are paths of files.
        count_upload(request, &problem);
        problem.into()
    })
}

/// Counts an answer that refuses an upload after its body has come. The admission counts uploads
/// that are refused before their bodies.
pub fn count_refusal<B>(answer: &ServiceResponse<B>) {
    let request = answer.request();
    if ["/files", "/messages", "/uploads"]
        .into_iter()
        .any(|collection| request.path().starts_with(collection))
        && let Some(err) = answer.response().error()
        && let Some(problem) = err.as_error::<Problem>()
    {
        count_upload(request, problem);
    }
}

fn count_upload(request: &HttpRequest, problem: &Problem) {
    if matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    ) && let Some(node) = request.app_data::<web::Data<Node>>()
    {
        node.access.refusals.count(problem.reason());
    }
}
