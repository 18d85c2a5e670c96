//! Digest fields (RFC 9530): those of uploads are checked before the promise, and those of committed files
//! are sent.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::HeadError;
use crate::file::{Sha512, WholeDigests};
use crate::intake::StatedDigests;
use crate::store;

/// The digest of a message's bytes, and that of a file. An upload is one whole file without a coding, so both
/// are of the same bytes. For a form, both are of the whole body.
const HEADERS: [&str; 2] = ["content-digest", "repr-digest"];

/// The digest of a whole file. It is the same for every part that an answer carries (RFC 9530 §3).
pub(in crate::http) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Reads the digests that an upload states. Algorithms other than these two are skipped, as RFC 9530 §6.2
/// asks.
///
/// # Errors
/// When a field is there and malformed: a check that was asked for must not be left out.
pub(in crate::http) fn read(headers: &HeaderMap) -> Result<StatedDigests, HeadError> {
    of(headers, &HEADERS)
}

/// Reads the digests of the body of this request alone.
///
/// # Errors
/// As [`read`].
pub(in crate::http) fn of_content(headers: &HeaderMap) -> Result<StatedDigests, HeadError> {
    let [content, _] = HEADERS;
    of(headers, &[content])
}

/// Reads the digests of a whole upload, of which the body may be a piece.
///
/// # Errors
/// As [`read`]; when there are several of one algorithm.
pub(in crate::http) fn of_whole(headers: &HeaderMap) -> Result<WholeDigests, HeadError> {
    let [_, whole] = HEADERS;
    let stated = of(headers, &[whole])?;
    Ok(WholeDigests {
        sha256: only(&stated.sha256)?.map(store::Sha256),
        sha512: only(&stated.sha512)?.map(Sha512),
    })
}

fn only<const N: usize>(stated: &[Vec<u8>]) -> Result<Option<[u8; N]>, HeadError> {
    match stated {
        [] => Ok(None),
        [digest] => {
            let digest = digest.as_slice().try_into();
            digest.map(Some).map_err(|_| HeadError::Digest)
        }
        _ => Err(HeadError::Digest),
    }
}

fn of(headers: &HeaderMap, names: &[&str]) -> Result<StatedDigests, HeadError> {
    let mut stated = StatedDigests::default();
    for name in names {
        for value in headers.get_all(*name) {
            add(&mut stated, value).ok_or(HeadError::Digest)?;
        }
    }
    Ok(stated)
}

fn add(stated: &mut StatedDigests, value: &HeaderValue) -> Option<()> {
    let digests: Dictionary = Parser::new(value.as_bytes()).parse().ok()?;
    for (algorithm, digest) in digests {
        let known = match algorithm.as_str() {
            "sha-256" => &mut stated.sha256,
            "sha-512" => &mut stated.sha512,
            _ => continue,
        };
        let ListEntry::Item(item) = digest else {
            return None;
        };
        let BareItem::ByteSequence(bytes) = item.bare_item else {
            return None;
        };
        known.push(bytes);
    }
    Some(())
}

/// The value of Repr-Digest. It is sent without being asked for, as RFC 9530 §4 allows.
pub(in crate::http) fn of_file(sha256: store::Sha256) -> String {
    let encoded = STANDARD.encode(sha256.0);
    format!("sha-256=:{encoded}:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::testing::head;
    use crate::intake::IntakeError;
    use crate::spool::Received;

    const HELLO_256: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    const HELLO_512: &str = "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:";
    const EMPTY_256: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

    fn claimed(headers: &[(&'static str, &str)]) -> Result<StatedDigests, HeadError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        read(&map)
    }

    fn check(
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Option<store::Sha256>, IntakeError> {
        let stated = claimed(headers).unwrap();
        stated.check(Received::Inline(body))
    }

    #[test]
    fn every_digest_that_is_claimed_must_be_right() {
        let (content, repr) = ("content-digest", "repr-digest");
        for headers in [
            &[(content, HELLO_256)][..],
            &[(repr, HELLO_512)],
            &[(content, HELLO_256), (repr, HELLO_512)],
            &[(content, "md5=:AAAA:, unknown=1")],
            &[],
        ] {
            assert!(check(headers, b"hello").is_ok(), "{headers:?}");
        }
        let both = format!("{EMPTY_256}, {HELLO_512}");
        for headers in [
            &[(content, EMPTY_256)][..],
            &[(content, &both)],
            &[(content, HELLO_256), (repr, EMPTY_256)],
            &[(content, HELLO_256), (content, EMPTY_256)],
            &[(content, "sha-256=:AAAA:")],
        ] {
            let refused = check(headers, b"hello").unwrap_err();
            assert!(matches!(refused, IntakeError::DigestMismatch), "{refused}");
        }
    }

    #[test]
    fn a_claim_that_cannot_be_read_is_refused() {
        for value in [
            "sha-256=LPJN",
            "sha-256",
            "sha-256=\"a\"",
            "sha-256=(:AAAA:)",
            "=",
        ] {
            assert!(claimed(&[("repr-digest", value)]).is_err(), "{value}");
        }
    }

    #[test]
    fn the_digests_of_a_whole_upload_are_one_of_each_algorithm() {
        let (content, repr) = ("content-digest", "repr-digest");
        let of = |fields: &[(&str, &str)]| of_whole(&head(fields));
        assert_eq!(of(&[(content, HELLO_256)]), Ok(WholeDigests::default()));
        let sha256 = of(&[(repr, HELLO_256)]).unwrap();
        assert!(sha256.sha256.is_some() && sha256.sha512.is_none());
        let sha512 = of(&[(repr, HELLO_512)]).unwrap();
        assert!(sha512.sha256.is_none() && sha512.sha512.is_some());
        let both = format!("{HELLO_256}, {HELLO_512}");
        let of_both = of(&[(repr, &both)]).unwrap();
        assert!(of_both.sha256.is_some() && of_both.sha512.is_some());
        assert_eq!(of(&[(repr, "unknown=1")]), Ok(WholeDigests::default()));
        for value in ["sha-512=:AAAA:", "sha-256=:AAAA:"] {
            assert_eq!(of(&[(repr, value)]), Err(HeadError::Digest), "{value}");
        }
        let read = of_content(&head(&[(content, HELLO_256), (repr, HELLO_512)]));
        assert_eq!(read.unwrap().sha512.len(), 0);
    }

    #[test]
    fn no_body_is_an_empty_one() {
        let empty = claimed(&[("content-digest", EMPTY_256)]).unwrap();
        assert!(empty.check(Received::Inline(&[])).is_ok());
        let hello = claimed(&[("content-digest", HELLO_256)]).unwrap();
        assert!(hello.check(Received::Inline(&[])).is_err());
    }
}
