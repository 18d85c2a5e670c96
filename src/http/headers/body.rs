//! The fields in which nginx says how it hands the body of an upload over.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};

use super::{HeadError, text};
use crate::accel;
use crate::intake::SpooledName;

/// The length in a field; `None` if the field is absent or holds no number.
pub(in crate::http) fn length(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The time since the request began: its body may have come slowly.
pub(in crate::http) fn took(headers: &HeaderMap) -> Duration {
    let seconds = text(headers, accel::TOOK).parse().ok();
    let took = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    took.unwrap_or_default()
}

/// Whether the body comes with its head. nginx removes the length of a body that it spools.
pub(in crate::http) fn is_inline(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Refuses an inline body that nginx would not have passed on.
///
/// # Errors
/// When it is too long, has no length, or names a spool file too.
pub(in crate::http) fn check_inline(headers: &HeaderMap) -> Result<(), HeadError> {
    let most = u64::try_from(accel::INLINE_BODY_BYTES).unwrap_or(u64::MAX);
    let length = length(headers, header::CONTENT_LENGTH.as_str());
    let is_small = length.is_some_and(|length| length <= most);
    if is_small && !headers.contains_key(accel::BODY_FILE) {
        Ok(())
    } else {
        Err(HeadError::BodyNotPassed)
    }
}

/// The spool file of a request; `None` if it has no body, or an inline one.
///
/// # Errors
/// When nginx counted a body and named no file, or did not count it.
pub(in crate::http) fn spooled(headers: &HeaderMap) -> Result<Option<SpooledName>, HeadError> {
    let length = match headers.get(accel::BODY_LENGTH) {
        None => None,
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(length.ok_or(HeadError::BodyNotPassed)?)
        }
    };
    match headers.get(accel::BODY_FILE) {
        Some(path) => Ok(Some(SpooledName {
            path: path.as_bytes().to_owned(),
            length,
        })),
        None if length.unwrap_or(0) == 0 => Ok(None),
        None => Err(HeadError::NoBodyFile),
    }
}

/// The spool file of a body that broke off: nginx has not counted its bytes. `None` if nothing of the
/// body was written.
pub(in crate::http) fn left(headers: &HeaderMap) -> Option<SpooledName> {
    let path = headers.get(accel::BODY_FILE)?;
    Some(SpooledName {
        path: path.as_bytes().to_owned(),
        length: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::testing::head;

    #[test]
    fn a_spooled_body_has_a_file_and_a_count_and_no_body_has_neither() {
        let (file, counted) = (accel::BODY_FILE, accel::BODY_LENGTH);
        let read = |fields: &[(&str, &str)]| {
            let spooled = spooled(&head(fields))?;
            Ok(spooled.map(|name| (String::from_utf8(name.path).unwrap(), name.length)))
        };
        let named = |length| Ok(Some(("/s/0000000001".to_owned(), length)));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(counted, "0")]), Ok(None));
        assert_eq!(read(&[(file, "/s/0000000001")]), named(None));
        let both = [(file, "/s/0000000001"), (counted, "5")];
        assert_eq!(read(&both), named(Some(5)));
        assert_eq!(read(&[(counted, "5")]), Err(HeadError::NoBodyFile));
        assert_eq!(read(&[(counted, "many")]), Err(HeadError::BodyNotPassed));
    }

    #[test]
    fn a_request_takes_as_long_as_nginx_says() {
        for (value, millis) in [
            ("12.345", 12_345),
            ("0.004", 4),
            ("", 0),
            ("-1", 0),
            ("NaN", 0),
        ] {
            let took = took(&head(&[(accel::TOOK, value)]));
            assert_eq!(took, Duration::from_millis(millis), "{value}");
        }
        assert_eq!(took(&head(&[])), Duration::ZERO);
    }

    #[test]
    fn an_inline_body_is_small_and_has_no_file() {
        let longest = accel::INLINE_BODY_BYTES.to_string();
        let longer = (accel::INLINE_BODY_BYTES + 1).to_string();
        for (fields, is_taken) in [
            (&[("content-length", "0")][..], true),
            (&[("content-length", &longest)], true),
            (&[("content-length", &longer)], false),
            (&[("content-length", "many")], false),
            (&[("transfer-encoding", "chunked")], false),
            (
                &[("content-length", "1"), (accel::BODY_FILE, "/s/0000000001")],
                false,
            ),
        ] {
            let headers = head(fields);
            assert!(is_inline(&headers), "{fields:?}");
            assert_eq!(check_inline(&headers).is_ok(), is_taken, "{fields:?}");
        }
        assert!(!is_inline(&head(&[(accel::BODY_LENGTH, "1")])));
    }
}
