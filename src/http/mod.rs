//! The edge towards nginx: heads of requests come in, heads of answers go out.
//!
//! nginx has spooled the body before a request comes here, and sends the body of an answer itself.
//! The only bytes of files that pass through are slices of committed files on their way into
//! nginx's cache, and uploads that are read before they are complete. This is the only room that knows actix.
//!
//! A room in it names only the rooms below it:
//!
//! | room | is |
//! |---|---|
//! | `routes` | one file for each route or family: reads a request, calls another room, answers |
//! | `gate` | what requests pass before their route and on their way out: rights, conditions of changes, drain, panics |
//! | `form` | the parts of a form |
//! | `problem` | the refusals; the one place where errors of other layers become refusals |
//! | `headers` | the grammars of heads, each fuzzed: no handler, no node, and an error of their own |

mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gate;
mod headers;
mod problem;
mod routes;

use std::sync::Arc;
use std::time::SystemTime;

use crate::commit::Commits;
use crate::delivery::{Delivery, Lists, LiveUploads};
use crate::file::FileKey;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::linking::Links;
use crate::peers::Peers;
use crate::rescue::Rescue;
use crate::store::{Indexes, Subjects};
use crate::watchdog::Watchdog;

use gate::{Drain, SliceLimiter, Waits};
use problem::Problem;

pub use gate::{Access, Connection, catch_panic, check_path, count_refusal};
pub use routes::{admin, public};

/// The parts of one node, for the handlers.
pub struct Node {
    /// Makes promises.
    pub journal: Arc<Journal>,
    /// Takes uploads in.
    pub intake: Arc<Intake>,
    /// Finds and deletes files, wherever they are.
    pub delivery: Arc<Delivery>,
    /// Finds files by the subject of their upload.
    pub subjects: Arc<dyn Subjects>,
    /// The indexes that are made in the background.
    pub indexes: Arc<dyn Indexes>,
    /// The lists of receivers, and the receivers that wait for messages.
    pub lists: Arc<Lists>,
    /// The uploads that are read while they grow.
    pub live: Arc<LiveUploads>,
    /// The commits, and the clients that wait for them.
    pub commits: Arc<Commits>,
    /// Links files to messages.
    pub links: Arc<Links>,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// Takes the journals of dead nodes over.
    pub rescue: Arc<Rescue>,
    /// Whether the threads of this process go on.
    pub watchdog: Arc<Watchdog>,
    /// The rights of callers.
    pub access: Access,
    /// The state of the edge itself.
    pub edge: Edge,
}

/// The state of the edge itself. A restart forgets all of it.
#[derive(Debug)]
pub struct Edge {
    /// Whether new uploads are taken.
    drain: Drain,
    /// Room for senders that wait for a commit.
    waits: Waits,
    /// Limits the slices that are sent at the same time.
    slices: SliceLimiter,
    /// When this process started.
    started: SystemTime,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            drain: Drain::default(),
            waits: Waits::default(),
            slices: SliceLimiter::default(),
            started: SystemTime::now(),
        }
    }
}

impl Edge {
    /// Takes no new uploads any more, until a restart.
    pub fn drain(&self) {
        if !self.drain.is_on() {
            self.drain.set(true);
        }
    }

    /// Whether new uploads are taken no more, not even those that a balancer got a yes for.
    pub fn is_closed(&self) -> bool {
        self.drain.is_closed()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Node")
            .field("number", &self.peers.number())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Returns the key that stands for all keys of the same file.
    fn read(&self, key: FileKey) -> FileKey {
        match key {
            FileKey::Foreign(text) => self.delivery.key(&text),
            FileKey::Id(_) => key,
        }
    }
}
