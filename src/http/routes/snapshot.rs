//! The figures of a node at one moment. Status and metrics are two ways to write them down.

use std::time::SystemTime;

use crate::commit::{CommitFigures, StoreState};
use crate::http::Node;
use crate::http::problem::Reason;
use crate::journal::{JournalFigures, Level, Watermark};
use crate::peers::{Obstacle, PeerState, Sighting};
use crate::store::{IndexState, NodeRecord};

/// The figures that status and metrics show.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) number: u16,
    pub(super) started: SystemTime,
    pub(super) is_draining: bool,
    /// The reasons for which every upload is refused just now.
    pub(super) obstacles: Vec<Reason>,
    /// Uploads that were refused, by the reason.
    pub(super) uploads_refused: Vec<(&'static str, u64)>,
    /// Tokens that opened nothing, by the cause.
    pub(super) tokens_refused: Vec<(&'static str, u64)>,
    /// Requests that nginx sent.
    pub(super) requests: u64,
    /// Remembered subjects, by the limit.
    pub(super) subjects: [(&'static str, u64); 2],
    pub(super) journal: JournalFigures,
    pub(super) commit: CommitFigures,
    /// Receivers that wait for messages.
    pub(super) waiting_lists: usize,
    /// Readers of uploads that are not complete.
    pub(super) live_readers: usize,
    /// The store, as of the last ping.
    pub(super) store: StoreState,
    /// The indexes that are built in the background.
    pub(super) indexes: Vec<IndexState>,
    /// The name of this process among all nodes.
    pub(super) instance: String,
    /// The number, the address and the state of each other node.
    pub(super) peers: Vec<(u16, String, PeerState)>,
    /// The nodes, as the list of nodes describes them.
    pub(super) registered: Vec<NodeRecord>,
    /// The reason why the list of nodes lets this node take no uploads.
    pub(super) obstacle: Option<Obstacle>,
    /// Another process that goes by this node's number.
    pub(super) twin: Option<Sighting>,
}

impl Snapshot {
    /// Takes a snapshot now. Reads directories: not for a thread that must not wait.
    pub(super) fn take(node: &Node) -> Self {
        let (journal, quotas) = (node.journal.figures(), node.intake.quotas());
        let is_draining = node.edge.drain.is_on();
        let obstacle = node.peers.obstacle();
        Self {
            number: node.peers.number(),
            started: node.edge.started,
            is_draining,
            obstacles: obstacles(is_draining, obstacle.is_some(), &journal),
            obstacle,
            uploads_refused: node.access.refusals.uploads().collect(),
            tokens_refused: node.access.refusals.tokens().collect(),
            requests: node.commits.traffic().requests(),
            subjects: [
                ("uploads_per_minute", quotas.counted_subjects()),
                ("pending_bytes", quotas.pending_subjects()),
            ],
            journal,
            commit: node.commits.figures(),
            waiting_lists: node.lists.waiting(),
            live_readers: node.live.readers(),
            store: node.commits.store_state(),
            indexes: node.indexes.states(),
            instance: node.peers.instance().to_owned(),
            peers: node.peers.states(),
            registered: node.peers.registered(),
            twin: node.peers.twin(),
        }
    }
}

/// Returns the reasons for which every upload is refused now. It assumes that bodies on their way
/// bring as many bytes again as they have brought so far.
fn obstacles(is_draining: bool, is_unlisted: bool, journal: &JournalFigures) -> Vec<Reason> {
    let mut found = Vec::new();
    found.extend(is_draining.then_some(Reason::Drain));
    found.extend(is_unlisted.then_some(Reason::Number));
    found.extend(journal.poison.as_ref().map(|_| Reason::Poison));
    match (journal.levels, journal.spool_bytes) {
        (Some(levels), Some(coming)) => {
            let left = levels.map(|level| match level.watermark {
                Watermark::FreeBytes => Level {
                    now: level.now.saturating_sub(coming),
                    ..level
                },
                Watermark::FreeInodes | Watermark::PendingBytes | Watermark::PendingEntries => {
                    level
                }
            });
            let reached = left.into_iter().filter(|level| level.is_reached());
            found.extend(reached.map(Reason::from));
        }
        (None, _) | (_, None) => found.push(Reason::Fault),
    }
    found.dedup();
    found
}
