//! Requests for uploads that may still grow: the word in the query, and the range.
//!
//! The length of such an upload may be unknown. Then a range without an end goes on to the end of the
//! upload, and the answer names the last position that a script can count to (RFC 8673 §2.2).

use std::ops::Range;

use actix_web::http::header::{HeaderMap, IF_MATCH, IF_RANGE, RANGE};

use super::disposition::has_word;
use super::ranges::{Wanted, wanted};

/// The word in a query that asks for an upload as it grows.
const LIVE: &str = "live";

/// The positions of an upload without a known length: all whole numbers that scripts have.
pub(in crate::http) const COUNTABLE: u64 = 1 << 53;

/// Whether a query asks for an upload as it grows.
pub(in crate::http) fn is_asked(query: &str) -> bool {
    has_word(query, LIVE)
}

/// The part of an upload that a GET asks for. An upload that may still grow has no tag and no date, so
/// `If-Range` holds for none (RFC 9110 §13.1.5). Without a known length nothing is known to lie outside, and
/// a range from the end is ignored (§14.2).
pub(in crate::http) fn part(headers: &HeaderMap, declared: Option<u64>) -> Wanted {
    let range = headers
        .get(RANGE)
        .filter(|_| !headers.contains_key(IF_RANGE));
    let Some(range) = range.map(|range| range.to_str().unwrap_or_default()) else {
        return Wanted::Whole;
    };
    if let Some(length) = declared {
        return wanted(range, length);
    }
    let is_from_end = range
        .split(['=', ','])
        .any(|spec| spec.trim().starts_with('-'));
    match wanted(range, COUNTABLE) {
        Wanted::Part(range) if !is_from_end => Wanted::Part(range),
        Wanted::Part(_) | Wanted::Whole | Wanted::Nothing => Wanted::Whole,
    }
}

/// The `Content-Range` of a part; the length is `*` if it is unknown.
pub(in crate::http) fn content_range(part: &Range<u64>, declared: Option<u64>) -> String {
    let length = declared.map_or_else(|| "*".to_owned(), |length| length.to_string());
    format!(
        "bytes {}-{}/{length}",
        part.start,
        part.end.saturating_sub(1)
    )
}

/// Whether a client wants a certain state: no tag fits to an upload that may still grow (§13.1.1).
pub(in crate::http) fn wants_tag(headers: &HeaderMap) -> bool {
    let mut wanted = headers.get_all(IF_MATCH);
    wanted.any(|value| value.as_bytes().trim_ascii() != b"*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::testing::head;

    #[test]
    fn a_range_of_an_upload_without_a_length_goes_on_as_far_as_one_can_count() {
        for (range, expected) in [
            ("bytes=5-", Wanted::Part(5..COUNTABLE)),
            ("bytes=5-9", Wanted::Part(5..10)),
            ("bytes=0-9223372036854775807", Wanted::Part(0..COUNTABLE)),
            ("bytes=-5", Wanted::Whole),
            ("bytes= -5", Wanted::Whole),
            ("bytes=9007199254740992-", Wanted::Whole),
            ("bytes=1-2,4-5", Wanted::Whole),
            ("bytes=x", Wanted::Whole),
            ("items=1-", Wanted::Whole),
        ] {
            assert_eq!(part(&head(&[("range", range)]), None), expected, "{range}");
        }
        assert_eq!(
            content_range(&(5..COUNTABLE), None),
            "bytes 5-9007199254740991/*"
        );
    }

    #[test]
    fn a_range_within_the_declared_length_waits_for_its_bytes_and_one_behind_it_is_refused() {
        for (range, expected) in [
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=10-", Wanted::Nothing),
        ] {
            assert_eq!(
                part(&head(&[("range", range)]), Some(10)),
                expected,
                "{range}"
            );
        }
        assert_eq!(content_range(&(5..10), Some(10)), "bytes 5-9/10");
        assert_eq!(part(&head(&[]), Some(10)), Wanted::Whole);
    }

    #[test]
    fn no_tag_fits_to_an_upload_that_may_still_grow() {
        let tagged = head(&[("range", "bytes=5-"), ("if-range", "\"a\"")]);
        assert_eq!(part(&tagged, Some(10)), Wanted::Whole);
        assert!(wants_tag(&head(&[("if-match", "\"a\"")])));
        for fields in [&[][..], &[("if-match", "*")]] {
            assert!(!wants_tag(&head(fields)));
        }
    }

    #[test]
    fn live_is_a_word_of_its_own() {
        for query in ["live", "live=", "live=1", "token=x&live"] {
            assert!(is_asked(query), "{query}");
        }
        for query in ["", "alive", "a=live", "Live"] {
            assert!(!is_asked(query), "{query}");
        }
    }
}
