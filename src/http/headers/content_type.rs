//! The Content-Type of requests.

use actix_web::http::header::{self, HeaderMap, HeaderValue};

use super::HeadError;
use crate::file::MediaType;
use crate::intake::ClaimedType;

/// The type of a form, without its boundary (RFC 7578).
const FORM: &[u8] = b"multipart/form-data";

/// The longest boundary (RFC 2046 §5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The type that a request claims. Two fields make one list, which is not a type.
pub(in crate::http) fn claimed(headers: &HeaderMap) -> ClaimedType {
    let said: Vec<_> = values(headers).collect();
    ClaimedType::read(Some(&said.join(&b", "[..])))
}

fn values(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(header::CONTENT_TYPE);
    values.map(HeaderValue::as_bytes)
}

/// Whether a request says that its body is JSON.
pub(in crate::http) fn is_json(headers: &HeaderMap) -> bool {
    is_of(headers, "application/json")
}

/// Whether a request says that its body is of this type, with any parameters.
pub(in crate::http) fn is_of(headers: &HeaderMap, essence: &str) -> bool {
    let claimed = claimed(headers);
    let claimed = claimed.media_type();
    claimed.is_some_and(|claimed| claimed.essence() == essence)
}

/// Whether the body of a request is a form, even if the form cannot be read. It stays one if another type
/// stands beside it, before or after a comma or in another field.
pub(in crate::http) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = values(headers).flat_map(|value| value.split(|&byte| byte == b','));
    types.any(is_of_form)
}

/// Whether a type is that of a form, even with a wrong character around it.
fn is_of_form(text: &[u8]) -> bool {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_begin = |byte: &u8| is_of_token(byte) || *byte == b',';
    let begin = text.iter().position(is_begin).unwrap_or_default();
    let essence = text.get(begin..).unwrap_or_default();
    let named = essence.get(..FORM.len()).unwrap_or_default();
    named.eq_ignore_ascii_case(FORM) && !essence.get(FORM.len()).is_some_and(is_of_token)
}

/// The boundary between the parts of a form, if a request's body is one.
///
/// # Errors
/// When a form has no boundary, or one that RFC 2046 does not allow, or is claimed to be something else too.
pub(in crate::http) fn boundary(headers: &HeaderMap) -> Result<Option<Vec<u8>>, HeadError> {
    if !is_form(headers) {
        return Ok(None);
    }
    let mut values = values(headers);
    match (values.next(), values.next()) {
        (Some(value), None) if is_of_form(value) => boundary_of(value).map(Some),
        _ => Err(HeadError::Form("Content-Type names more than one type.")),
    }
}

/// The type of a form with this boundary.
pub(in crate::http) fn of_form(boundary: &[u8]) -> ClaimedType {
    let parameter = [b"; boundary=\"", boundary, b"\""].concat();
    ClaimedType::read(Some(&[FORM, &parameter].concat()))
}

/// The boundary in a type, if it is that of a form ([`of_form`]).
pub(in crate::http) fn boundary_in(form: &MediaType) -> Option<Vec<u8>> {
    let is_form = form.essence().as_bytes() == FORM;
    let boundary = form.parameter("boundary").filter(|_| is_form);
    boundary.map(String::into_bytes)
}

/// The boundary in the type of a form. Many clients omit the quotes that its characters need.
fn boundary_of(value: &[u8]) -> Result<Vec<u8>, HeadError> {
    let found = parameter(value, "boundary").filter(|boundary| {
        let is_allowed = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\"\\;".contains(byte);
        (1..=LONGEST_BOUNDARY).contains(&boundary.len())
            && boundary.iter().all(is_allowed)
            && !boundary.ends_with(b" ")
    });
    found.ok_or(HeadError::Form("Content-Type names no valid boundary."))
}

/// The first parameter of this name.
fn parameter(value: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut rest = value.get(memchr::memchr(b';', value)?..)?;
    while let Some(text) = rest.strip_prefix(b";").map(<[u8]>::trim_ascii_start) {
        let end = memchr::memchr2(b'=', b';', text)?;
        let (name, value) = text.split_at(end);
        let Some(value) = value.strip_prefix(b"=") else {
            rest = value;
            continue;
        };
        let (value, behind) = if let Some(quoted) = value.strip_prefix(b"\"") {
            // No boundary holds a quote or a backslash.
            let (value, behind) = quoted.split_at(memchr::memchr(b'"', quoted)?);
            let semicolon = memchr::memchr(b';', behind);
            (
                value,
                semicolon
                    .and_then(|at| behind.get(at..))
                    .unwrap_or_default(),
            )
        } else {
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            let (value, behind) = value.split_at(end);
            (value.trim_ascii_end(), behind)
        };
        if name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value.to_vec());
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_bytes(value).unwrap(),
        );
        headers
    }

    #[test]
    fn boundaries_are_read_with_and_without_quotes() {
        for (value, expected) in [
            ("multipart/form-data; boundary=b", "b"),
            ("Multipart/Form-Data;BOUNDARY=b", "b"),
            ("multipart/form-data; charset=utf-8; boundary=b; x=y", "b"),
            (
                "multipart/form-data; boundary=----=_Part_1/2:3 ; x",
                "----=_Part_1/2:3",
            ),
            ("multipart/form-data; boundary=\"a b;c\"", ""),
            (
                "multipart/form-data; x=\"; boundary=c\"; boundary=\"a b\"",
                "a b",
            ),
            ("multipart/form-data; boundary=b; boundary=c", "b"),
            ("multipart/form-data", ""),
            ("multipart/form-data, boundary=b", ""),
            ("multipart/form-data boundary=b", ""),
            ("multipart/form-data:boundary=b", ""),
            ("multipart/form-data/b; boundary=b", "b"),
            ("\"multipart/form-data\"; boundary=b", "b"),
            ("multipart/form-data; boundary", ""),
            ("multipart/form-data; boundary=", ""),
            ("multipart/form-data; boundary=\"b", ""),
            ("multipart/form-data; boundary=\"b \"", ""),
            (
                &format!("multipart/form-data; boundary={}", "b".repeat(71)),
                "",
            ),
        ] {
            let headers = typed(value.as_bytes());
            assert!(is_form(&headers), "{value}");
            let read = boundary(&headers);
            if expected.is_empty() {
                assert!(read.is_err(), "{value}: {read:?}");
            } else {
                assert_eq!(read.unwrap().unwrap(), expected.as_bytes(), "{value}");
            }
        }
        for value in [
            "multipart/form-datax",
            "multipart/form-data+b; boundary=b",
            "a=multipart/form-data; boundary=b",
            "multipart/mixed; boundary=b",
            "text/plain",
            "",
        ] {
            assert!(
                boundary(&typed(value.as_bytes())).unwrap().is_none(),
                "{value}"
            );
        }
    }

    #[test]
    fn a_boundary_is_found_again_in_the_type_that_is_kept() {
        for boundary in [&b"b"[..], b"----=_Part_1/2:3", b"a b", &[b'\''; 70]] {
            let kept = of_form(boundary);
            let kept = kept.media_type().unwrap();
            assert_eq!(boundary_in(kept).unwrap(), boundary);
        }
        let other = MediaType::parse("text/plain; boundary=b").unwrap();
        assert_eq!(boundary_in(&other), None);
    }

    #[test]
    fn a_form_that_is_said_to_be_something_else_too_is_no_file() {
        let form = "multipart/form-data; boundary=b";
        for values in [
            &["text/plain", form][..],
            &[form, "text/plain"],
            &[form, form],
            &["text/plain, multipart/form-data; boundary=b"],
            &[",multipart/form-data;boundary=b"],
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_str(value).unwrap();
                headers.append(header::CONTENT_TYPE, value);
            }
            assert!(is_form(&headers), "{values:?}");
            assert!(boundary(&headers).is_err(), "{values:?}");
        }
        let mut headers = typed(b"image/png");
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        assert!(boundary(&headers).unwrap().is_none());
        let shown = || MediaType::parse("image/gif").unwrap();
        let (kept_as, beside) = claimed(&headers).or_shown(shown);
        assert_eq!(kept_as.as_str(), "image/gif");
        assert_eq!(beside.as_deref(), Some("image/png, text/html"));
    }
}
