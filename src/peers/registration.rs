//! This node's own place in the list of nodes: its number belongs to its journal.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::table::JOINING;
use super::twin::held;
use super::{Peers, Purpose};
use crate::store::{LEASE, NodeLoad, NodeRecord, Registered, Registering, Registry};

/// The pause between two registrations.
const PAUSE: Duration = LEASE.checked_div(4).expect("a quarter");

/// The same while an admin waits until this node has nothing left.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// This node, as far as the list is concerned.
pub trait OwnNode: Send + Sync {
    /// The name of its journal.
    fn journal(&self) -> &str;

    /// The work that waits here.
    fn load(&self) -> BoxFuture<'_, NodeLoad>;

    /// Whether other nodes have known of this journal and number for long enough.
    fn has_joined(&self) -> bool;

    /// Notes that they do, for the next start.
    fn note_joined(&self);

    /// The names of processes that have served its journal before, in this very directory.
    fn ended(&self) -> &[String];
}

/// The reason why the list of nodes lets this node take no uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Others may not know this node yet.
    Joins,
    /// The number belongs to another journal; in words, who has it.
    Taken(String),
    /// Another process serves a copy of this journal; in words, which one.
    Copied(String),
    /// An admin has taken this node out.
    Left,
    /// Its files were given up, or another node has them; in words.
    Lost(String),
}

/// The place of this node in the list.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// This process has registered itself before.
    has_begun: bool,
    /// Uploads are taken from then on.
    pub(super) joins: Option<Instant>,
    obstacle: Option<Obstacle>,
    pub(super) is_leaving: bool,
    pub(super) hand_over: HandOver,
}

/// Whether another node takes the answers to keys of this one over, as it leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum HandOver {
    /// It does not leave, or has work.
    #[default]
    No,
    /// Whoever asks gets them.
    Begun,
    /// Another node has all.
    Done,
}

impl Peers {
    /// The reason why no upload may come in, if the list of nodes gives one.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let own = held(&self.own);
        let joins = || own.joins.is_some_and(|joins| joins > Instant::now());
        // Its first keyed answer would be known nowhere.
        let carries = || own.joins.is_some() && !self.has_told_list();
        own.obstacle
            .clone()
            .or_else(|| (joins() || carries()).then_some(Obstacle::Joins))
    }

    /// Whether an admin wants this node to leave.
    pub fn is_leaving(&self) -> bool {
        held(&self.own).is_leaving
    }

    /// Prepares the first registration: a node that others find by the list alone takes no uploads before
    /// they know it.
    pub fn begin(&self, own: &dyn OwnNode) {
        if self.address.is_some() && !own.has_joined() {
            held(&self.own).obstacle = Some(Obstacle::Joins);
        }
    }

    /// The statement of this node about itself, without its load.
    pub fn record(&self, journal: &str) -> NodeRecord {
        let address = self.address.clone().unwrap_or_default();
        NodeRecord {
            number: self.node,
            journal: journal.to_owned(),
            instance: self.instance.clone(),
            signature: self.seal.sign(Purpose::Register, self.node, &address),
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..NodeRecord::default()
        }
    }

    /// Registers this node once.
    ///
    /// # Errors
    /// In words, why the number is not this node's.
    pub async fn register(&self, registry: &dyn Registry, own: &dyn OwnNode) -> Result<(), String> {
        let record = NodeRecord {
            load: own.load().await,
            carried: self.carried(),
            knows_left: self.list.borrow().last_left,
            ..self.record(own.journal())
        };
        let has_files = record.load.files + record.load.open_uploads > 0;
        let why = {
            let state = held(&self.own);
            let is_out = matches!(state.obstacle, Some(Obstacle::Left | Obstacle::Lost(_)));
            // Files that came in after all must be found.
            if is_out && has_files {
                Registering::HasFiles
            } else if state.has_begun {
                Registering::GoesOn
            } else {
                Registering::Starts
            }
        };
        match registry.register(record, why, own.ended()).await {
            Ok(Registered::Ours(before)) => self.hold_number(before.map(|before| *before), own),
            Ok(Registered::Taken(holder)) => {
                let (number, seen) = (holder.number, describe(&holder));
                let is_copy = holder.journal == own.journal();
                let words = if is_copy {
                    format!(
                        "number {number} belongs to {seen}. Its data directory is a copy of this one, or the other way \
                         round. Serve one of them alone; this one can be, {LEASE:?} after the other has ended"
                    )
                } else {
                    format!(
                        "number {number} belongs to {seen}. Give this node another number, or take that one out: \
                         scripts/node remove"
                    )
                };
                self.report_twin(holder.instance, "the database");
                let obstacle = if is_copy { Obstacle::Copied } else { Obstacle::Taken };
                held(&self.own).obstacle = Some(obstacle(words.clone()));
                return Err(words);
            }
            Ok(Registered::Left) => {
                let mut state = held(&self.own);
                if state.obstacle.is_none() {
                    log::warn!("this node was taken out of the list: it takes no uploads");
                }
                state.obstacle = Some(Obstacle::Left);
            }
            Ok(Registered::GivenUp) => return Err(self.lose(format!(
                "an admin has given up the files of node {} (`scripts/node remove --force`). `scripts/node add` \
                 here brings it back with them, also with those that were deleted meanwhile",
                self.node
            ))),
            Ok(Registered::TakenOver(by)) => return Err(self.lose(format!(
                "node {by} has taken over the files of node {}, and no other node asks this one for any. \
                 Give this node a number that no node had",
                self.node
            ))),
            Err(err) => log::debug!("this node is not registered: {err}"),
        }
        Ok(())
    }

    /// Takes no uploads any more: others would not find them. Returns the reason.
    fn lose(&self, reason: String) -> String {
        let lost = Some(Obstacle::Lost(reason.clone()));
        let mut state = held(&self.own);
        if state.obstacle != lost {
            log::error!("this node takes no uploads: {reason}");
            state.obstacle = lost;
        }
        reason
    }

    /// The list has this node.
    fn hold_number(&self, before: Option<NodeRecord>, own: &dyn OwnNode) {
        let mut state = held(&self.own);
        let is_ours = |before: &NodeRecord| before.journal == own.journal() && !before.has_left;
        let is_known = before.as_ref().is_some_and(is_ours);
        let waits = self.address.is_some() && !(is_known && own.has_joined());
        if !waits {
            state.obstacle = None;
        } else if state.joins.is_none() || !is_known {
            log::info!("others learn of this node: it takes uploads in {JOINING:?}");
            state.joins = Some(Instant::now() + JOINING);
            state.obstacle = None;
        } else if state.joins.is_some_and(|joins| joins <= Instant::now()) && self.has_told_list() {
            own.note_joined();
        }
        // The first process that the list names is usually an earlier start of this node.
        let is_first = !std::mem::replace(&mut state.has_begun, true);
        if let Some(before) = before {
            let is_asked = before.is_leaving && !is_first;
            if is_asked && !state.is_leaving {
                log::warn!("an admin takes this node out of the list: it takes no more uploads");
            }
            state.is_leaving = is_asked;
            drop(state);
            if !is_first && ![&self.instance, ""].contains(&&*before.instance) {
                self.report_twin(before.instance, "the database");
            }
        }
    }

    pub(super) async fn keep_registered(&self, registry: &dyn Registry, own: &dyn OwnNode) {
        let mut has_told = false;
        loop {
            // An error was logged, and stands in the state.
            self.register(registry, own).await.unwrap_or_default();
            if has_told {
                self.wanted.notify_one();
            }
            let is_watched = self.is_leaving();
            let pause = sleep(if is_watched { SHORT_PAUSE } else { PAUSE });
            has_told = tokio::select! {
                () = pause => false,
                () = self.tells.notified() => true,
            };
        }
    }
}

/// Describes the holder of a number.
fn describe(holder: &NodeRecord) -> String {
    let NodeRecord {
        instance,
        address,
        seen,
        ..
    } = holder;
    let place = if address.is_empty() {
        "no address"
    } else {
        address
    };
    let seen = seen.map_or_else(
        || "at an unknown time".to_owned(),
        |seen| format!("{} seconds ago", crate::file::age_seconds(seen)),
    );
    format!("the node {instance} ({place}), last seen {seen}")
}
