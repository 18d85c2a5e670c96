//! The reasons why a request is no message.

use super::{MOST_PACKAGE_BYTES, MOST_PARTS, MOST_RECEIVERS};

/// The reason why a request is no message. The sender gets this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A field has a wrong value.
    #[error("`{field}` cannot be read: {reason}")]
    Unreadable {
        /// Its name.
        field: &'static str,
        /// The reason, of bounded length.
        reason: String,
    },
    /// It has no receiver.
    #[error("a message needs a receiver: `to`")]
    NoReceiver,
    /// It has too many receivers.
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
    /// Its package has the type JSON, and some parsers could not read it.
    #[error("`message` is not the JSON that its type says it is: {0}")]
    NotJson(String),
    /// It has too many parts.
    #[error("a message has at most {MOST_PARTS} parts")]
    TooManyParts,
    /// `parts` names more files than the form has.
    #[error("`parts` speaks of more files than the form has")]
    NoSuchFile,
}

/// The most characters of a reason, because a parser may quote its input.
const REASON_CHARACTERS: usize = 200;

impl MessageError {
    /// Makes the error of a field that cannot be read, with the reason.
    pub fn unreadable(field: &'static str, reason: impl std::fmt::Display) -> Self {
        let reason = bounded(reason);
        Self::Unreadable { field, reason }
    }

    /// Makes the error of a package that is not JSON, with the reason.
    pub fn not_json(reason: impl std::fmt::Display) -> Self {
        Self::NotJson(bounded(reason))
    }
}

fn bounded(reason: impl std::fmt::Display) -> String {
    reason.to_string().chars().take(REASON_CHARACTERS).collect()
}
