//! The table of other nodes: those of the list in the store, and the seeds of the settings, for times when
//! the store is away. It changes while this process runs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};

use super::ask::Peer;
use super::{Peers, Purpose, Unreachable};
use crate::config::PeerConfig;
use crate::file::FileId;
use crate::store::{NodeRecord, Registry};

/// The pause between two readings of the list.
const PAUSE: Duration = Duration::from_secs(2);

/// A list that was read longer ago does not show that a number has no node. A node that is new waits longer
/// than this before it takes uploads, so nobody takes its files for absent.
const LIFETIME: Duration = Duration::from_secs(5);

/// The time from the first registration of a node to its first upload.
pub(super) const JOINING: Duration = Duration::from_secs(7);

/// How long a question for an id waits for the list.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) type Table = BTreeMap<u16, Arc<Peer>>;

/// The list of nodes as it was read last.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    /// When the last reading began, whether it succeeded or not.
    tried: Option<Instant>,
    /// When the last reading began that succeeded.
    read: Option<Instant>,
    /// When the last node left, by the store's clock.
    pub(super) last_left: Option<SystemTime>,
    /// Nodes that have left are not in it.
    pub(super) records: Vec<NodeRecord>,
    /// The numbers of those that have left in peace, and that no other node answers for.
    left: Vec<u16>,
}

impl List {
    fn is_fresh(&self) -> bool {
        self.read.is_some_and(|read| read.elapsed() <= LIFETIME)
    }
}

impl Peers {
    /// The numbers of all nodes, this one among them, in rising order. Nodes come and go, so each call may
    /// give others.
    pub fn numbers(&self) -> Vec<u16> {
        let mut numbers: Vec<u16> = self.table.borrow().keys().copied().collect();
        numbers.push(self.node);
        numbers.sort_unstable();
        numbers
    }

    /// The node that made an id, or that has taken the files of that node over, if it is another one that this
    /// node knows of. `None` says nothing about a node that is new: see [`Peers::find_owner`].
    pub fn owner_of(&self, id: FileId) -> Option<u16> {
        self.peer(self.keeper_of(id)).map(|peer| peer.config.node)
    }

    /// The number of the node that made an id, or that has taken the files of that node over.
    pub fn keeper_of(&self, id: FileId) -> u16 {
        self.keeper(id.node())
    }

    /// This node, or the one that has taken its files over.
    pub(super) fn keeper(&self, node: u16) -> u16 {
        let taken_over = self
            .taken_over
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut owner = node;
        // A rescuer may have been rescued, too.
        for _ in 0..taken_over.len() {
            owner = taken_over.get(&owner).copied().unwrap_or(owner);
        }
        owner
    }

    /// Learns which nodes answer for others, by the numbers of these. They do so for ever: what was known stays, as this
    /// may have been read before that.
    pub fn learn_taken_over(&self, taken_over: BTreeMap<u16, u16>) {
        let held = self.taken_over.write();
        let mut known = held.unwrap_or_else(PoisonError::into_inner);
        let is_known = |(node, by): (&u16, &u16)| known.get(node) == Some(by);
        if taken_over.iter().all(is_known) {
            return;
        }
        if let Some(by) = taken_over.get(&self.node) {
            log::error!(
                "node {by} has taken the journal of a node with the number {} over: no other node asks this \
                 one for its files. Give this node a number that no node had",
                self.node
            );
        }
        known.extend(taken_over);
    }

    /// The node that made an id, if it is another one; `None` if it is this one, or if there is no such node.
    /// Reads the list, if it was not read a moment ago.
    ///
    /// # Errors
    /// [`Unreachable`] if it is not known whether there is such a node.
    pub async fn find_owner(&self, id: FileId) -> Result<Option<u16>, Unreachable> {
        let owner = self.owner_of(id);
        let number = id.node();
        // No node has the number 0, and a node without a key has no others.
        let is_alone = number == self.node || number == 0 || !self.seal.has_key();
        if owner.is_some() || is_alone || self.list.borrow().is_fresh() {
            return Ok(owner);
        }
        let asked = Instant::now();
        let mut list = self.list.subscribe();
        self.wanted.notify_one();
        let is_tried = |list: &List| list.tried.is_some_and(|tried| tried >= asked);
        let waited = timeout(PATIENCE, list.wait_for(is_tried)).await;
        if waited.is_ok() && self.list.borrow().is_fresh() {
            return Ok(self.owner_of(id));
        }
        let reason = "nobody knows whether there is such a node: MongoDB does not tell";
        Err(Unreachable::new(number, reason))
    }

    /// The other nodes of the list. The list is as old as the last answer of the store.
    pub fn registered(&self) -> Vec<NodeRecord> {
        self.list.borrow().records.clone()
    }

    /// Whether a node has left the list in peace: it has nothing that others do not have. A node that was rescued has
    /// not: its rescuer is asked.
    pub fn has_left(&self, node: u16) -> bool {
        self.list.borrow().left.contains(&node)
    }

    pub(super) fn peer(&self, node: u16) -> Option<Arc<Peer>> {
        self.table.borrow().get(&node).cloned()
    }

    /// Reads the list again and again, and at once when somebody wants it.
    pub(super) async fn keep_reading(&self, registry: &dyn Registry) {
        loop {
            self.read_list(registry).await;
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Reads the list once.
    pub async fn read_list(&self, registry: &dyn Registry) {
        let begun = Instant::now();
        match registry.nodes().await {
            Ok(records) => {
                self.renew(records, begun);
                self.forget_lists(registry).await;
            }
            Err(err) => {
                log::debug!("the list of nodes is not read: {err}");
                self.list.send_modify(|list| list.tried = Some(begun));
            }
        }
    }

    /// Takes the list over. A node that left or moved is not asked any more where it was, whatever the settings
    /// say.
    fn renew(&self, mut records: Vec<NodeRecord>, begun: Instant) {
        // Whoever reads the rest of the list asks the rescuers.
        let rescued = records.iter();
        let rescued = rescued.filter_map(|record| Some((record.number, record.rescued_by?)));
        self.learn_taken_over(rescued.collect());
        let mut urls: BTreeMap<u16, String> = self.seeds_by_number();
        for left in records.iter().filter(|record| record.has_left) {
            urls.remove(&left.number);
        }
        let all = records.clone();
        let last_left = records.iter().filter_map(|record| record.left_at).max();
        let mut own = records.iter().filter(|record| record.number == self.node);
        let is_asked = own
            .any(|own| own.is_leaving && !own.has_left && own.instance == self.instance)
            && !self.is_leaving();
        let in_peace = |record: &&NodeRecord| {
            record.has_left && !record.is_given_up && record.rescued_by.is_none()
        };
        let left = records.iter().filter(in_peace);
        let left = left.map(|record| record.number).collect();
        // A version that wrote no journal is known by the settings.
        records.retain(|record| {
            record.number != self.node && !record.has_left && !record.journal.is_empty()
        });
        for record in &records {
            let told = self.believed_address(record);
            let url = urls.entry(record.number).or_default();
            if let Some(told) = told {
                *url = told;
            }
        }
        self.table.send_if_modified(|table| {
            let before = table.len();
            table.retain(|node, peer| {
                let stays = urls.get(node) == Some(&peer.config.url);
                if !stays {
                    log::info!("node {node} is no longer at {:?}", peer.config.url);
                    peer.gone.cancel();
                }
                stays
            });
            let has_lost = table.len() < before;
            let kept = table.len();
            for (node, url) in urls {
                table.entry(node).or_insert_with(|| {
                    log::info!("node {node} is at {url:?}");
                    Arc::new(Peer::new(PeerConfig { node, url }))
                });
            }
            has_lost || table.len() > kept
        });
        self.learn_lists(&all);
        // The table comes first: who waits for the list finds its nodes there.
        let mut has_news = is_asked;
        self.list.send_modify(|list| {
            list.tried = Some(begun);
            list.read = Some(begun);
            list.records = records;
            has_news |= list.last_left != last_left;
            list.last_left = last_left;
            list.left = left;
        });
        if has_news {
            self.tells.notify_one();
        }
    }

    pub(super) fn seeds_by_number(&self) -> BTreeMap<u16, String> {
        let seeds = self.seeds.iter();
        seeds.map(|seed| (seed.node, seed.url.clone())).collect()
    }

    /// The address that a node tells, if it has signed it: who can write into the store, and has no key of
    /// the nodes, cannot have requests sent to a place of his own.
    fn believed_address(&self, record: &NodeRecord) -> Option<String> {
        let is_signed = self.seal.has_signed(
            &record.signature,
            Purpose::Register,
            record.number,
            &record.address,
        );
        if !is_signed && !record.address.is_empty() {
            log::warn!(
                "node {}: its address in the list is not signed by our key",
                record.number
            );
        }
        (is_signed && !record.address.is_empty()).then(|| record.address.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::peers;
    use super::*;

    fn record(number: u16) -> NodeRecord {
        NodeRecord {
            number,
            journal: "a journal".to_owned(),
            ..NodeRecord::default()
        }
    }

    fn left(number: u16) -> NodeRecord {
        NodeRecord {
            has_left: true,
            ..record(number)
        }
    }

    fn id_of(node: u16) -> FileId {
        crate::file::FileIds::new(node, 0, 0).next(SystemTime::now())
    }

    #[tokio::test]
    async fn the_list_tells_who_answers_for_a_rescued_node_and_that_one_has_not_left_in_peace() {
        let peers = peers("a");
        let rescued = NodeRecord {
            rescued_by: Some(3),
            ..left(2)
        };
        let begun = Instant::now();
        peers.renew(vec![record(3), rescued, left(4)], begun);
        assert_eq!(peers.keeper_of(id_of(2)), 3);
        assert_eq!(peers.find_owner(id_of(2)).await.unwrap(), Some(3));
        assert_eq!(
            [2, 3, 4].map(|node| peers.has_left(node)),
            [false, false, true]
        );
        // A list that was read before is taken over later.
        peers.learn_taken_over(BTreeMap::new());
        assert_eq!(peers.keeper_of(id_of(2)), 3);
    }
}
