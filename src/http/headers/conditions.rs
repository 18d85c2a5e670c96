//! The conditions of requests (RFC 9110 §13), decided before nginx sees the file.

use actix_web::http::Method;
use actix_web::http::header::{
    EntityTag, HeaderMap, HeaderName, HttpDate, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

use super::ranges::{self, Wanted};
use crate::file::FileMeta;

/// The outcome of the conditions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Verdict {
    /// Answer as if there were no conditions.
    Proceed,
    /// 304: the caller has it already.
    NotModified,
    /// 412: the caller wants another state.
    Failed,
    /// 416: the range lies outside the file.
    OutOfRange,
}

/// Evaluates all conditions in the order of RFC 9110 §13.2.2. An empty file is always sent whole.
pub(in crate::http) fn judge(method: &Method, headers: &HeaderMap, meta: &FileMeta) -> Verdict {
    if !has_conditions(headers) {
        return Verdict::Proceed;
    }
    let tag = meta.etag();
    let modified = meta.last_modified().map(HttpDate::from);
    // A copy is not fresh by its date where dates prove nothing.
    let dated = modified.filter(|_| meta.is_told_by_date());
    if headers.contains_key(IF_MATCH) {
        if !if_match(headers, &tag) {
            return Verdict::Failed;
        }
    } else if let Some(since) = date(headers, &IF_UNMODIFIED_SINCE)
        && modified.is_some_and(|modified| modified > since)
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if if_none_match(headers, &tag) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(headers, &IF_MODIFIED_SINCE)
        && dated.is_some_and(|dated| dated <= since)
    {
        return Verdict::NotModified;
    }
    let is_unsatisfiable = meta.length > 0
        && *method == Method::GET
        && range(headers)
            .is_some_and(|range| ranges::wanted(range, meta.length) == Wanted::Nothing)
        && if_range(headers, &tag, dated);
    if is_unsatisfiable {
        return Verdict::OutOfRange;
    }
    Verdict::Proceed
}

/// The conditions that a change must respect.
pub(in crate::http) const OF_CHANGES: [HeaderName; 3] =
    [IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH];

/// Returns whether a change has any of these conditions.
pub(in crate::http) fn are_of_change(headers: &HeaderMap) -> bool {
    OF_CHANGES.iter().any(|name| headers.contains_key(name))
}

/// Whether the conditions of a change hold for the file that is there, or for none (RFC 9110 §13.2.2, for
/// methods that are not GET or HEAD).
pub(in crate::http) fn hold(headers: &HeaderMap, current: Option<&FileMeta>) -> bool {
    let tag = current.map(FileMeta::etag);
    let tag = tag.as_deref();
    if headers.contains_key(IF_MATCH) {
        if !tag.is_some_and(|tag| if_match(headers, tag)) {
            return false;
        }
    } else if let Some(since) = date(headers, &IF_UNMODIFIED_SINCE)
        && current
            .and_then(FileMeta::last_modified)
            .is_some_and(|modified| HttpDate::from(modified) > since)
    {
        return false;
    }
    !headers.contains_key(IF_NONE_MATCH) || !tag.is_some_and(|tag| if_none_match(headers, tag))
}

/// Returns whether If-Range holds anything but a tag, while the date of the file proves nothing:
/// nginx would believe a date.
pub(in crate::http) fn goes_by_date(headers: &HeaderMap, meta: &FileMeta) -> bool {
    let has_if_range = headers.contains_key(IF_RANGE);
    has_if_range && !meta.is_told_by_date() && value::<EntityTag>(headers, &IF_RANGE).is_none()
}

/// Whether nginx would refuse a request that [`judge`] lets pass: nginx evaluates conditions once more where
/// it sends a file. RFC 9110 §13.1.4 ignores a malformed date, and any date beside If-Match. nginx takes a
/// malformed date for one before all others, heeds a date beside If-Match, and takes a file without a date
/// for changed.
pub(in crate::http) fn nginx_would_refuse(headers: &HeaderMap, meta: &FileMeta) -> bool {
    let modified = meta.last_modified().map(HttpDate::from);
    let holds = modified.zip(date(headers, &IF_UNMODIFIED_SINCE));
    let holds = holds.is_some_and(|(modified, since)| modified <= since);
    headers.contains_key(IF_UNMODIFIED_SINCE) && !holds
}

/// Whether there is anything to evaluate. Most requests have no conditions.
fn has_conditions(headers: &HeaderMap) -> bool {
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

/// The one value of a field; `None` if it is absent or malformed.
fn value<T: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<HttpDate> {
    value(headers, name)
}

fn range(headers: &HeaderMap) -> Option<&str> {
    // Bytes that are not text are read as an empty, malformed range.
    let value = headers.get(RANGE)?;
    Some(value.to_str().unwrap_or_default())
}

/// Whether If-Match holds for a file with this tag (RFC 9110 §13.1.1: strong comparison).
fn if_match(headers: &HeaderMap, tag: &str) -> bool {
    has_tag(headers, &IF_MATCH, |item| item == tag.as_bytes())
}

/// Whether If-None-Match names this tag (RFC 9110 §13.1.2: weak comparison).
fn if_none_match(headers: &HeaderMap, tag: &str) -> bool {
    has_tag(headers, &IF_NONE_MATCH, |item| {
        item.strip_prefix(b"W/").unwrap_or(item) == tag.as_bytes()
    })
}

/// Whether a field is `*`, or `is_meant` holds for one of its tags. The list is split at commas, as nginx
/// does. Our tags have no commas. A foreign tag may have some and need not be ASCII, but it has no quotes
/// within, so no piece of it is taken for one of ours.
fn has_tag(headers: &HeaderMap, name: &HeaderName, is_meant: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name);
    values.any(|value| {
        let value = value.as_bytes().trim_ascii();
        let mut items = value.split(|&byte| byte == b',');
        value == b"*" || items.any(|item| is_meant(item.trim_ascii()))
    })
}

/// Whether If-Range holds: the tag by strong comparison, or exactly this date.
fn if_range(headers: &HeaderMap, tag: &str, dated: Option<HttpDate>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    value.as_bytes().trim_ascii() == tag.as_bytes()
        || dated.is_some() && date(headers, &IF_RANGE) == dated
}

#[cfg(test)]
mod tests;
