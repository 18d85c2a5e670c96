//! Range requests (RFC 9110 §14): what the sidecar must know of them before nginx cuts the bytes.

use std::ops::Range;

/// What a Range header asks for, of a file of a known length.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The header does not narrow anything: another unit, or more than one range.
    Whole,
    /// One range, as half-open bounds within the file.
    Part(Range<u64>),
    /// Nothing that the file has, or nothing that can be read.
    Nothing,
}

/// Reads a Range header as nginx does: a malformed one of our unit is not satisfiable.
pub(super) fn wanted(header: &str, length: u64) -> Wanted {
    let Some((unit, specs)) = header.split_once('=') else {
        return Wanted::Nothing;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    for spec in specs.split(',') {
        match part(spec.trim(), length) {
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

/// Digits and nothing else; a number beyond all files is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_cut_to_the_file() {
        for (header, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-1", 0..2),
            ("bytes=5-", 5..10),
            ("bytes=-3", 7..10),
            ("bytes=-300", 0..10),
            ("Bytes = 2-99999999999999999999999", 2..10),
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
}
