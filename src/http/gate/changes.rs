//! Conditions of requests that change something (RFC 9110 §13.1), and uploads to the address of a file.
//!
//! A file never changes: an upload makes a new one. So what is sent to the address of one that is there
//! is refused, and a condition is held against what is there before anything is done.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    Header as _, HttpDate, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, IfUnmodifiedSince,
};

use crate::delivery::Found;
use crate::file::{FileKey, FileMeta};
use crate::http::headers::conditions::{if_match, if_none_match};
use crate::http::headers::path;
use crate::http::{Node, Problem};
use crate::peers::Outlook;

/// The conditions that a change heeds.
const CONDITIONS: [actix_web::http::header::HeaderName; 3] =
    [IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH];

/// The state at the address of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Nothing,
    /// A file, for which the conditions of the request hold.
    Wanted,
    /// A file, for which they do not.
    Unwanted,
}

/// Sees that an upload by this method and to this target makes a file where there is none. Only names
/// that look like ids are looked up, and those of uploads with conditions.
///
/// # Errors
/// 412 when a condition does not hold, 409 when there is a file; 503 when nobody knows.
pub(in crate::http) async fn check_upload(
    request: &HttpRequest,
    node: &Node,
    method: &str,
    target: &str,
) -> Result<(), Problem> {
    let is_conditional = is_conditional(request);
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
        Current::Nothing if is_conditional && !hold(request, None) => {
            Err(Problem::precondition_failed())
        }
        Current::Nothing => Ok(()),
    }
}

/// Sees that a file may be deleted as it is. One that is not there is left to the delete.
///
/// # Errors
/// 412 when a condition does not hold; 503 when nobody knows.
pub(in crate::http) async fn check_delete(
    request: &HttpRequest,
    node: &Node,
    key: &FileKey,
) -> Result<(), Problem> {
    if is_conditional(request) && look(request, node, key).await? == Current::Unwanted {
        return Err(Problem::precondition_failed());
    }
    Ok(())
}

fn is_conditional(request: &HttpRequest) -> bool {
    let headers = request.headers();
    CONDITIONS.iter().any(|name| headers.contains_key(name))
}

/// The state of now. As contents never change under an id, the change meets it, or nothing.
async fn look(request: &HttpRequest, node: &Node, key: &FileKey) -> Result<Current, Problem> {
    let mut found = node.delivery.find(key).await?;
    if let Found::Elsewhere { owner, id } = found {
        let conditions = CONDITIONS.iter().flat_map(|name| {
            let values = request.headers().get_all(name);
            values.map(|value| (name.as_str().to_owned(), value.as_bytes().to_owned()))
        });
        match node.peers.look(owner, id, conditions.collect()).await? {
            Outlook::There => return Ok(Current::Wanted),
            Outlook::Otherwise => return Ok(Current::Unwanted),
            Outlook::Deleted => return Ok(Current::Nothing),
            // It may have been committed meanwhile.
            Outlook::Absent => found = node.delivery.find_here(key).await?,
        }
    }
    Ok(match found.meta() {
        None => Current::Nothing,
        Some(meta) if hold(request, Some(meta)) => Current::Wanted,
        Some(_) => Current::Unwanted,
    })
}

/// RFC 9110 §13.2.2, for methods that are not GET or HEAD.
fn hold(request: &HttpRequest, current: Option<&FileMeta>) -> bool {
    let headers = request.headers();
    let tag = current.map(FileMeta::etag);
    let tag = tag.as_deref();
    if headers.contains_key(IF_MATCH) {
        if !tag.is_some_and(|tag| if_match(request, tag)) {
            return false;
        }
    } else if let Ok(IfUnmodifiedSince(since)) = IfUnmodifiedSince::parse(request)
        && current
            .and_then(FileMeta::last_modified)
            .is_some_and(|modified| HttpDate::from(modified) > since)
    {
        return false;
    }
    !headers.contains_key(IF_NONE_MATCH) || !tag.is_some_and(|tag| if_none_match(request, tag))
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn conditions_are_held_against_what_is_there_or_against_nothing() {
        let meta = FileMeta::sample();
        let (earlier, same) = (
            "Tue, 14 Nov 2023 22:13:19 GMT",
            "Tue, 14 Nov 2023 22:13:20 GMT",
        );
        for (lines, with_file, without) in [
            (&[][..], true, true),
            (&[("If-Match", "*")], true, false),
            (&[("If-Match", "TAG")], true, false),
            (&[("If-Match", "\"x\", TAG")], true, false),
            (&[("If-Match", "W/TAG")], false, false),
            (&[("If-Match", "\"x\"")], false, false),
            (&[("If-Match", "nonsense")], false, false),
            (
                &[("If-Match", "TAG"), ("If-Unmodified-Since", earlier)],
                true,
                false,
            ),
            (&[("If-Unmodified-Since", earlier)], false, true),
            (&[("If-Unmodified-Since", same)], true, true),
            (&[("If-Unmodified-Since", "yesterday")], true, true),
            (&[("If-None-Match", "*")], false, true),
            (&[("If-None-Match", "W/TAG")], false, true),
            (&[("If-None-Match", "\"x\"")], true, true),
            (&[("If-Match", "*"), ("If-None-Match", "*")], false, false),
            (&[("If-Modified-Since", same)], true, true),
        ] {
            let mut request = TestRequest::put();
            for (name, value) in lines {
                let value = value.replace("TAG", &meta.etag());
                request = request.append_header((*name, value));
            }
            let request = request.to_http_request();
            assert_eq!(hold(&request, Some(&meta)), with_file, "{lines:?}");
            assert_eq!(hold(&request, None), without, "{lines:?}");
        }
    }
}
