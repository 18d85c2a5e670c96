//! The witnesses of an idempotency key, and the majority of their votes. Pure code.

use sha2::{Digest as _, Sha256 as Hasher};

use crate::file::{FileId, Sha256};
use crate::store::Vote;

/// The most witnesses of a key.
const MOST: usize = 3;

/// Returns the witnesses of a key among these nodes, the first choice first. All nodes agree on them:
/// rendezvous hashing (Thaler and Ravishankar 1998), so a node that comes or goes moves few keys.
pub(super) fn witnesses(key: Sha256, nodes: &[u16]) -> Vec<u16> {
    let score = |node: &u16| {
        let hashed = Hasher::new().chain_update(key.0);
        <[u8; 32]>::from(hashed.chain_update(node.to_be_bytes()).finalize())
    };
    let mut ranked = nodes.to_vec();
    ranked.sort_by_cached_key(score);
    ranked.truncate(MOST);
    ranked
}

/// The number that stands for the store among witnesses: no node has it.
pub(super) const STORE: u16 = 0;

/// The count of votes for one attempt: it needs a majority of the witnesses of each list of nodes.
#[derive(Debug)]
pub struct Count {
    own: u16,
    sets: Vec<Set>,
    is_running: bool,
}

/// The witnesses of one list, or of several lists that have the same ones.
#[derive(Debug)]
struct Set {
    witnesses: Vec<u16>,
    /// The votes of other nodes that are still needed.
    needed: usize,
    /// The ballots under way to its witnesses.
    asked: usize,
}

impl Count {
    /// The count for a key, at node `own`, by these lists. A list of two nodes may have the store as third witness.
    /// A witness needs no ballot for its own attempt: its claim on the key, and then its answer, are its vote.
    pub(super) fn new(key: Sha256, lists: &[Vec<u16>], own: u16, has_store: bool) -> Self {
        let mut sets: Vec<Set> = Vec::with_capacity(1);
        for list in lists {
            let mut witnesses = witnesses(key, list);
            if has_store && witnesses.len() == 2 {
                witnesses.push(STORE);
            }
            if sets.iter().any(|set| set.witnesses == witnesses) {
                continue;
            }
            let majority = witnesses.len() / 2 + 1;
            sets.push(Set {
                needed: majority - usize::from(witnesses.contains(&own)),
                asked: 0,
                witnesses,
            });
        }
        Self {
            own,
            sets,
            is_running: false,
        }
    }

    /// All witnesses but this node, the first choice first.
    pub fn others(&self) -> Vec<u16> {
        let mut others = Vec::with_capacity(MOST);
        for &witness in self.sets.iter().flat_map(|set| &set.witnesses) {
            if witness != self.own && !others.contains(&witness) {
                others.push(witness);
            }
        }
        others
    }

    /// Whether each list has its majority.
    pub fn is_won(&self) -> bool {
        self.sets.iter().all(|set| set.needed == 0)
    }

    /// Whether a vote of this witness is needed, if those that are asked give theirs.
    pub(super) fn needs(&self, witness: u16) -> bool {
        self.of(witness).any(|set| set.needed > set.asked)
    }

    /// Whether a vote of this witness helps.
    pub(super) fn is_helped_by(&self, witness: u16) -> bool {
        self.of(witness).any(|set| set.needed > 0)
    }

    /// Notes that a witness is asked.
    pub(super) fn ask(&mut self, witness: u16) {
        self.each_of(witness, |set| set.asked += 1);
    }

    /// Counts the vote of a witness that was asked, or its silence. Returns the other attempt that it voted for. A
    /// witness that is at work under the key gives no vote, and does not stand against the others.
    pub(super) fn hear(&mut self, witness: u16, vote: Option<Vote>) -> Option<FileId> {
        self.each_of(witness, |set| set.asked = set.asked.saturating_sub(1));
        match vote {
            Some(Vote::Given) => self.give(witness),
            Some(Vote::Running) => self.is_running = true,
            Some(Vote::Taken(attempt)) => return Some(attempt),
            None => {}
        }
        None
    }

    /// Counts a witness.
    pub fn give(&mut self, witness: u16) {
        self.each_of(witness, |set| set.needed = set.needed.saturating_sub(1));
    }

    /// Whether a witness was at work under the key.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    fn of(&self, witness: u16) -> impl Iterator<Item = &Set> {
        let sets = self.sets.iter();
        sets.filter(move |set| set.witnesses.contains(&witness))
    }

    fn each_of(&mut self, witness: u16, change: impl Fn(&mut Set)) {
        let sets = self.sets.iter_mut();
        sets.filter(|set| set.witnesses.contains(&witness))
            .for_each(change);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(number: u8) -> Sha256 {
        Sha256(Hasher::digest([number]).into())
    }

    #[test]
    fn all_nodes_find_the_same_witnesses_and_each_node_is_one_of_few_keys() {
        let mut of_node = BTreeMap::<u16, usize>::new();
        for number in 0..200 {
            let found = witnesses(key(number), &[1, 2, 3, 4, 5, 6]);
            assert_eq!(found, witnesses(key(number), &[6, 4, 2, 1, 3, 5]));
            assert_eq!(found.len(), 3);
            for node in &found {
                *of_node.entry(*node).or_default() += 1;
            }
            // A node that is none of them may go.
            let left: Vec<_> = (1..=6).filter(|node| *node != 6).collect();
            if !found.contains(&6) {
                assert_eq!(found, witnesses(key(number), &left));
            }
        }
        assert!(of_node.values().all(|&keys| (50..150).contains(&keys)));
        assert_eq!(of_node.len(), 6);
        assert_eq!(witnesses(key(1), &[7]), [7]);
    }

    /// This stands for the agreement with other versions of the program.
    #[test]
    fn the_order_of_witnesses_is_that_of_every_version() {
        let nodes = [1, 2, 3, 4, 5];
        assert_eq!(witnesses(key(0), &nodes), [5, 3, 4]);
        assert_eq!(witnesses(key(1), &nodes), [2, 3, 4]);
    }

    /// The number of witnesses that are asked at first.
    fn asked_first(count: &mut Count) -> usize {
        let mut asked = 0;
        for witness in count.others() {
            if count.needs(witness) {
                count.ask(witness);
                asked += 1;
            }
        }
        asked
    }

    #[test]
    fn two_majorities_of_the_same_witnesses_share_one() {
        for nodes in 1..=3 {
            let list: Vec<_> = (1..=nodes).collect();
            let needed = |own, has_store| {
                let mut count = Count::new(key(1), std::slice::from_ref(&list), own, has_store);
                let needed = asked_first(&mut count);
                assert_eq!(count.is_won(), needed == 0);
                needed
            };
            // One of them votes for itself, and a stranger does not.
            assert_eq!(needed(1, false) + 1, needed(9, false));
            assert!(needed(9, false) * 2 > list.len());
            // Two votes are enough among two nodes and the store.
            assert_eq!(needed(1, true), needed(1, false));
        }
    }

    #[test]
    fn a_witness_at_work_is_passed_over_and_one_with_another_attempt_is_not() {
        let mut count = Count::new(key(1), &[vec![1, 2, 3]], 9, false);
        assert_eq!(asked_first(&mut count), 2);
        let [first, second, third] = count.others()[..] else {
            panic!("{count:?}")
        };
        assert_eq!(count.hear(first, Some(Vote::Running)), None);
        assert!(count.needs(third));
        assert_eq!(count.hear(second, Some(Vote::Given)), None);
        let attempt = FileId::from_bytes([1; 12]);
        let taken = count.hear(third, Some(Vote::Taken(attempt)));
        assert!(taken == Some(attempt) && !count.is_won());
        assert_eq!(count.hear(third, Some(Vote::Given)), None);
        assert!(count.is_won() && count.is_running());
    }

    #[test]
    fn each_list_needs_a_majority_and_a_witness_counts_for_all_its_lists() {
        // The witnesses of this key among all five are 5, 3 and 4.
        let lists = [vec![1, 2, 3], vec![1, 2, 3, 4, 5], vec![3, 4, 5]];
        let mut count = Count::new(key(0), &lists, 9, false);
        assert_eq!(count.others().len(), 5);
        let mut hear = |witness, vote| {
            assert_eq!(count.hear(witness, vote), None);
            (1..=5).filter(|&node| count.is_helped_by(node)).collect()
        };
        let given = Some(Vote::Given);
        let helps: Vec<u16> = hear(5, given);
        assert_eq!(helps, [1, 2, 3, 4, 5]);
        assert_eq!(hear(4, given), [1, 2, 3]);
        assert_eq!(hear(1, None), [1, 2, 3]);
        assert_eq!(hear(3, given), [1, 2, 3]);
        assert!(hear(2, given).is_empty());
        assert!(count.is_won());
        // As few as possible are asked.
        let mut alike = Count::new(key(0), &[vec![3, 4, 5], vec![5, 4, 3]], 3, false);
        assert_eq!(asked_first(&mut alike), 1);
    }
}
