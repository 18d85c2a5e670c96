//! The sender of an upload: the rights from its token, and the name under which uploads are counted.

use std::io;
use std::sync::Arc;

use super::IntakeError;
use super::digest::digest_of;
use crate::file::{FileName, MediaType, Metadata};
use crate::journal::{Draft, Subject};
use crate::message::{ChosenName, MessageError, Party, Receivers};
use crate::store::Sha256;
use crate::token::Grant;

/// The sender of an upload.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The rights that the token grants.
    pub grant: Grant,
    /// The token's subject, or the address: uploads are counted under this name.
    pub subject: String,
}

impl Sender {
    /// The name under which the uploads of a token's subject are counted.
    pub fn name_of_sub(sub: &str) -> String {
        format!("sub {sub}")
    }

    /// The number under which the journal counts a sender.
    pub(super) fn number(&self) -> Subject {
        number_of(&self.subject)
    }

    /// The subject of the token. It is kept with each file.
    pub(super) fn sub(&self) -> Option<Arc<str>> {
        self.grant.subject().map(Into::into)
    }

    /// Describes a file of this sender, of which no digest is known yet.
    pub(super) fn draft(
        &self,
        content_type: MediaType,
        filename: Option<FileName>,
        metadata: Metadata,
    ) -> Draft {
        Draft {
            content_type,
            filename,
            metadata,
            request: None,
            subject: self.number(),
            sub: self.sub(),
            stated: None,
            sha256: None,
        }
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

    /// Returns the sender and the receivers of a message: the stated ones, as far as the token
    /// allows them, or else those of the token.
    ///
    /// # Errors
    /// An error, if the token is for another sender or for other receivers, or if there is no
    /// receiver.
    pub(super) fn parties(
        &self,
        from: Option<Party>,
        to: Option<Receivers>,
    ) -> Result<(Option<Party>, Receivers), IntakeError> {
        let from = match (from, self.grant.from()) {
            (Some(stated), Some(only)) if stated != *only => {
                return Err(IntakeError::PartyNotAllowed("from"));
            }
            (stated, only) => stated.or_else(|| only.cloned()),
        };
        let to = match (to, self.grant.to()) {
            (Some(stated), Some(only)) if !stated.iter().all(|party| only.contains(party)) => {
                return Err(IntakeError::PartyNotAllowed("to"));
            }
            (stated, only) => stated.or_else(|| only.cloned()),
        };
        Ok((from, to.ok_or(MessageError::NoReceiver)?))
    }

    /// Returns the key of a message. It is the id that the sender gave the message, in the names of
    /// the token's subject or else of the sender; or the key in the head, as for any other upload.
    ///
    /// # Errors
    /// An error, if there are two different keys.
    pub(super) fn key_of_message(
        &self,
        own: Option<&ChosenName>,
        from: Option<&Party>,
        of_head: Option<&str>,
    ) -> Result<Option<Sha256>, IntakeError> {
        let own = own.map(ChosenName::as_str);
        match (own, of_head) {
            (Some(own), Some(of_head)) if own != of_head => Err(IntakeError::TwoKeys),
            (Some(own), _) => {
                let from = || from.map_or_else(String::new, |from| format!("from {from}"));
                let namespace = self.grant.subject().map(Self::name_of_sub);
                let namespace = namespace.unwrap_or_else(from);
                Ok(Some(digest_of(&["message", &namespace, own])))
            }
            (None, Some(of_head)) => Ok(Some(digest_of(&[&self.subject, of_head]))),
            (None, None) => Ok(None),
        }
    }

    /// The metadata of a file: its sender's, with the token's in preference.
    ///
    /// # Errors
    /// When it is too long in total, or names a time without a link that cannot be kept.
    pub(super) fn forced(&self, mut metadata: Metadata) -> Result<Metadata, IntakeError> {
        for (name, text) in self.grant.metadata() {
            metadata.set(name.clone(), text.clone())?;
        }
        metadata.unlinked_seconds()?;
        Ok(metadata)
    }
}

/// The number under which the journal counts the uploads of a name.
pub(super) fn number_of(name: &str) -> Subject {
    let Sha256(digest) = digest_of(&[name]);
    let first = digest.first_chunk().copied();
    Subject(u64::from_le_bytes(first.unwrap_or_default()))
}
