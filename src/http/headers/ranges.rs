//! Range requests (RFC 9110 §14), as far as they matter before nginx cuts the bytes.

use std::ops::Range;

/// The part of a file of a known length that a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum Wanted {
    /// The whole file: the unit is unknown, or there is more than one range.
    Whole,
    /// One range, as half-open bounds within the file.
    Part(Range<u64>),
    /// The range is outside the file, or malformed.
    Nothing,
}

/// Reads a Range field as nginx does: a malformed range of bytes is not satisfiable.
pub(in crate::http) fn wanted(header: &str, length: u64) -> Wanted {
    let Some((unit, specs)) = header.split_once('=') else {
        return Wanted::Nothing;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    for spec in specs.split(',') {
        match part(spec.trim_matches(' '), length) {
            Some(range) if range.is_empty() => {}
            Some(range) => parts.push(range),
            None => return Wanted::Nothing,
        }
    }
    match <[Range<u64>; 1]>::try_from(parts) {
        Ok([range]) => Wanted::Part(range),
        Err(parts) if parts.is_empty() => Wanted::Nothing,
        Err(_) => Wanted::Whole,
    }
}

/// One range-spec; empty if the file has nothing there, `None` if it is malformed.
fn part(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => Some(length.saturating_sub(suffix)..length),
        (Some(first), None) if last.is_empty() => Some(first.min(length)..length),
        (Some(first), Some(last)) if first <= last => {
            Some(first.min(length)..last.saturating_add(1).min(length))
        }
        _ => None,
    }
}

/// The largest number that nginx accepts in a range. A range with a larger one is not satisfiable.
const LAST_OF_NGINX: u64 = i64::MAX.cast_unsigned();

/// Digits and nothing else.
fn number(digits: &str) -> Option<u64> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| digits.parse().ok()).flatten();
    number.filter(|number| *number <= LAST_OF_NGINX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn single_ranges_are_cut_to_the_file() {
        for (header, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-1", 0..2),
            ("bytes=5-", 5..10),
            ("bytes=-3", 7..10),
            ("bytes=-300", 0..10),
            ("Bytes = 2-9223372036854775807", 2..10),
            ("bytes=20-30,4-5", 4..6),
        ] {
            assert_eq!(wanted(header, 10), Wanted::Part(range), "{header}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_nothing() {
        for header in [
            "bytes=10-",
            "bytes=10-11",
            "bytes=-0",
            "bytes=99999999999999999999-",
            "bytes=20-30,40-",
        ] {
            assert_eq!(wanted(header, 10), Wanted::Nothing, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for header in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=1-2,",
            "bytes=+1-2",
            "bytes=\t1-2",
            "bytes=1-9223372036854775808",
            "bytes=-9223372036854775808",
        ] {
            assert_eq!(wanted(header, 10), Wanted::Nothing, "{header}");
        }
    }

    #[test]
    fn other_units_and_several_ranges_mean_the_whole_file() {
        for header in ["items=0-1", "bytes=0-1,3-4"] {
            assert_eq!(wanted(header, 10), Wanted::Whole, "{header}");
        }
    }

    /// One range-spec: as text, and as bounds of which either may be missing. `None` if it is none.
    fn spec() -> impl Strategy<Value = (String, Option<[Option<u64>; 2]>)> {
        let number = prop_oneof![0..30_u64, Just(LAST_OF_NGINX)];
        let bounds = [
            proptest::option::of(number.clone()),
            proptest::option::of(number),
        ];
        let told = |[first, last]: [Option<u64>; 2]| {
            let text = |bound: Option<u64>| bound.map_or(String::new(), |bound| bound.to_string());
            let is_valid = match (first, last) {
                (None, None) => false,
                (Some(first), Some(last)) => first <= last,
                _ => true,
            };
            let spec = format!("{}-{}", text(first), text(last));
            (spec, is_valid.then_some([first, last]))
        };
        prop_oneof![
            9 => bounds.prop_map(told),
            1 => prop::sample::select(vec![
                "", " ", "0", "x", "+1-2", "1-+2", "0x1-2", "1-2-3", "--1", "1--", "\t0-1", "0-1\t",
                "9223372036854775808-", "0-9223372036854775808", "-99999999999999999999",
            ])
                .prop_map(str::to_owned)
                .prop_map(|text| (text, None)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_ranges_are_what_counting_every_byte_gives(
            length in 0..25_u64,
            specs in proptest::collection::vec(spec(), 1..4),
            space in " {0,2}",
        ) {
            let texts: Vec<_> = specs.iter().map(|(text, _)| format!("{space}{text}{space}")).collect();
            let header = format!("bytes={}", texts.join(","));
            let bytes_of = |[first, last]: [Option<u64>; 2]| -> Vec<u64> {
                let is_wanted = |byte: &u64| match (first, last) {
                    (None, Some(last)) => length - byte <= last,
                    _ => *byte >= first.unwrap() && last.is_none_or(|last| *byte <= last),
                };
                (0..length).filter(is_wanted).collect()
            };
            let parts: Option<Vec<_>> = specs.iter().map(|(_, bounds)| bounds.map(bytes_of)).collect();
            let mut parts = parts.unwrap_or_default();
            parts.retain(|part| !part.is_empty());
            let expected = match parts.as_slice() {
                [] => Wanted::Nothing,
                [part] => Wanted::Part(part[0]..part[part.len() - 1] + 1),
                _ => Wanted::Whole,
            };
            prop_assert_eq!(wanted(&header, length), expected, "{}", header);
        }

        #[test]
        fn any_text_gives_bounds_within_the_file(text in proptest::collection::vec(prop::sample::select(&b"-0123456789,, =	+x"[..]), 0..16), length: u64) {
            let header = format!("bytes={}", String::from_utf8(text).unwrap());
            if let Wanted::Part(range) = wanted(&header, length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
