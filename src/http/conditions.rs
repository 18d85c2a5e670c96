//! Conditional requests (RFC 9110 §13), decided before nginx sees the file.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::RANGE;
use actix_web::http::header::{
    EntityTag, Header, HttpDate, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
};

use super::ranges::{self, Wanted};
use crate::file::FileMeta;

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
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
pub(super) fn judge(request: &HttpRequest, meta: &FileMeta) -> Verdict {
    if !has_conditions(request) {
        return Verdict::Proceed;
    }
    let tag = EntityTag::new_strong(meta.etag().trim_matches('"').to_owned());
    let modified = HttpDate::from(meta.last_modified());
    if request.headers().contains_key(IF_MATCH) {
        if !if_match(request, &tag) {
            return Verdict::Failed;
        }
    } else if let Ok(IfUnmodifiedSince(since)) = IfUnmodifiedSince::parse(request)
        && modified > since
    {
        return Verdict::Failed;
    }
    if request.headers().contains_key(IF_NONE_MATCH) {
        if if_none_match(request, &tag) {
            return Verdict::NotModified;
        }
    } else if let Ok(IfModifiedSince(since)) = IfModifiedSince::parse(request)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    let is_unsatisfiable = meta.length > 0
        && request.method() == Method::GET
        && range(request)
            .is_some_and(|range| ranges::wanted(range, meta.length) == Wanted::Nothing)
        && if_range(request, &tag, modified);
    if is_unsatisfiable {
        return Verdict::OutOfRange;
    }
    Verdict::Proceed
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

/// Strong comparison; a list that cannot be read matches nothing.
fn if_match(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfMatch::parse(request) {
        Ok(IfMatch::Any) => true,
        Ok(IfMatch::Items(tags)) => tags.iter().any(|item| item.strong_eq(tag)),
        Err(_) => false,
    }
}

/// Weak comparison; a list that cannot be read matches nothing.
fn if_none_match(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|item| item.weak_eq(tag)),
        Err(_) => false,
    }
}

/// Whether the range still holds: the tag by strong comparison, or exactly the date.
fn if_range(request: &HttpRequest, tag: &EntityTag, modified: HttpDate) -> bool {
    if !request.headers().contains_key(IF_RANGE) {
        return true;
    }
    match IfRange::parse(request) {
        Ok(IfRange::EntityTag(item)) => item.strong_eq(tag),
        Ok(IfRange::Date(date)) => date == modified,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::file::{FileName, MediaType, Metadata, UnixMillis};

    const EARLIER: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const LATER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn judged(headers: &[(&str, &str)]) -> Verdict {
        let meta = FileMeta {
            filename: FileName::from_claim("a").unwrap(),
            content_type: MediaType::octet_stream(),
            length: 10,
            uploaded: UnixMillis(1_700_000_000_999),
            metadata: Metadata::default(),
        };
        let mut request = TestRequest::get();
        for (name, value) in headers {
            let value = value.replace("TAG", &meta.etag());
            request = request.append_header((*name, value));
        }
        judge(&request.to_http_request(), &meta)
    }

    #[test]
    fn tags_decide_before_dates() {
        for (headers, verdict) in [
            (vec![], Verdict::Proceed),
            (vec![("If-None-Match", "TAG")], Verdict::NotModified),
            (
                vec![("If-None-Match", "\"x\", W/TAG")],
                Verdict::NotModified,
            ),
            (vec![("If-None-Match", "*")], Verdict::NotModified),
            (
                vec![("If-None-Match", "\"x\""), ("If-Modified-Since", LATER)],
                Verdict::Proceed,
            ),
            (vec![("If-Modified-Since", SAME)], Verdict::NotModified),
            (vec![("If-Modified-Since", EARLIER)], Verdict::Proceed),
            (vec![("If-Modified-Since", "yesterday")], Verdict::Proceed),
            (vec![("If-Match", "TAG")], Verdict::Proceed),
            (vec![("If-Match", "*")], Verdict::Proceed),
            (vec![("If-Match", "W/TAG")], Verdict::Failed),
            (vec![("If-Match", "\"x\"")], Verdict::Failed),
            (
                vec![("If-Match", "TAG"), ("If-Unmodified-Since", EARLIER)],
                Verdict::Proceed,
            ),
            (vec![("If-Unmodified-Since", EARLIER)], Verdict::Failed),
            (vec![("If-Unmodified-Since", SAME)], Verdict::Proceed),
            (
                vec![("If-Match", "TAG"), ("If-None-Match", "TAG")],
                Verdict::NotModified,
            ),
        ] {
            assert_eq!(judged(&headers), verdict, "{headers:?}");
        }
    }

    #[test]
    fn a_range_outside_the_file_fails_only_if_it_still_holds() {
        for (headers, verdict) in [
            (vec![("Range", "bytes=10-")], Verdict::OutOfRange),
            (vec![("Range", "bytes=9-")], Verdict::Proceed),
            (
                vec![("Range", "bytes=10-"), ("If-Range", "TAG")],
                Verdict::OutOfRange,
            ),
            (
                vec![("Range", "bytes=10-"), ("If-Range", "\"x\"")],
                Verdict::Proceed,
            ),
            (
                vec![("Range", "bytes=10-"), ("If-Range", SAME)],
                Verdict::OutOfRange,
            ),
            (
                vec![("Range", "bytes=10-"), ("If-Range", LATER)],
                Verdict::Proceed,
            ),
            (
                vec![("Range", "bytes=10-"), ("If-None-Match", "TAG")],
                Verdict::NotModified,
            ),
        ] {
            assert_eq!(judged(&headers), verdict, "{headers:?}");
        }
    }
}
