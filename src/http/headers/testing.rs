//! Heads for the tests of this room.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// Makes a head of these fields.
pub(in crate::http) fn head(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}
