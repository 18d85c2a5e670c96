//! By what a request is known when it comes again.

use crate::journal::record::{KeyedRequest, LogTime, Subject};
use crate::store::Sha256;

/// A request that has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The digest of its key, and of whoever sent it.
    pub key: Sha256,
    /// The digest of all that it says.
    pub content: Sha256,
    /// Whose answers it counts among.
    pub sender: Subject,
}

impl Fingerprint {
    /// The request as its answer has it, which is given at a time of the log.
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

    /// Whether an answer is to this request, and to no other with its key.
    pub fn is_answered_by(self, answered: &KeyedRequest) -> bool {
        (self.key, self.content) == (answered.key, answered.content)
    }
}
