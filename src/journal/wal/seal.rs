//! The checks of a segment, and their secret.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::format::{CHECK_BYTES, SALT_BYTES};

/// Binds bytes to the place and time of their write.
pub(super) type Check = [u8; CHECK_BYTES];

/// The salt of a segment, and its generation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) generation: u64,
}

/// The salt stays secret.
impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Seal")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Seal {
    /// The check of bytes at an offset of the segment, in the group of this number.
    pub(super) fn check(self, number: u64, place: usize, bytes: &[u8]) -> Check {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let hasher = Sha256::new()
            .chain_update(self.salt)
            .chain_update(self.generation.to_le_bytes())
            .chain_update(number.to_le_bytes())
            .chain_update(place.to_le_bytes())
            .chain_update(bytes);
        first_bytes(hasher)
    }
}

/// The first bytes of a digest.
pub(super) fn first_bytes(hasher: Sha256) -> Check {
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}
