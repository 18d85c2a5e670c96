//! How a file belongs to messages.

use std::sync::Arc;

use super::Message;
use crate::file::FileId;

/// How a file belongs to messages, and to the one who uploaded it. A file that was uploaded plainly, by
/// nobody whose name is known, belongs to none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belonging {
    /// The subject of the token that it was uploaded with.
    pub sub: Option<Arc<str>>,
    /// The message that it came with: of a package, its own.
    pub message: Option<FileId>,
    /// The messages that link to it. With the last of them it goes.
    pub links: Vec<FileId>,
    /// The message that it is the package of.
    pub package: Option<Arc<Message>>,
}

impl Belonging {
    /// Whether the file goes with its messages, and not before.
    pub fn is_tied(&self) -> bool {
        self.package.is_some() || !self.links.is_empty()
    }

    /// Whether there is nothing to tell.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
