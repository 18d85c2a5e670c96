//! The sender of an upload: the rights that a token gives, and the name that everything is counted under.

use std::io;

use super::IntakeError;
use super::digest::digest_of;
use crate::file::{MediaType, Metadata};
use crate::journal::Subject;
use crate::store::Sha256;
use crate::token::Grant;

/// Who sends an upload.
#[derive(Debug)]
pub struct Sender {
    /// The rights that the token grants.
    pub grant: Grant,
    /// The token's subject, or the address: whom uploads are counted for.
    pub subject: String,
}

impl Sender {
    /// The number by which the journal counts a sender.
    pub(super) fn number(&self) -> Subject {
        let Sha256(digest) = digest_of(&[&self.subject]);
        let first = digest.first_chunk().copied();
        Subject(u64::from_le_bytes(first.unwrap_or_default()))
    }

    /// Whether a file may be kept under this type, with the type that its content shows. Reads the
    /// content only if it matters.
    ///
    /// # Errors
    /// When it may not; when the content cannot be read.
    pub(super) fn check_type(
        &self,
        kept_as: &MediaType,
        shown: impl FnOnce() -> io::Result<MediaType>,
    ) -> Result<(), IntakeError> {
        if !self.grant.has_types() {
            return Ok(());
        }
        let shown = shown().map_err(IntakeError::DiskSilent)?;
        if self.grant.takes_type(kept_as) && self.grant.takes_content(kept_as, &shown) {
            Ok(())
        } else {
            Err(IntakeError::TypeNotAllowed)
        }
    }

    /// The metadata that is kept with a file: its sender's, and above it the token's.
    ///
    /// # Errors
    /// When all of it is more than is kept.
    pub(super) fn forced(&self, mut metadata: Metadata) -> Result<Metadata, IntakeError> {
        for (name, text) in self.grant.metadata() {
            metadata.set(name.clone(), text.clone())?;
        }
        Ok(metadata)
    }
}
