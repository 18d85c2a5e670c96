//! Moving promises into the store, at a pace that the store can bear.
//!
//! The journal on disk is the truth; the queue in memory is made from it at each start, and follows the
//! journal's announcements from then on ([`Commits::hear`]). An outage of the store is no entry's fault:
//! all entries wait, and no attempt is counted. Only an error in which the store speaks of itself, or a
//! failed ping, counts as an outage; any other failure is the entry's own. Each success ends an outage.
//! This room must never know what the store is made of, nor who uploads.

mod attempt;
mod backlog;
pub(crate) mod backoff;
mod commits;
mod committer;
mod group;
mod handed_out;
mod health;
mod limiter;
mod missed;
mod pace;
mod tally;
mod throttle;
mod traffic;
mod undo;
mod waiters;

use std::sync::Arc;

use crate::config::CommitConfig;
use crate::journal::Journal;
use crate::linking::Links;
use crate::store::Store;

pub use commits::{CommitFigures, Commits};
pub use health::{StoreStanding, StoreState};
pub use traffic::Traffic;
pub use waiters::CommitWait;

/// The parts that a commit needs. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    /// Holds the promises.
    pub journal: Arc<Journal>,
    /// Receives them.
    pub store: Arc<dyn Store>,
    /// Takes links of messages away.
    pub links: Arc<Links>,
    /// The due, running and waiting commits.
    pub commits: Arc<Commits>,
    /// The bounds on commits at once, and the pauses before repeated attempts.
    pub config: CommitConfig,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Committer").finish_non_exhaustive()
    }
}
