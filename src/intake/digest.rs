//! Digests: those that a sender states for a body, which are checked before the promise, and those that
//! identify senders and requests.

use std::io;

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::IntakeError;
use crate::file::{self, WholeDigests, Window};
use crate::spool::Received;
use crate::store;

/// Bytes that are hashed at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// The digests that a sender states for a body. All of them must be right.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StatedDigests {
    /// SHA-1 digests.
    pub sha1: Vec<Vec<u8>>,
    /// SHA-256 digests.
    pub sha256: Vec<Vec<u8>>,
    /// SHA-512 digests.
    pub sha512: Vec<Vec<u8>>,
}

impl StatedDigests {
    /// Hashes a body if the sender stated any digest, and compares. Returns the SHA-256 that the commit
    /// will check; `None` if no digest was stated. Blocks.
    ///
    /// # Errors
    /// [`IntakeError::DigestMismatch`] when a digest differs; when the body cannot be read.
    pub fn check(&self, body: Received<'_>) -> Result<Option<store::Sha256>, IntakeError> {
        if self.are_none() {
            return Ok(None);
        }
        let sha256 = of_part(body, Window::whole(body.length()))?;
        if self.sha256.iter().any(|stated| **stated != sha256.0) {
            return Err(IntakeError::DigestMismatch);
        }
        compare::<Sha512>(&self.sha512, body)?;
        compare::<Sha1>(&self.sha1, body)?;
        Ok(Some(sha256))
    }

    /// Does the same for a body that is no whole file: only the stated digests are made. Blocks.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn compare(&self, body: Received<'_>) -> Result<(), IntakeError> {
        compare::<Sha256>(&self.sha256, body)?;
        compare::<Sha512>(&self.sha512, body)?;
        compare::<Sha1>(&self.sha1, body)
    }

    /// Those of a whole, as far as exactly one of an algorithm is stated.
    pub(super) fn whole(&self) -> WholeDigests {
        WholeDigests {
            sha256: only(&self.sha256).map(store::Sha256),
            sha512: only(&self.sha512).map(file::Sha512),
        }
    }

    /// Whether the sender stated none.
    pub fn are_none(&self) -> bool {
        self.sha256.is_empty() && self.sha512.is_empty() && self.sha1.is_empty()
    }
}

fn only<const N: usize>(stated: &[Vec<u8>]) -> Option<[u8; N]> {
    let [digest] = stated else {
        return None;
    };
    digest.as_slice().try_into().ok()
}

fn compare<D: Digest>(stated: &[Vec<u8>], body: Received<'_>) -> Result<(), IntakeError> {
    if stated.is_empty() {
        return Ok(());
    }
    let digest = hash::<D>(body, Window::whole(body.length()));
    let digest = digest.map_err(IntakeError::UnreadableBody)?;
    if stated.iter().all(|stated| **stated == *digest) {
        Ok(())
    } else {
        Err(IntakeError::DigestMismatch)
    }
}

/// The sha-256 of a part of a body. Blocks.
///
/// # Errors
/// When the body cannot be read, or is shorter.
pub(super) fn of_part(body: Received<'_>, window: Window) -> Result<store::Sha256, IntakeError> {
    let sha256 = hash::<Sha256>(body, window).map_err(IntakeError::UnreadableBody)?;
    Ok(store::Sha256(sha256.into()))
}

/// The digest of a part of a body. Blocks.
///
/// # Errors
/// When the body cannot be read, or is shorter.
fn hash<D: Digest>(body: Received<'_>, window: Window) -> io::Result<sha2::digest::Output<D>> {
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

/// The digest of texts, each preceded by its length.
pub(super) fn digest_of(texts: &[&str]) -> store::Sha256 {
    let mut hasher = Sha256::new();
    for text in texts {
        add(&mut hasher, text.as_bytes());
    }
    store::Sha256(hasher.finalize().into())
}

/// Adds a text preceded by its length, so that two texts cannot run together.
pub(super) fn add(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_several_blocks_is_hashed_whole() {
        let body = vec![7; 2 * BLOCK_BYTES + 1];
        let sha256: [u8; 32] = Sha256::digest(&body).into();
        let stated = StatedDigests {
            sha256: vec![sha256.to_vec()],
            ..StatedDigests::default()
        };
        let checked = stated.check(Received::Inline(&body)).unwrap();
        assert_eq!(checked, Some(store::Sha256(sha256)));
    }

    #[test]
    fn each_algorithm_that_is_stated_is_compared() {
        let body = Received::Inline(b"hello world");
        let sha1 = Sha1::digest(b"hello world").to_vec();
        let sha512 = Sha512::digest(b"hello world").to_vec();
        let right = StatedDigests {
            sha1: vec![sha1.clone()],
            sha512: vec![sha512.clone()],
            ..StatedDigests::default()
        };
        assert!(right.compare(body).is_ok());
        assert!(right.check(body).is_ok());
        let [wrong_sha1, wrong_sha512] = [(sha512.clone(), sha512), (sha1.clone(), sha1)];
        for (sha1, sha512) in [wrong_sha1, wrong_sha512] {
            let wrong = StatedDigests {
                sha1: vec![sha1],
                sha512: vec![sha512],
                ..StatedDigests::default()
            };
            assert!(wrong.compare(body).is_err());
            assert!(wrong.check(body).is_err());
        }
        assert!(StatedDigests::default().compare(body).is_ok());
    }
}
