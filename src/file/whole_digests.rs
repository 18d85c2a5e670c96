//! The digests that a sender states for a whole upload.

use std::fmt;

use super::{Sha256, hex};

/// A sha-512 digest (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha512(pub [u8; 64]);

/// The digests of a whole upload, as far as its sender states them. All of them must be right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WholeDigests {
    /// Its SHA-256.
    pub sha256: Option<Sha256>,
    /// Its SHA-512.
    pub sha512: Option<Sha512>,
}

impl fmt::Debug for Sha512 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}
