//! The fingerprint of a request, by which it is recognised when it comes again.

use crate::journal::record::{KeyedRequest, LogTime, Subject};
use crate::store::Sha256;

/// A keyed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The digest of its key and its sender.
    pub key: Sha256,
    /// The digest of its content.
    pub content: Sha256,
    /// The sender of the request: its answers are counted together.
    pub sender: Subject,
}

impl Fingerprint {
    /// The request as a base stores it, answered at this time of the log.
    pub fn answered(self, at: LogTime) -> KeyedRequest {
        let Self {
            key,
            content,
            sender,
        } = self;
        KeyedRequest {
            key,
            content,
            sender,
            at,
        }
    }

    /// Whether an answer belongs to this request, and not to another one with its key.
    pub fn is_answered_by(self, answered: &KeyedRequest) -> bool {
        (self.key, self.content) == (answered.key, answered.content)
    }
}
