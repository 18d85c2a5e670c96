//! Why something is no message.

use super::{MOST_PACKAGE_BYTES, MOST_PARTS, MOST_RECEIVERS};

/// Why something is no message. The text is for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A field is not what it has to be.
    #[error("`{field}` cannot be read: {reason}")]
    Unreadable {
        /// Its name.
        field: &'static str,
        /// The reason, of bounded length.
        reason: String,
    },
    /// It is for nobody.
    #[error("a message needs a receiver: `to`")]
    NoReceiver,
    /// It is for too many.
    #[error("a message has at most {MOST_RECEIVERS} receivers")]
    TooManyReceivers,
    /// It has neither a package nor a part.
    #[error("a message needs a `message`, or a part")]
    Empty,
    /// Its package is too long.
    #[error("`message` has at most {MOST_PACKAGE_BYTES} bytes")]
    PackageTooLong,
    /// Its texts are too long.
    #[error("the texts of a message are too long")]
    TextTooLong,
    /// Its package says that it is JSON, and is not.
    #[error("`message` is not the JSON that its type says it is")]
    NotJson,
    /// It has too many parts.
    #[error("a message has at most {MOST_PARTS} parts")]
    TooManyParts,
    /// `parts` speaks of more files than there are in the form.
    #[error("`parts` speaks of more files than the form has")]
    NoSuchFile,
}

/// Characters of a reason, at most: a parser may quote what it was given.
const REASON_CHARACTERS: usize = 200;

impl MessageError {
    /// A field that cannot be read, with the reason.
    pub fn unreadable(field: &'static str, reason: impl std::fmt::Display) -> Self {
        let reason = reason.to_string().chars().take(REASON_CHARACTERS).collect();
        Self::Unreadable { field, reason }
    }
}
