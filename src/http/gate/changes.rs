//! Conditions of requests that change something (RFC 9110 §13.1), and uploads to the address of a file.
//!
//! A file never changes: an upload makes a new one. So an upload to the address of a file is refused, and
//! conditions are evaluated against the file of now before anything is done.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;

use crate::delivery::Found;
use crate::file::FileKey;
use crate::http::headers::conditions::{self, OF_CHANGES};
use crate::http::headers::path;
use crate::http::{Node, Problem};
use crate::peers::Outlook;

/// The state at the address of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Nothing,
    /// A file, for which the conditions of the request hold.
    Wanted,
    /// A file, for which the conditions of the request do not hold.
    Unwanted,
}

/// Refuses an upload to an address where a file is. A name is looked up only if it looks like an id, or if
/// the upload has conditions.
///
/// # Errors
/// 412 when a condition does not hold, 409 when there is a file; 503 when no node can tell.
pub(in crate::http) async fn check_upload(
    request: &HttpRequest,
    node: &Node,
    method: &str,
    target: &str,
) -> Result<(), Problem> {
    let is_conditional = conditions::are_of_change(request.headers());
    let key = path::key(target)
        .ok()
        .filter(|_| method == "PUT" && !path::is_collection(target));
    let current = match key {
        Some(key @ FileKey::Id(_)) => look(request, node, &key).await?,
        Some(key) if is_conditional => look(request, node, &node.read(key)).await?,
        _ => Current::Nothing,
    };
    match current {
        Current::Unwanted => Err(Problem::precondition_failed()),
        Current::Wanted => Err(Problem::exists()),
        Current::Nothing if is_conditional && !conditions::hold(request.headers(), None) => {
            Err(Problem::precondition_failed())
        }
        Current::Nothing => Ok(()),
    }
}

/// Refuses to delete a file for which the conditions do not hold. A file that is absent passes.
///
/// # Errors
/// 412 when a condition does not hold; 503 when no node can tell.
pub(in crate::http) async fn check_delete(
    request: &HttpRequest,
    node: &Node,
    key: &FileKey,
) -> Result<(), Problem> {
    if conditions::are_of_change(request.headers())
        && look(request, node, key).await? == Current::Unwanted
    {
        return Err(Problem::precondition_failed());
    }
    Ok(())
}

/// Returns the state of now. The bytes of an id never change, so the change meets this state or an
/// absent file.
async fn look(request: &HttpRequest, node: &Node, key: &FileKey) -> Result<Current, Problem> {
    let mut found = node.delivery.find(key).await?;
    if let Found::Elsewhere { owner, id } = found {
        let conditions = OF_CHANGES.iter().flat_map(|name| {
            let values = request.headers().get_all(name);
            values.map(|value| (name.as_str().to_owned(), value.as_bytes().to_owned()))
        });
        match node
            .peers
            .ask_for_file(owner, id, conditions.collect())
            .await?
        {
            Outlook::There => return Ok(Current::Wanted),
            Outlook::Otherwise => return Ok(Current::Unwanted),
            Outlook::Deleted => return Ok(Current::Nothing),
            // It may have been committed meanwhile.
            Outlook::Absent => found = node.delivery.find_here(key).await?,
        }
    }
    Ok(match found.meta() {
        None => Current::Nothing,
        Some(meta) if conditions::hold(request.headers(), Some(meta)) => Current::Wanted,
        Some(_) => Current::Unwanted,
    })
}

impl Problem {
    fn exists() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "exists",
            "A file is there, and files never change. Send the new one by POST to /files.",
        )
    }
}
