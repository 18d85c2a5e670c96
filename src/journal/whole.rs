//! The digests of a whole upload.

use std::fs::File as OsFile;

use super::error::at;
use super::outline::{digest, hash};
use super::upload::UploadError;
use crate::file::{WholeDigests, Window};
use crate::store::Sha256;

/// Hashes a whole upload, if a digest of it is stated. Returns its SHA-256.
///
/// # Errors
/// `Digest` when it has another digest; when it cannot be read.
pub(super) fn digest_of(
    file: &OsFile,
    length: u64,
    stated: [WholeDigests; 2],
) -> Result<Option<Sha256>, UploadError> {
    if stated == <[WholeDigests; 2]>::default() {
        return Ok(None);
    }
    let whole = Window::whole(length);
    let sha256 = hash(file, whole).map_err(at("hash the body"))?;
    let mut of_256 = stated.iter().filter_map(|stated| stated.sha256);
    let mut is_right = of_256.all(|stated| stated == sha256);
    for stated in stated.iter().filter_map(|stated| stated.sha512) {
        let sha512 = digest::<sha2::Sha512>(file, whole).map_err(at("hash the body"))?;
        is_right &= stated.0[..] == sha512[..];
    }
    if is_right {
        Ok(Some(sha256))
    } else {
        Err(UploadError::Digest)
    }
}
