//! The edge that nginx speaks with: heads of requests in, heads of answers out.
//!
//! nginx has spooled the body before a request comes here, and sends the body of an answer itself.
//! The only bytes of files that pass through are slices of committed files on their way into
//! nginx's cache. This is the only room that knows actix.
//!
//! A room in it names only those below it:
//!
//! | room | is |
//! |---|---|
//! | `routes` | one file for each route or family: reads a request, calls another room, answers |
//! | `gate` | what requests pass before their route and on their way out: rights, conditions of changes, drain, panics |
//! | `form` | the parts of a form |
//! | `problem` | the refusals; the one place where errors of other layers become such |
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
use crate::delivery::{Delivery, Lists};
use crate::file::FileKey;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::linking::Links;
use crate::peers::Peers;
use crate::store::{Indexes, Subjects};

use gate::{Drain, SliceLimiter, Waits};
use problem::Problem;

pub use gate::{Access, Connection, catch_panic, check_path, count_refusal};
pub use routes::{admin, public};

/// The parts of one node, for the handlers.
pub struct Node {
    /// Where promises are made.
    pub journal: Arc<Journal>,
    /// Takes uploads in.
    pub intake: Arc<Intake>,
    /// Finds and deletes files, wherever they are.
    pub delivery: Arc<Delivery>,
    /// Finds files by the subject of their upload.
    pub subjects: Arc<dyn Subjects>,
    /// The indexes that are made in the background.
    pub indexes: Arc<dyn Indexes>,
    /// The lists of receivers, and those who wait for messages.
    pub lists: Arc<Lists>,
    /// The commits, and the clients that wait for them.
    pub commits: Arc<Commits>,
    /// Ties files to messages.
    pub links: Arc<Links>,
    /// The other nodes.
    pub peers: Arc<Peers>,
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
    /// Room for senders who wait for a commit.
    waits: Waits,
    /// How many slices go at once.
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

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Node")
            .field("number", &self.peers.number())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// The key that stands for all that mean the same file.
    fn read(&self, key: FileKey) -> FileKey {
        match key {
            FileKey::Foreign(text) => self.delivery.key(&text),
            FileKey::Id(_) => key,
        }
    }
}
