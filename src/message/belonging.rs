//! The belonging of a file to messages.

use std::sync::Arc;

use super::Message;
use super::links::Reason;
use crate::file::FileId;

/// The messages that a file belongs to, and the subject that uploaded it. A plain upload without a
/// subject belongs to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belonging {
    /// The subject of the token that it was uploaded with.
    pub sub: Option<Arc<str>>,
    /// The message that it came with. A package has its own id here.
    pub message: Option<FileId>,
    /// The messages that link to it. The file is removed with the last link of a promised message.
    pub links: Vec<FileId>,
    /// Whether a promised message that linked to it was deleted while other links were there.
    pub was_linked: bool,
    /// The message, if the file is its package.
    pub package: Option<Arc<Message>>,
}

impl Belonging {
    /// Takes a link away. Returns whether the file stays.
    pub fn unlink(&mut self, message: FileId, reason: Reason) -> bool {
        self.links.retain(|link| *link != message);
        let has_others = !self.links.is_empty();
        match reason {
            Reason::Deleted => {
                self.was_linked |= has_others;
                has_others
            }
            Reason::NeverPromised => has_others || !self.was_linked,
        }
    }

    /// Returns whether only the file's messages can remove it.
    pub fn is_tied(&self) -> bool {
        self.package.is_some() || !self.links.is_empty()
    }

    /// Returns whether the file belongs to nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
