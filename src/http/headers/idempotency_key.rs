//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): an upload that is sent again
//! under its key gets the first answer again, and makes no second file.

use actix_web::http::header::HeaderMap;
use sfv::{BareItem, Item, Parser};

use super::HeadError;

const HEADER: &str = "idempotency-key";

/// The longest key that is taken, in characters.
const LONGEST_KEY: usize = 255;

/// Reads the key of an upload: a string as structured fields have it, or the bare key.
///
/// # Errors
/// When the field is there and holds no key.
pub(in crate::http) fn read(headers: &HeaderMap) -> Result<Option<String>, HeadError> {
    let mut values = headers.get_all(HEADER);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => key_of(value.as_bytes())
            .ok_or(HeadError::IdempotencyKey)
            .map(Some),
        (Some(_), Some(_)) => Err(HeadError::IdempotencyKey),
    }
}

fn key_of(value: &[u8]) -> Option<String> {
    let key = if value.starts_with(b"\"") {
        // Parameters mean nothing here.
        let item: Item = Parser::new(value).parse().ok()?;
        let BareItem::String(text) = item.bare_item else {
            return None;
        };
        text.into()
    } else {
        let is_plain = value.iter().all(u8::is_ascii_graphic);
        String::from_utf8(value.to_owned())
            .ok()
            .filter(|_| is_plain)?
    };
    (1..=LONGEST_KEY).contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn read_values(values: &[&[u8]]) -> Result<Option<String>, HeadError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                HeaderName::from_static(HEADER),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        read(&headers)
    }

    #[test]
    fn a_key_is_a_string_or_a_bare_word() {
        assert_eq!(read_values(&[]).unwrap(), None);
        for (value, key) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            ("\"a \\\"b\\\\\"", "a \"b\\"),
            ("\"a\";unknown=1", "a"),
        ] {
            assert_eq!(
                read_values(&[value.as_bytes()]).unwrap().as_deref(),
                Some(key)
            );
        }
        let longest = "k".repeat(255);
        assert!(read_values(&[longest.as_bytes()]).is_ok());
        assert!(read_values(&[format!("\"{longest}\"").as_bytes()]).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "k".repeat(256);
        let quoted = format!("\"{long}\"");
        let unreadable = ["", "\"\"", "a b", "\"a", "\"a\" b", "\"a\tb\""];
        let too_much = ["\"grüße\"", "grüße", &long, &quoted];
        for value in unreadable.into_iter().chain(too_much) {
            assert!(read_values(&[value.as_bytes()]).is_err(), "{value}");
        }
        assert!(read_values(&[b"a", b"a"]).is_err());
    }
}
