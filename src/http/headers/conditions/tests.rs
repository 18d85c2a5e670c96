//! Conditions, compared with RFC 9110.

use actix_web::http::header::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::file::{Revision, UnixMillis};

const EARLIER: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const LATER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

/// Makes a head of these fields, with the sample's tag for each `TAG`.
fn head(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = value.replace("TAG", &FileMeta::sample().etag());
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(&value).unwrap(),
        );
    }
    headers
}

fn judged(fields: &[(&str, &str)]) -> Verdict {
    judge(&Method::GET, &head(fields), &FileMeta::sample())
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

#[test]
fn a_list_of_tags_is_read_past_what_is_none_and_tags_need_not_be_ascii() {
    for (list, has_tag) in [
        ("\"x,y\", TAG", true),
        ("no tag, TAG", true),
        (" ,\tTAG ,", true),
        ("\"ü\", TAG", true),
        ("TAG x", false),
        ("\"xTAG\"", false),
        ("*, \"x\"", false),
        ("", false),
    ] {
        let (kept, none) = (
            judged(&[("If-Match", list)]),
            judged(&[("If-None-Match", list)]),
        );
        let expected = if has_tag {
            (Verdict::Proceed, Verdict::NotModified)
        } else {
            (Verdict::Failed, Verdict::Proceed)
        };
        assert_eq!((kept, none), expected, "{list}");
    }
}

#[test]
fn nginx_refuses_a_date_that_is_none_and_any_that_has_passed_beside_a_tag() {
    for (headers, is_refused) in [
        (&[][..], false),
        (&[("If-Match", "*")], false),
        (&[("If-Unmodified-Since", SAME)], false),
        (&[("If-Unmodified-Since", LATER)], false),
        (&[("If-Unmodified-Since", "yesterday")], true),
        (&[("If-Unmodified-Since", EARLIER), ("If-Match", "*")], true),
    ] {
        assert_eq!(
            nginx_would_refuse(&head(headers), &FileMeta::sample()),
            is_refused,
            "{headers:?}"
        );
        let undated = FileMeta {
            uploaded: UnixMillis(0),
            revision: Some(Revision([0; 8])),
            ..FileMeta::sample()
        };
        let has_date = headers
            .iter()
            .any(|(name, _)| *name == "If-Unmodified-Since");
        assert_eq!(
            nginx_would_refuse(&head(headers), &undated),
            has_date,
            "{headers:?}"
        );
    }
}

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
        let headers = head(lines);
        assert_eq!(hold(&headers, Some(&meta)), with_file, "{lines:?}");
        assert_eq!(hold(&headers, None), without, "{lines:?}");
    }
}

/// The meaning of one header, in any spelling.
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

/// Decides by RFC 9110 §13.2.2: its five steps one after the other.
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

/// Writes a moment in the three forms of RFC 9110 §5.6.7, by counting days.
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
        // The years are 1973 to 2068, so that two digits mean only one of them.
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
