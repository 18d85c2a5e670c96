//! The commits of a node, as other rooms see them: they announce work, ask for figures, and wait.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, Lane};
use super::health::{Health, StoreState};
use super::limiter::CommitLimiter;
use super::tally::Tally;
use super::traffic::Traffic;
use super::waiters::{CommitWait, CommitWaiters};
use crate::config::CommitConfig;
use crate::file::FileId;
use crate::journal::{Announcement, Standing};
use crate::store::Store;

/// The state of all commits. Shared by reference.
#[derive(Debug)]
pub struct Commits {
    pub(super) backlog: Arc<Backlog>,
    pub(super) health: Health,
    pub(super) limiter: Arc<CommitLimiter>,
    pub(super) waiters: Arc<CommitWaiters>,
    pub(super) tally: Tally,
}

/// The figures of one moment. Counts begin at the start.
#[derive(Debug, Clone, Serialize)]
pub struct CommitFigures {
    /// Entries that are being committed or cleared away.
    pub in_flight: usize,
    /// Commits that may run side by side at the present pace.
    pub width: usize,
    /// Whether commits give way to clients.
    pub gives_way: bool,
    /// Clients that wait for a commit.
    pub waiting: usize,
    /// Entries committed.
    pub committed_entries: u64,
    /// Their bytes.
    pub committed_bytes: u64,
    /// Entries committed in the last minute.
    pub committed_entries_last_minute: u64,
    /// Attempts that failed by the fault of the entry or of the store.
    pub failures: u64,
}

impl Commits {
    /// Nothing is committed yet.
    pub fn new(config: &CommitConfig) -> Self {
        Self {
            backlog: Arc::default(),
            health: Health::default(),
            limiter: Arc::new(CommitLimiter::new(config.commits, config.pace)),
            waiters: Arc::default(),
            tally: Tally::default(),
        }
    }

    /// Takes an announcement of the journal. Does not block.
    pub fn hear(&self, announcement: Announcement) {
        match announcement {
            Announcement::ToCommit { id, is_package } => {
                self.backlog.push_now(id, Lane::of(is_package));
            }
            Announcement::ToClear(id) => {
                self.backlog.push_now(id, Lane::Files);
                self.waiters.complete(id, Standing::Deleted);
            }
            Announcement::Settled { id, bytes } => {
                self.tally.count_commit(bytes);
                self.waiters.complete(id, Standing::Committed);
            }
            Announcement::Upload { .. } => {}
        }
    }

    /// Waits for the commit of an entry from now on. After this call the caller must check whether the
    /// entry is still pending.
    pub fn wait_for(&self, id: FileId) -> CommitWait {
        self.waiters.wait_for(id)
    }

    /// Ends all waiting, now and from now on.
    pub fn end_waiting(&self) {
        self.waiters.close();
    }

    /// The count of clients' requests.
    pub fn traffic(&self) -> &Arc<Traffic> {
        self.limiter.traffic()
    }

    /// The store, as of the last ping.
    pub fn store_state(&self) -> StoreState {
        self.health.state()
    }

    /// Pings the store until it is told to stop.
    pub async fn watch(&self, store: &dyn Store, stop: CancellationToken) {
        self.health.watch(store, stop).await;
    }

    /// The figures of this moment.
    pub fn figures(&self) -> CommitFigures {
        let tally = self.tally.snapshot();
        CommitFigures {
            in_flight: self.backlog.in_flight(),
            width: self.limiter.width(),
            gives_way: self.limiter.gives_way(),
            waiting: self.waiters.count(),
            committed_entries: tally.entries,
            committed_bytes: tally.bytes,
            committed_entries_last_minute: tally.last_minute,
            failures: tally.failures,
        }
    }
}
