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
pub(super) fn goes_by_date(request: &HttpRequest, meta: &FileMeta) -> bool {
    let has_if_range = request.headers().contains_key(IF_RANGE);
    has_if_range
        && !meta.is_told_by_date()
        && !matches!(IfRange::parse(request), Ok(IfRange::EntityTag(_)))
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
pub(super) fn if_match(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfMatch::parse(request) {
        Ok(IfMatch::Any) => true,
        Ok(IfMatch::Items(tags)) => tags.iter().any(|item| item.strong_eq(tag)),
        Err(_) => false,
    }
}

/// Weak comparison; a list that cannot be read matches nothing.
pub(super) fn if_none_match(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|item| item.weak_eq(tag)),
        Err(_) => false,
    }
}

/// Whether the range still holds: the tag by strong comparison, or exactly the date.
fn if_range(request: &HttpRequest, tag: &EntityTag, dated: Option<HttpDate>) -> bool {
    if !request.headers().contains_key(IF_RANGE) {
        return true;
    }
    match IfRange::parse(request) {
        Ok(IfRange::EntityTag(item)) => item.strong_eq(tag),
        Ok(IfRange::Date(date)) => dated == Some(date),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

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
            revision: None,
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

    /// What one header says, beside how it is written.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Said {
        Absent,
        /// The tag, or its date.
        Same,
        /// The tag, but weak.
        Weak,
        Any,
        Earlier,
        Later,
        /// Another tag.
        Other,
        Garbage,
    }

    impl Said {
        fn value(self) -> Option<&'static str> {
            match self {
                Self::Absent => None,
                Self::Same => Some("\"y\", TAG"),
                Self::Weak => Some("W/TAG"),
                Self::Any => Some("*"),
                Self::Earlier => Some(EARLIER),
                Self::Later => Some(LATER),
                Self::Other => Some("\"x\", W/\"y\""),
                Self::Garbage => Some("TAG\""),
            }
        }
    }

    fn tags() -> impl Strategy<Value = Said> {
        use Said::{Absent, Any, Garbage, Other, Same, Weak};
        prop::sample::select(vec![Absent, Same, Weak, Any, Other, Garbage])
    }

    fn dates() -> impl Strategy<Value = Said> {
        use Said::{Absent, Earlier, Garbage, Later, Same};
        prop::sample::select(vec![Absent, Same, Earlier, Later, Garbage])
    }

    fn date_value(said: Said) -> Option<&'static str> {
        if said == Said::Same {
            Some(SAME)
        } else {
            said.value()
        }
    }

    /// RFC 9110 §13.2.2, its five steps one after the other.
    fn by_the_book(
        [if_match, unmodified, if_none_match, modified, if_range]: [Said; 5],
        is_outside: bool,
    ) -> Verdict {
        use Said::{Absent, Any, Earlier, Later, Same, Weak};
        let is_412 = if if_match == Absent {
            unmodified == Earlier
        } else {
            !matches!(if_match, Same | Any)
        };
        let is_304 = if if_none_match == Absent {
            matches!(modified, Same | Later)
        } else {
            matches!(if_none_match, Same | Weak | Any)
        };
        let is_range_wanted = matches!(if_range, Absent | Same);
        match (is_412, is_304, is_outside && is_range_wanted) {
            (true, _, _) => Verdict::Failed,
            (_, true, _) => Verdict::NotModified,
            (_, _, true) => Verdict::OutOfRange,
            _ => Verdict::Proceed,
        }
    }

    /// A moment as the three forms of RFC 9110 §5.6.7, by counting days.
    fn forms(seconds: u64) -> [String; 3] {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
        let is_leap = |year: u64| {
            (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
        };
        let (mut year, mut day) = (1970, days);
        while day >= 365 + u64::from(is_leap(year)) {
            day -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let february = 28 + u64::from(is_leap(year));
        let months = [
            ("Jan", 31),
            ("Feb", february),
            ("Mar", 31),
            ("Apr", 30),
            ("May", 31),
            ("Jun", 30),
            ("Jul", 31),
            ("Aug", 31),
            ("Sep", 30),
            ("Oct", 31),
            ("Nov", 30),
            ("Dec", 31),
        ];
        let mut months = months.into_iter();
        let month = loop {
            let (name, length) = months.next().unwrap();
            if day < length {
                break name;
            }
            day -= length;
        };
        let day = day + 1;
        let weekdays = [
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
            "Monday",
            "Tuesday",
            "Wednesday",
        ];
        let weekday = weekdays[usize::try_from(days % 7).unwrap()];
        let short = &weekday[..3];
        [
            format!("{short}, {day:02} {month} {year} {time} GMT"),
            format!("{weekday}, {day:02}-{month}-{:02} {time} GMT", year % 100),
            format!("{short} {month} {day:2} {time} {year}"),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_conditions_come_to_what_the_book_says(
            if_match in tags(),
            unmodified in dates(),
            if_none_match in tags(),
            modified in dates(),
            if_range in tags().prop_filter("one tag", |said| !matches!(said, Said::Any | Said::Other)),
            is_outside: bool,
        ) {
            let range = if is_outside { "bytes=10-" } else { "bytes=9-" };
            let if_range_value = if if_range == Said::Same { Some("TAG") } else { if_range.value() };
            let headers: Vec<_> = [
                ("If-Match", if_match.value()),
                ("If-Unmodified-Since", date_value(unmodified)),
                ("If-None-Match", if_none_match.value()),
                ("If-Modified-Since", date_value(modified)),
                ("If-Range", if_range_value),
                ("Range", Some(range)),
            ].into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let said = [if_match, unmodified, if_none_match, modified, if_range];
            prop_assert_eq!(judged(&headers), by_the_book(said, is_outside), "{:?}", headers);
        }

        #[test]
        fn any_date_in_any_of_its_forms_counts_by_its_second(
            // From 1973 to 2068: two digits of a year mean no other.
            apart in prop_oneof![-2..=2_i64, -1_600_000_000..=1_400_000_000_i64],
            form in 0..3_usize,
        ) {
            let seconds = 1_700_000_000_u64.checked_add_signed(apart).unwrap();
            let date = &forms(seconds)[form];
            let expected = if apart >= 0 { Verdict::NotModified } else { Verdict::Proceed };
            prop_assert_eq!(judged(&[("If-Modified-Since", date)]), expected, "{}", date);
            let expected = if apart >= 0 { Verdict::Proceed } else { Verdict::Failed };
            prop_assert_eq!(judged(&[("If-Unmodified-Since", date)]), expected, "{}", date);
        }
    }
}
