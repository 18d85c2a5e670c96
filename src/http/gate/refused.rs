//! Refusals on their way out: those of paths, and the count of all.

use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::{Error, HttpRequest, web};

use crate::http::headers::path;
use crate::http::{Node, Problem};

/// Sees that a request names a path in one way only, before anything else looks at it.
///
/// # Errors
/// A refusal, if not; it is counted.
pub fn check_path(request: &HttpRequest) -> Result<(), Error> {
    path::check(request.path(), request.headers()).map_err(|err| {
        let problem = Problem::from(err);
        // Where such a path leads nobody knows: nginx has sent it here, so it is one of files.
        count_upload(request, &problem);
        problem.into()
    })
}

/// Counts an answer that refuses an upload whose body has come. One that was refused before its body
/// was counted then.
pub fn count_refusal<B>(answer: &ServiceResponse<B>) {
    let request = answer.request();
    if request.path().starts_with("/files")
        && let Some(err) = answer.response().error()
        && let Some(problem) = err.as_error::<Problem>()
    {
        count_upload(request, problem);
    }
}

fn count_upload(request: &HttpRequest, problem: &Problem) {
    if matches!(*request.method(), Method::POST | Method::PUT)
        && let Some(node) = request.app_data::<web::Data<Node>>()
    {
        node.access.refusals.count(problem.reason());
    }
}
