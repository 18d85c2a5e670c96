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

/// The count of votes for one attempt.
#[derive(Debug)]
pub(super) struct Count {
    /// The votes of other nodes that are still needed.
    needed: usize,
    is_running: bool,
}

/// The result so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// More votes are needed: this many.
    Open(usize),
    /// The majority is for the attempt.
    Won,
    /// Another attempt has a vote.
    Taken(FileId),
}

impl Count {
    /// The count among so many witnesses; `is_one` says whether this node is one of them. A witness needs no ballot for its own attempt: its claim on the key,
    /// and then its answer, are its vote.
    pub(super) fn new(witnesses: usize, is_one: bool) -> Self {
        let majority = witnesses / 2 + 1;
        Self {
            needed: majority - usize::from(is_one),
            is_running: false,
        }
    }

    /// The result before a vote.
    pub(super) fn begin(&self) -> Counted {
        match self.needed {
            0 => Counted::Won,
            needed => Counted::Open(needed),
        }
    }

    /// Counts a vote. A witness that is at work under the key gives none, and does not stand against the
    /// others.
    pub(super) fn add(&mut self, vote: Vote) -> Counted {
        match vote {
            Vote::Given => self.needed = self.needed.saturating_sub(1),
            Vote::Running => self.is_running = true,
            Vote::Taken(attempt) => return Counted::Taken(attempt),
        }
        self.begin()
    }

    /// Whether a witness was at work under the key.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
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

    #[test]
    fn two_majorities_of_the_same_witnesses_share_one() {
        for count in 1..=3 {
            let needed = |is_one| match Count::new(count, is_one).begin() {
                Counted::Won => 0,
                Counted::Open(needed) => needed,
                Counted::Taken(_) => panic!("nobody voted"),
            };
            // One of them votes for itself, and a stranger does not.
            assert_eq!(needed(true) + 1, needed(false));
            assert!(needed(false) * 2 > count);
        }
    }

    #[test]
    fn a_witness_at_work_is_passed_over_and_one_with_another_attempt_is_not() {
        let mut count = Count::new(3, false);
        assert_eq!(count.add(Vote::Running), Counted::Open(2));
        assert_eq!(count.add(Vote::Given), Counted::Open(1));
        let attempt = FileId::from_bytes([1; 12]);
        assert_eq!(count.add(Vote::Taken(attempt)), Counted::Taken(attempt));
        assert_eq!(count.add(Vote::Given), Counted::Won);
        assert!(count.is_running());
    }
}
