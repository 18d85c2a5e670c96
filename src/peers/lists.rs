//! The lists of nodes by which the witnesses of keys are chosen. Nodes come and go, and no two nodes see that at
//! the same time; a key that was answered is known all the same to whoever asks for it.
//!
//! Each node tells in its document (`carried`) for which list the keys that it has answered are known. Each attempt
//! needs a majority of the witnesses of several lists: that of the moment, each one that a document tells, and the one
//! that this node is about to tell. They are nearly always one.
//!
//! A change, at one node:
//! 1. It reads another list of the moment. From then on its attempts ask the witnesses of that, too.
//! 2. It waits until all keyed requests that began before have ended.
//! 3. It carries the keys that it has answered to the witnesses of that list.
//! 4. It tells the list in its document. When it reads the document there, the list of before counts no more,
//!    unless another node tells it. If the list of the moment has changed meanwhile, it begins anew instead.
//!
//! Take two nodes. One of them told its list last: it has read the list of the other one after that, and asks by it.
//! The other one asks by its own list. So two attempts share a list, however old the lists are that they go by. A
//! node that is away carries nothing: its list counts until it has left. A test below goes through all orders of
//! these steps at two nodes.
//!
//! The list of a node that was rescued counts until its rescuer has carried the keys of that node with its own, and
//! reads in its own document that it has told so.
//!
//! A node that an admin wants to leave is in no list of the moment. It votes until no document tells a list with it, and
//! until another node has its answers ([`crate::intake`]). Its attempts are over when it has left.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::Peers;
use super::registration::HandOver;
use super::twin::held;
use super::witnesses::Count;
use crate::file::Sha256;
use crate::store::{NodeRecord, Registry};

/// The lists of nodes, as far as this node knows them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lists {
    /// The nodes of the moment, in rising order.
    present: Vec<u16>,
    /// This node tells that its keys are known for this list; empty if it has told none.
    own: Vec<u16>,
    /// The lists in the documents of all nodes.
    told: Vec<Vec<u16>>,
    /// Whether this node's document told one when it was read.
    has_told: bool,
    /// Whether the list of nodes was read, and has this process.
    is_listed: bool,
    /// The nodes whose keys this node has to carry: it has taken their journals over.
    rescued: Vec<u16>,
    /// Those of them whose keys it has carried.
    carried_for: Vec<u16>,
    /// Each list that counts, once; that of the moment first.
    all: Arc<[Vec<u16>]>,
}

impl Lists {
    pub(super) fn new(present: Vec<u16>) -> Self {
        Self {
            all: Arc::new([present.clone()]),
            present,
            own: Vec::new(),
            told: Vec::new(),
            has_told: false,
            is_listed: false,
            rescued: Vec::new(),
            carried_for: Vec::new(),
        }
    }

    /// Learns the list of the moment, and those that all nodes tell. `own` is what this node's document tells.
    pub(super) fn read(&mut self, present: Vec<u16>, own: &[u16], others: Vec<Vec<u16>>) {
        self.present = present;
        if self.own.is_empty() {
            self.own = own.to_vec();
        }
        self.has_told = !own.is_empty();
        self.told = others;
        self.told.push(own.to_vec());
        self.count();
    }

    /// Step 4: lets this node tell the list, if it is that of the moment.
    fn tell(&mut self, carried: &Carrying) -> bool {
        let is_present = self.present == carried.list;
        if is_present {
            self.own.clone_from(&carried.list);
            self.carried_for.clone_from(&carried.rescued);
            self.count();
        }
        is_present
    }

    /// Whether the keys of this node have to be carried to the list of the moment.
    fn is_behind(&self) -> bool {
        let is_carried = |node| self.carried_for.contains(node);
        self.own != self.present || !self.rescued.iter().all(is_carried)
    }

    fn count(&mut self) {
        let mut all = vec![self.present.clone()];
        for list in self.told.iter().chain([&self.own]) {
            if !list.is_empty() && !all.contains(list) {
                all.push(list.clone());
            }
        }
        if *all != *self.all {
            self.all = all.into();
        }
    }
}

/// The keys that this node has to carry, and to which nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrying {
    /// The witnesses by this list are told.
    pub list: Vec<u16>,
    /// The keys of these nodes are among those of this one.
    rescued: Vec<u16>,
}

impl Peers {
    /// The lists of nodes by which the witnesses of a key are chosen.
    pub fn lists(&self) -> Arc<[Vec<u16>]> {
        Arc::clone(&self.lists.borrow().all)
    }

    /// The witnesses of a key, by all lists that count: if they know of no attempt, none was carried out. Two nodes
    /// are both needed: the store has no word here.
    pub fn witnesses_of(&self, key: Sha256) -> Count {
        Count::new(key, &self.lists(), self.number(), false)
    }

    /// Whether other nodes are asked about keys.
    pub fn has_witnesses(&self) -> bool {
        let all = &self.lists.borrow().all;
        all.iter().any(|list| *list != [self.node])
    }

    /// The list that this node tells in its document; empty if it has told none.
    pub(super) fn carried(&self) -> Vec<u16> {
        self.lists.borrow().own.clone()
    }

    /// Whether others see a list of this node, or it needs none as it has no key for talks with them.
    pub(super) fn has_told_list(&self) -> bool {
        !self.seal.has_key() || self.lists.borrow().has_told
    }

    /// Learns the lists in the documents of all nodes.
    pub(super) fn learn_lists(&self, records: &[NodeRecord]) {
        let has_left = |node| {
            let mut left = records.iter().filter(|record| record.has_left);
            left.any(|record| record.number == node)
        };
        // Nobody carries the keys of a node whose rescuer has left.
        let is_here =
            |record: &&NodeRecord| !record.has_left && !has_left(self.keeper(record.number));
        let here = || records.iter().filter(is_here);
        let goes = |record: &NodeRecord| record.is_leaving || record.rescued_by.is_some();
        let goes = |node| {
            records
                .iter()
                .any(|record| record.number == node && goes(record))
        };
        let mut present = self.numbers();
        present.retain(|&node| !goes(node));
        if present.is_empty() {
            present.push(self.node);
        }
        let is_own = |record: &&NodeRecord| record.number == self.node;
        let own = here().find(|own| is_own(own) && own.rescued_by.is_none());
        let is_listed = own.is_some_and(|own| own.instance == self.instance);
        let own = own.map_or(&[][..], |own| &own.carried);
        let others = here().filter(|record| record.number != self.node);
        let is_ours = |record: &&NodeRecord| {
            !record.carried.is_empty() && self.keeper(record.number) == self.node
        };
        let rescued = others.clone().filter(is_ours);
        let rescued: Vec<_> = rescued.map(|record| record.number).collect();
        let others = others.map(|record| record.carried.clone()).collect();
        self.lists.send_modify(|lists| {
            lists.is_listed = is_listed;
            lists.carried_for.retain(|node| rescued.contains(node));
            lists.rescued = rescued;
            lists.read(present, own, others);
        });
    }

    /// Takes the lists of rescued nodes away whose keys are known by the list that this node's document tells.
    pub(super) async fn forget_lists(&self, registry: &dyn Registry) {
        let done = {
            let lists = self.lists.borrow();
            let is_told = lists.told.last() == Some(&lists.own);
            is_told.then(|| lists.carried_for.clone())
        };
        for node in done.unwrap_or_default() {
            match registry.forget_carried(node).await {
                Ok(()) => log::info!("the keys of node {node} are known as those of this node"),
                Err(err) => log::debug!("the list of node {node} still counts: {err}"),
            }
        }
    }

    /// Waits until the keys of this node have to be carried to another list, and returns that. A node that has just
    /// come does not tell a list before the moment at which others know it.
    pub async fn list_to_carry_to(&self) -> Carrying {
        if !self.seal.has_key() {
            return std::future::pending().await;
        }
        let mut lists = self.lists.subscribe();
        loop {
            // This node keeps the other end of the channel.
            let is_due = |lists: &Lists| lists.is_listed && lists.is_behind();
            drop(lists.wait_for(is_due).await);
            let joins = held(&self.own).joins;
            if let Some(joins) = joins.filter(|joins| *joins > Instant::now()) {
                sleep_until(joins).await;
                continue;
            }
            let lists = lists.borrow();
            return Carrying {
                list: lists.present.clone(),
                rescued: lists.rescued.clone(),
            };
        }
    }

    /// The nodes whose answers this node takes over: those that leave, if it is the first of the others that is up.
    pub fn nodes_to_inherit(&self) -> Vec<u16> {
        let present = self.lists.borrow().present.clone();
        let heir = present.into_iter().find(|&node| !self.is_down(node));
        let leaving = self.registered().into_iter();
        let leaving = leaving.filter(|record| record.is_leaving && heir == Some(self.node));
        leaving.map(|record| record.number).collect()
    }

    /// Whether this node, which leaves and has nothing else, may go: another one has its answers to keys, and no
    /// node asks it for votes any more.
    pub fn may_go(&self, has_nothing: bool) -> bool {
        let mut own = held(&self.own);
        own.hand_over = match own.hand_over {
            _ if !(has_nothing && own.is_leaving) => HandOver::No,
            HandOver::No => HandOver::Begun,
            HandOver::Begun | HandOver::Done => own.hand_over,
        };
        let is_last = !self.seal.has_key() || *self.lists.borrow().present == [self.node];
        let is_asked = |record: &NodeRecord| record.carried.contains(&self.node);
        is_last || (own.hand_over == HandOver::Done && !self.registered().iter().any(is_asked))
    }

    /// Whether this node hands its answers to keys over. If these are all, it has done so.
    pub fn is_handing_over(&self, are_all: bool) -> bool {
        let mut own = held(&self.own);
        if are_all && own.hand_over == HandOver::Begun {
            own.hand_over = HandOver::Done;
        }
        own.hand_over != HandOver::No
    }

    /// Waits until this is not the list of the moment any more.
    pub async fn list_changes(&self, list: &[u16]) {
        let mut lists = self.lists.subscribe();
        drop(lists.wait_for(|lists| lists.present != list).await);
    }

    /// Tells that the keys of this node are known for the list, if it is still that of the moment.
    pub fn tell_carried(&self, carried: &Carrying) {
        self.lists.send_if_modified(|lists| lists.tell(carried));
        self.tells.notify_one();
    }
}
