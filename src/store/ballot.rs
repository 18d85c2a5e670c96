//! The vote of a witness on an idempotency key: which attempt may carry its request out.

use std::time::Duration;

use futures::future::BoxFuture;

use super::{Sha256, StoreError};
use crate::file::FileId;

/// An attempt asks a witness for its vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// The digest of the key and its sender.
    pub key: Sha256,
    /// The number of the sender: its keys are counted together.
    pub sender: u64,
    /// The attempt. The node in this id makes it, and no other attempt has the id.
    pub attempt: FileId,
    /// Attempts that are over and have promised nothing: the vote may be taken from them.
    pub replaces: Vec<FileId>,
}

/// The answer of a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// The witness has kept the attempt, and will name it to all others.
    Given,
    /// The witness itself is at work under the key, or another ballot is.
    Running,
    /// The witness has given its vote to this attempt. If that is one of its own, it may have an answer.
    Taken(FileId),
}

/// A store that votes on keys as a node does.
pub trait Witness: Send + Sync {
    /// Votes on a key. The vote is kept for this time, and survives the loss of a server.
    ///
    /// # Errors
    /// `Unavailable`: the vote may have been given.
    fn vote(&self, ballot: Ballot, lifetime: Duration) -> BoxFuture<'_, Result<Vote, StoreError>>;
}
