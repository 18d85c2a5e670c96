//! `Prefer` (RFC 7240): the sender's wishes for the answer.

use actix_web::http::header::HeaderMap;

const HEADER: &str = "prefer";

/// The longest wait in seconds.
const LONGEST_WAIT_SECONDS: u64 = 60;

/// The preferences that this program follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::http) struct Preferences {
    /// Answer before all is done (RFC 7240 §4.1).
    pub(in crate::http) respond_async: bool,
    /// Wait for the commit this many seconds (RFC 7240 §4.3).
    pub(in crate::http) wait_seconds: Option<u64>,
}

impl Preferences {
    /// Reads all fields as one list. Unknown and malformed preferences are skipped. The first of two with one
    /// name counts.
    pub(in crate::http) fn read(headers: &HeaderMap) -> Self {
        let mut preferences = Self::default();
        let (mut has_async, mut has_wait) = (false, false);
        let values = headers
            .get_all(HEADER)
            .filter_map(|value| value.to_str().ok());
        for (name, value) in values.flat_map(|value| split(value, ',')).map(preference) {
            if name.eq_ignore_ascii_case("respond-async") {
                // With a value it is another, unknown preference.
                preferences.respond_async |= value.is_empty() && !has_async;
                has_async = true;
            } else if name.eq_ignore_ascii_case("wait") {
                if !has_wait {
                    preferences.wait_seconds = seconds(&value);
                }
                has_wait = true;
            }
        }
        preferences
    }
}

fn seconds(value: &str) -> Option<u64> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large to parse is longer than the longest wait.
    let seconds = || value.parse().unwrap_or(u64::MAX);
    is_number.then(|| seconds().min(LONGEST_WAIT_SECONDS))
}

/// The name of a preference and its value, without its parameters.
fn preference(text: &str) -> (&str, String) {
    let text = split(text, ';').next().unwrap_or_default();
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.trim(), word(value.trim()))
}

/// A token as it is, or the content of a quoted string.
fn word(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.to_owned();
    };
    let quoted = quoted.strip_suffix('"').unwrap_or(quoted);
    let mut chars = quoted.chars();
    let mut word = String::new();
    while let Some(char) = chars.next() {
        word.extend(if char == '\\' {
            chars.next()
        } else {
            Some(char)
        });
    }
    word
}

/// The parts of a text between separators that stand in no quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |char| {
        if is_escaped {
            is_escaped = false;
        } else if is_quoted && char == '\\' {
            is_escaped = true;
        } else if char == '"' {
            is_quoted = !is_quoted;
        }
        char == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(values: &[&str]) -> (bool, Option<u64>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                HeaderName::from_static(HEADER),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let preferences = Preferences::read(&headers);
        (preferences.respond_async, preferences.wait_seconds)
    }

    #[test]
    fn preferences_come_in_one_header_or_several_with_values_and_parameters() {
        for (values, expected) in [
            (&[][..], (false, None)),
            (&["respond-async"], (true, None)),
            (&["wait=10"], (false, Some(10))),
            (&["respond-async, wait=10"], (true, Some(10))),
            (&["wait=10", "Respond-Async"], (true, Some(10))),
            (
                &["respond-async ; foo=\"a, wait=1\" , WAIT = \"1\\0\""],
                (true, Some(10)),
            ),
            (
                &["foo=\"a\\\", respond-async\", wait=1;x;y=2"],
                (false, Some(1)),
            ),
            (&["respond-async=\"\""], (true, None)),
            (&[",, respond-async,"], (true, None)),
        ] {
            assert_eq!(read(values), expected, "{values:?}");
        }
    }

    #[test]
    fn of_a_preference_that_comes_twice_the_first_counts() {
        assert_eq!(read(&["wait=1, wait=2", "wait=3"]), (false, Some(1)));
        assert_eq!(read(&["wait=x, wait=2"]), (false, None));
    }

    #[test]
    fn what_is_unknown_or_makes_no_sense_is_passed_over() {
        for value in [
            "handling=lenient; respond-async",
            "respond-async=1",
            "respond-asynchronously",
            "wait",
            "wait=",
            "wait=-1",
            "wait=1.5",
            "wait=+1",
            "wait=\"",
            "\"respond-async\"",
            "\"wait=1",
        ] {
            assert_eq!(read(&[value]), (false, None), "{value}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_there_is_patience() {
        assert_eq!(read(&["wait=0"]).1, Some(0));
        assert_eq!(read(&["wait=61"]).1, Some(60));
        assert_eq!(read(&["wait=99999999999999999999999"]).1, Some(60));
    }
}
