//! The port for the list of nodes. It knows which journal has which number, and where each node is.
//!
//! A number belongs to a journal until an admin takes it out of the list: files may wait in that journal.

use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::StoreError;
use crate::file::age_seconds;

/// A process that the list has not seen for so long has ended, or is cut off. It tells the list something four
/// times as often.
pub const LEASE: Duration = Duration::from_secs(20);

/// A node, as it last told the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its number.
    pub number: u16,
    /// The name of its journal; empty if an older version wrote this.
    pub journal: String,
    /// The name of its process.
    pub instance: String,
    /// Where other nodes reach it, `http://HOST:PORT`; empty if it tells none.
    pub address: String,
    /// The node's signature of its number and address.
    pub signature: String,
    /// The version of its program.
    pub version: String,
    /// When it told this, by the store's clock.
    pub seen: Option<SystemTime>,
    /// What it has that others need.
    pub load: NodeLoad,
    /// An admin wants it to leave.
    pub is_leaving: bool,
    /// It is not in the list any more: no file waits there.
    pub has_left: bool,
    /// When it left, by the store's clock.
    pub left_at: Option<SystemTime>,
    /// When the last node left that it knows to have left, by the store's clock.
    pub knows_left: Option<SystemTime>,
    /// An admin has given up the files that wait there.
    pub is_given_up: bool,
    /// The node that has taken its journal over.
    pub rescued_by: Option<u16>,
    /// The nodes whose witnesses know the keys that it has answered, in rising order; empty if it has not
    /// told any.
    pub carried: Vec<u16>,
}

impl NodeRecord {
    /// The members by which status and `gridspool node list` describe it. Ages are in seconds.
    pub fn describe(&self) -> Map<String, Value> {
        let members = [
            ("instance", json!(self.instance)),
            ("version", json!(self.version)),
            ("last_seen_seconds", json!(self.seen.map(age_seconds))),
            ("pending_files", json!(self.load.files)),
            ("pending_bytes", json!(self.load.bytes)),
            (
                "oldest_pending_seconds",
                json!(self.load.oldest.map(age_seconds)),
            ),
            ("open_uploads", json!(self.load.open_uploads)),
            ("leaving", json!(self.is_leaving)),
        ];
        members
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// The work that waits at a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeLoad {
    /// Files that are not in the store yet, those that are held among them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them came.
    pub oldest: Option<SystemTime>,
    /// Uploads that may still grow.
    pub open_uploads: u64,
    /// It takes no more uploads, and none is on its way there.
    pub is_closed: bool,
}

/// The answer to a node that registers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// The number belongs to its journal. This is what the list had before; `None`: nothing.
    Ours(Option<Box<NodeRecord>>),
    /// The number belongs to another journal, or to another process that serves a copy of this one.
    Taken(Box<NodeRecord>),
    /// An admin has taken this node out of the list.
    Left,
    /// An admin has given up the files of this journal. They are found if the node returned with them.
    GivenUp,
    /// This node has taken over the files of the number. Nobody else is asked for them.
    TakenOver(u16),
}

/// The reason for which a node registers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registering {
    /// It goes on. A node that was taken out stays out.
    GoesOn,
    /// It starts. A node that was taken out comes back, unless its files were given up.
    Starts,
    /// It has files, which must be found: it comes back.
    HasFiles,
    /// An admin adds it: it comes back, and its files count again.
    Added,
}

/// A step by which a node leaves the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Has the node close itself.
    Ask,
    /// Takes a node out that has closed itself and has nothing, or that was rescued and whose keys are carried.
    Done,
    /// Takes it out, and gives up what it has.
    Force,
}

/// Keeps the list of nodes.
pub trait Registry: Send + Sync {
    /// Writes what a node tells of itself, unless the number belongs to another journal or was taken over, or
    /// another process serves this journal: the list has seen one a short while ago that is not among `ended`. A
    /// node that has told `carried` before, and tells none now, keeps the old one; one that comes back does not.
    /// `why` decides whether a node that was taken out comes back.
    ///
    /// # Errors
    /// `Unavailable`; it may be written or not.
    fn register(
        &self,
        record: NodeRecord,
        why: Registering,
        ended: &[String],
    ) -> BoxFuture<'_, Result<Registered, StoreError>>;

    /// Reads the list, with the nodes that have left.
    ///
    /// # Errors
    /// `Unavailable`.
    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeRecord>, StoreError>>;

    /// Lets a node leave. Returns whether the list has such a node, in the state that the step needs.
    ///
    /// # Errors
    /// `Unavailable`; it may have left or not.
    fn leave(&self, number: u16, step: Leave) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Forgets what a rescued node has told as `carried`: its rescuer has carried its keys.
    ///
    /// # Errors
    /// `Unavailable`; it may be forgotten or not.
    fn forget_carried(&self, number: u16) -> BoxFuture<'_, Result<(), StoreError>>;
}
