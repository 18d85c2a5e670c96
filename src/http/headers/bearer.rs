//! The token of a request (RFC 6750).

use actix_web::http::header::{self, HeaderMap};

use super::HeadError;

/// The token of a request: in `Authorization: Bearer`, or else in the query as `token`.
///
/// # Errors
/// When there is more than one.
pub(in crate::http) fn token<'a>(
    headers: &'a HeaderMap,
    target: &'a str,
) -> Result<Option<&'a str>, HeadError> {
    let in_header = headers.get_all(header::AUTHORIZATION).filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let in_query = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("token="));
    let mut tokens = in_header.chain(in_query);
    match (tokens.next(), tokens.next()) {
        (Some(_), Some(_)) => Err(HeadError::ManyTokens),
        (token, _) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(values: &[&'static str], target: &str) -> Result<Option<String>, HeadError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        token(&headers, target).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn a_token_comes_in_the_header_or_in_the_query_and_once() {
        let files = "/files/a";
        assert_eq!(read(&[], files), Ok(None));
        assert_eq!(read(&["Basic dTpw"], files), Ok(None));
        for scheme in ["Bearer t", "bearer t", "BEARER  t "] {
            assert_eq!(read(&[scheme], files), Ok(Some("t".to_owned())), "{scheme}");
        }
        assert_eq!(
            read(&["Basic dTpw", "Bearer t"], files),
            Ok(Some("t".to_owned()))
        );
        assert_eq!(read(&[], "/files/a?x=1&token=t"), Ok(Some("t".to_owned())));
        assert_eq!(read(&[], "/files/token=t?atoken=t"), Ok(None));
        for (values, target) in [
            (&["Bearer t", "Bearer t"][..], files),
            (&["Bearer t"], "/files/a?token=t"),
            (&[], "/files/a?token=t&token=t"),
        ] {
            let many = Err(HeadError::ManyTokens);
            assert_eq!(read(values, target), many, "{values:?} {target}");
        }
    }
}
