//! Digests (RFC 9530): of uploads, checked before the promise; of committed files, told.

use std::io;

use actix_web::HttpResponseBuilder;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

use super::Problem;
use crate::file::Window;
use crate::spool::Received;
use crate::store;

/// The digest of the bytes of a message, and that of a file. An upload here is the whole file in
/// no other coding, so both are of the same bytes; of a form both are of all of it.
const HEADERS: [&str; 2] = ["content-digest", "repr-digest"];

/// The digest of a whole file, whatever part of it an answer carries (RFC 9530 §3).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// How much is hashed at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// The digests that an upload's headers claim. Other algorithms than these two are passed over, as RFC 9530
/// §6.2 asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claimed {
    sha256: Vec<Vec<u8>>,
    sha512: Vec<Vec<u8>>,
}

impl Claimed {
    /// Reads both headers.
    ///
    /// # Errors
    /// When one is there and cannot be read: a check that was asked for must not be left out.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut claimed = Self::default();
        for name in HEADERS {
            for value in headers.get_all(name) {
                claimed.add(value).ok_or_else(Problem::bad_digest)?;
            }
        }
        Ok(claimed)
    }

    fn add(&mut self, value: &HeaderValue) -> Option<()> {
        let digests: Dictionary = Parser::new(value.as_bytes()).parse().ok()?;
        for (algorithm, digest) in digests {
            let known = match algorithm.as_str() {
                "sha-256" => &mut self.sha256,
                "sha-512" => &mut self.sha512,
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

    /// Hashes a body, if any digest was claimed, and compares. Returns what the body is held against until
    /// it is committed: its sha-256, whatever was claimed; `None` if nothing was. Blocks.
    ///
    /// # Errors
    /// `digest-mismatch` when they differ; when the body cannot be read.
    pub(super) fn check(&self, body: Received<'_>) -> Result<Option<store::Sha256>, Problem> {
        if self.sha256.is_empty() && self.sha512.is_empty() {
            return Ok(None);
        }
        let whole = Window::whole(body.length());
        let sha256 = of_part(body, whole)?;
        let mut is_right = self.sha256.iter().all(|claimed| **claimed == sha256.0);
        if is_right && !self.sha512.is_empty() {
            let sha512 = hash::<Sha512>(body, whole);
            let sha512 = sha512.map_err(|err| Problem::unreadable_body(&err))?;
            is_right = self.sha512.iter().all(|claimed| **claimed == *sha512);
        }
        if is_right {
            Ok(Some(sha256))
        } else {
            Err(Problem::digest_mismatch())
        }
    }
}

/// The sha-256 of a part of a body. Blocks.
///
/// # Errors
/// When the body cannot be read, or is shorter.
pub(super) fn of_part(body: Received<'_>, window: Window) -> Result<store::Sha256, Problem> {
    let sha256 = hash::<Sha256>(body, window).map_err(|err| Problem::unreadable_body(&err))?;
    Ok(store::Sha256(sha256.into()))
}

/// The digest of a part of a body. Blocks.
///
/// # Errors
/// When the body cannot be read, or is shorter.
pub(super) fn hash<D: Digest>(
    body: Received<'_>,
    window: Window,
) -> io::Result<sha2::digest::Output<D>> {
    let mut hasher = D::new();
    let most = usize::try_from(window.length).unwrap_or(BLOCK_BYTES);
    let mut block = vec![0; most.min(BLOCK_BYTES)];
    let (mut offset, end) = (window.offset, window.offset + window.length);
    while offset < end {
        let length = usize::try_from(end - offset).unwrap_or(BLOCK_BYTES);
        let most = block.get_mut(..length.min(BLOCK_BYTES)).unwrap_or_default();
        let read = body.read_at(most, offset)?;
        match most.get(..read) {
            None | Some([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(bytes) => hasher.update(bytes),
        }
        offset += u64::try_from(read).unwrap_or_default();
    }
    Ok(hasher.finalize())
}

/// Tells the digest of a whole file, unasked: whatever wants another algorithm has no use for it,
/// and whatever wants this one need not ask (RFC 9530 §4).
pub(super) fn insert(answer: &mut HttpResponseBuilder, sha256: Option<store::Sha256>) {
    if let Some(sha256) = sha256 {
        answer.insert_header((REPR_DIGEST, of_file(sha256)));
    }
}

/// The value of Repr-Digest.
fn of_file(sha256: store::Sha256) -> String {
    let encoded = STANDARD.encode(sha256.0);
    format!("sha-256=:{encoded}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO_256: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    const HELLO_512: &str = "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:";
    const EMPTY_256: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

    fn claimed(headers: &[(&'static str, &str)]) -> Result<Claimed, Problem> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Claimed::read(&map)
    }

    fn check(
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Option<store::Sha256>, Problem> {
        claimed(headers)?.check(Received::Passed(body))
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
            assert_eq!(refused.to_string(), "400 Bad Request digest-mismatch");
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
    fn no_body_is_an_empty_one() {
        let empty = claimed(&[("content-digest", EMPTY_256)]).unwrap();
        assert!(empty.check(Received::Passed(&[])).is_ok());
        let hello = claimed(&[("content-digest", HELLO_256)]).unwrap();
        assert!(hello.check(Received::Passed(&[])).is_err());
    }

    #[test]
    fn a_file_of_several_blocks_is_hashed_whole() {
        let body = vec![7; 2 * BLOCK_BYTES + 1];
        let sha256 = store::Sha256(Sha256::digest(&body).into());
        assert!(check(&[("repr-digest", &of_file(sha256))], &body).is_ok());
    }
}
