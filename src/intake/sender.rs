//! The sender of an upload: the rights from its token, and the name under which uploads are counted.

use std::io;

use super::IntakeError;
use super::digest::digest_of;
use crate::file::{MediaType, Metadata};
use crate::journal::Subject;
use crate::store::Sha256;
use crate::token::Grant;

/// The sender of an upload.
#[derive(Debug)]
pub struct Sender {
    /// The rights that the token grants.
    pub grant: Grant,
    /// The token's subject, or the address: uploads are counted under this name.
    pub subject: String,
}

impl Sender {
    /// The number under which the journal counts a sender.
    pub(super) fn number(&self) -> Subject {
        let Sha256(digest) = digest_of(&[&self.subject]);
        let first = digest.first_chunk().copied();
        Subject(u64::from_le_bytes(first.unwrap_or_default()))
    }

    /// Checks that a sender may send this type with content that shows that type. Reads the content
    /// only if it matters.
    ///
    /// # Errors
    /// When the sender may not; when the content cannot be read.
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

    /// The metadata of a file: its sender's, with the token's in preference.
    ///
    /// # Errors
    /// When it is too long in total.
    pub(super) fn forced(&self, mut metadata: Metadata) -> Result<Metadata, IntakeError> {
        for (name, text) in self.grant.metadata() {
            metadata.set(name.clone(), text.clone())?;
        }
        Ok(metadata)
    }
}
