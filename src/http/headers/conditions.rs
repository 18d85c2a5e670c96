//! Conditional requests (RFC 9110 §13), decided before nginx sees the file.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    Header, HeaderName, HttpDate, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, IfModifiedSince, IfRange, IfUnmodifiedSince, RANGE,
};

use super::ranges::{self, Wanted};
use crate::file::FileMeta;

/// The outcome of the conditions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the caller has it already.
    NotModified,
    /// 412: the caller wants another state.
    Failed,
    /// 416: the range lies outside the file.
    OutOfRange,
}

/// Evaluates all conditions in the order of RFC 9110 §13.2.2. An empty file has no ranges to be
/// outside of: it is sent whole.
pub(in crate::http) fn judge(request: &HttpRequest, meta: &FileMeta) -> Verdict {
    if !has_conditions(request) {
        return Verdict::Proceed;
    }
    let tag = meta.etag();
    let modified = meta.last_modified().map(HttpDate::from);
    // Where a date proves nothing, no copy is good by its date.
    let dated = modified.filter(|_| meta.is_told_by_date());
    if request.headers().contains_key(IF_MATCH) {
        if !if_match(request, &tag) {
            return Verdict::Failed;
        }
    } else if let Ok(IfUnmodifiedSince(since)) = IfUnmodifiedSince::parse(request)
        && modified.is_some_and(|modified| modified > since)
    {
        return Verdict::Failed;
    }
    if request.headers().contains_key(IF_NONE_MATCH) {
        if if_none_match(request, &tag) {
            return Verdict::NotModified;
        }
    } else if let Ok(IfModifiedSince(since)) = IfModifiedSince::parse(request)
        && dated.is_some_and(|dated| dated <= since)
    {
        return Verdict::NotModified;
    }
    let is_unsatisfiable = meta.length > 0
        && request.method() == Method::GET
        && range(request)
            .is_some_and(|range| ranges::wanted(range, meta.length) == Wanted::Nothing)
        && if_range(request, &tag, dated);
    if is_unsatisfiable {
        return Verdict::OutOfRange;
    }
    Verdict::Proceed
}

/// Whether a request asks for a range if the file is as old as that, of a file whose date proves
/// nothing: nginx would believe it.
pub(in crate::http) fn goes_by_date(request: &HttpRequest, meta: &FileMeta) -> bool {
    let has_if_range = request.headers().contains_key(IF_RANGE);
    has_if_range
        && !meta.is_told_by_date()
        && !matches!(IfRange::parse(request), Ok(IfRange::EntityTag(_)))
}

/// Whether nginx, which evaluates conditions once more where it sends a file, refuses what [`judge`] lets
/// pass. A date that is none is to be ignored, and so is any date beside If-Match (RFC 9110 §13.1.4): nginx
/// takes the one for a date before all others, and heeds the other. A file without a date has changed for it.
pub(in crate::http) fn nginx_would_refuse(request: &HttpRequest, meta: &FileMeta) -> bool {
    let unmodified_since = IfUnmodifiedSince::parse(request).ok();
    let modified = meta.last_modified().map(HttpDate::from);
    let holds = modified.zip(unmodified_since);
    let holds = holds.is_some_and(|(modified, IfUnmodifiedSince(since))| modified <= since);
    request.headers().contains_key(IF_UNMODIFIED_SINCE) && !holds
}

/// Whether there is anything to evaluate: most requests are done with that.
fn has_conditions(request: &HttpRequest) -> bool {
    let headers = request.headers();
    [
        IF_MATCH,
        IF_UNMODIFIED_SINCE,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        RANGE,
    ]
    .iter()
    .any(|name| headers.contains_key(name))
}

fn range(request: &HttpRequest) -> Option<&str> {
    // Bytes that are no text make no range that can be read.
    let value = request.headers().get(RANGE)?;
    Some(value.to_str().unwrap_or_default())
}

/// Whether If-Match holds for a file with this tag (RFC 9110 §13.1.1: strong comparison).
pub(in crate::http) fn if_match(request: &HttpRequest, tag: &str) -> bool {
    has_tag(request, &IF_MATCH, |item| item == tag.as_bytes())
}

/// Whether If-None-Match names this tag (RFC 9110 §13.1.2: weak comparison).
pub(in crate::http) fn if_none_match(request: &HttpRequest, tag: &str) -> bool {
    has_tag(request, &IF_NONE_MATCH, |item| {
        item.strip_prefix(b"W/").unwrap_or(item) == tag.as_bytes()
    })
}

/// Whether a header is `*`, or one of its tags is meant. It is divided at commas: our tags have none, and
/// a tag of somebody else, which may have some and need not be ASCII, has no quotes within. So no part of
/// it is taken for one of ours, and nothing in the list hides the others. nginx reads it likewise.
fn has_tag(request: &HttpRequest, name: &HeaderName, is_meant: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = request.headers().get_all(name);
    values.any(|value| {
        let value = value.as_bytes().trim_ascii();
        let mut items = value.split(|&byte| byte == b',');
        value == b"*" || items.any(|item| is_meant(item.trim_ascii()))
    })
}

/// Whether the range still holds: the tag by strong comparison, or exactly the date.
fn if_range(request: &HttpRequest, tag: &str, dated: Option<HttpDate>) -> bool {
    let Some(value) = request.headers().get(IF_RANGE) else {
        return true;
    };
    value.as_bytes().trim_ascii() == tag.as_bytes()
        || matches!(IfRange::parse(request), Ok(IfRange::Date(date)) if dated == Some(date))
}

#[cfg(test)]
mod tests;
