//! The belonging of a file to messages.

use std::sync::Arc;

use super::Message;
use crate::file::FileId;

/// The messages that a file belongs to, and the subject that uploaded it. A plain upload without a
/// subject belongs to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belonging {
    /// The subject of the token that it was uploaded with.
    pub sub: Option<Arc<str>>,
    /// The message that it came with. A package has its own id here.
    pub message: Option<FileId>,
    /// The messages that link to it. The file is removed with the last link.
    pub links: Vec<FileId>,
    /// The message, if the file is its package.
    pub package: Option<Arc<Message>>,
}

impl Belonging {
    /// Returns whether only the file's messages can remove it.
    pub fn is_tied(&self) -> bool {
        self.package.is_some() || !self.links.is_empty()
    }

    /// Returns whether the file belongs to nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
