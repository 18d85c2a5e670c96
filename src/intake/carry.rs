//! Carries the keys that were answered here to the witnesses of another list of nodes, when nodes come or go.
//! [`crate::peers`] describes why.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::key::Cluster;
use super::{Intake, IntakeError};
use crate::file::Sha256;
use crate::journal::{Journal, Subject};
use crate::peers::Majority;
use crate::store::Ballot;

/// The keys that are carried at the same time: their ballots for one witness share a question.
pub(super) const AT_ONCE: usize = 32;

/// The pause between two looks at requests under way.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

/// The pause before a witness that gave no vote is asked again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

impl Intake {
    /// Carries the keys whenever the list of nodes changes. It never ends; dropping it does no harm.
    pub async fn keep_carrying(&self) {
        let Some(cluster) = &self.cluster else {
            return std::future::pending().await;
        };
        loop {
            let carrying = tokio::select! {
                carrying = cluster.peers.list_to_carry_to() => carrying,
                () = self.keep_inheriting(cluster) => continue,
            };
            let list = &carrying.list;
            let carried = tokio::select! {
                carried = self.carry(cluster, std::slice::from_ref(list)) => carried,
                () = cluster.peers.list_changes(list) => continue,
            };
            match carried {
                Ok(count) => {
                    log::info!("{count} keys that were answered here are known for nodes {list:?}");
                    cluster.peers.tell_carried(&carrying);
                }
                Err(err) => {
                    log::error!("the keys that were answered here are not carried: {err}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Lets the witnesses of these lists know all keys that were answered here. Returns their number. A request that
    /// began before has ended by then; a later one must ask by these lists.
    async fn carry(&self, cluster: &Cluster, lists: &[Vec<u16>]) -> Result<usize, IntakeError> {
        let mut running = self.journal.claimed_keys();
        while !running.is_empty() {
            sleep(SHORT_PAUSE).await;
            let still = self.journal.claimed_keys();
            running.retain(|key| still.contains(key));
        }
        let (mut place, mut count) = (None, 0);
        loop {
            let journal = Arc::clone(&self.journal);
            let read = move || journal.answered_keys(place, AT_ONCE);
            let found = spawn_blocking(read).await??;
            count += found.answers.len();
            let keys = found.answers.into_iter();
            join_all(keys.map(|key| cluster.make_known(&self.journal, key, lists))).await;
            place = found.place;
            if place.is_none() {
                return Ok(count);
            }
        }
    }
}

impl Cluster {
    /// Asks the witnesses of a key that was answered here until enough of them know it. The vote of any other attempt
    /// is taken: that one cannot have all its majorities.
    pub(super) async fn make_known(
        &self,
        journal: &Journal,
        (key, sender): (Sha256, Subject),
        lists: &[Vec<u16>],
    ) {
        let mut ballot = Ballot {
            key,
            sender: sender.0,
            attempt: journal.attempt(),
            replaces: Vec::new(),
        };
        let third = Some((&*self.third, journal.answer_lifetime()));
        loop {
            match self.peers.ask_to_know(&ballot, lists, third).await {
                Majority::Won => return,
                Majority::Taken(attempt) if !ballot.replaces.contains(&attempt) => {
                    ballot.replaces.push(attempt);
                    continue;
                }
                Majority::Taken(_) | Majority::Running => {}
                Majority::Unsure(err) => log::debug!("a key is not known elsewhere yet: {err}"),
            }
            sleep(PAUSE).await;
        }
    }
}
