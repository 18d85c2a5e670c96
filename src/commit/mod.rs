//! Moving promises into the store, at a pace that the store can bear.
//!
//! The queue on disk is the truth; what is in memory here is made anew from it at each start. An
//! outage of the store is no entry's fault: everything waits, and nothing is counted as an
//! attempt. Only the store itself, or a ping, can say that there is one: any other failure is the
//! entry's own. Whatever goes well ends an outage. This room must never know what the store is made of, nor who uploads.

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
    /// Where promises are.
    pub journal: Arc<Journal>,
    /// Where they go.
    pub store: Arc<dyn Store>,
    /// What is due.
    pub backlog: Arc<Backlog>,
    /// Whether the store answers.
    pub health: Health,
    /// How many commits may run.
    pub slots: Arc<Slots>,
    /// Who waits for a commit.
    pub arrivals: Arc<Arrivals>,
    /// What was done.
    pub tally: Arc<Tally>,
    /// How much at once, and how patiently.
    pub config: CommitConfig,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Committer").finish_non_exhaustive()
    }
}
