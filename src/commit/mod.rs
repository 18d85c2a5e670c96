//! Moving promises into the store, at a pace that the store can bear.
//!
//! The journal on disk is the truth; the queue in memory is made from it at each start. An outage of
//! the store is no entry's fault: all entries wait, and no attempt is counted. Only an error in which
//! the store speaks of itself, or a failed ping, counts as an outage; any other failure is the entry's
//! own. Each success ends an outage. This room must never know what the store is made of, nor who
//! uploads.

mod arrivals;
mod attempt;
mod backlog;
pub(crate) mod backoff;
mod committer;
mod group;
mod health;
mod pace;
mod slots;
mod tally;
mod throttle;
mod traffic;

use std::sync::Arc;

use crate::config::CommitConfig;
use crate::journal::Journal;
use crate::store::Store;

pub use arrivals::{Arrival, Arrivals};
pub use backlog::Backlog;
pub use health::{Health, StoreStanding, StoreState};
pub use slots::Slots;
pub use tally::{Tally, TallySnapshot};
pub use traffic::Traffic;

/// Everything that a commit needs. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    /// Holds the promises.
    pub journal: Arc<Journal>,
    /// Receives them.
    pub store: Arc<dyn Store>,
    /// The queue of due entries.
    pub backlog: Arc<Backlog>,
    /// Whether the store answers.
    pub health: Health,
    /// How many commits may run.
    pub slots: Arc<Slots>,
    /// Who waits for a commit.
    pub arrivals: Arc<Arrivals>,
    /// Counts for the status.
    pub tally: Arc<Tally>,
    /// How much is committed at once, and when failed attempts are repeated.
    pub config: CommitConfig,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Committer").finish_non_exhaustive()
    }
}
