//! A tree of answers in the order of sender and age, linked through the answers themselves. It is a
//! treap (Seidel and Aragon 1996), which stays shallow as long as nobody can foresee the priorities.

use super::slot::{Age, Slot};
use crate::journal::index::table::{NONE, Table};
use crate::journal::record::Subject;

pub(super) type Key = (Subject, Age);

#[derive(Debug)]
pub(super) struct Tree {
    root: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: NONE }
    }
}

impl Tree {
    pub(super) fn insert(&mut self, slots: &mut Table<Slot>, number: u32) {
        if let Some(new) = slots.get(number).map(Node::of) {
            self.root = insert(slots, self.root, number, new);
        }
    }

    pub(super) fn remove(&mut self, slots: &mut Table<Slot>, number: u32) {
        if let Some(old) = slots.get(number).map(Node::of) {
            self.root = remove(slots, self.root, number, old.key);
        }
    }

    /// The oldest answer of a sender.
    pub(super) fn oldest(&self, slots: &Table<Slot>, sender: Subject) -> Option<u32> {
        let (mut at, mut oldest) = (self.root, None);
        while let Some(slot) = slots.get(at) {
            if slot.sender == sender {
                oldest = Some(at);
            }
            at = if slot.sender < sender {
                slot.behind
            } else {
                slot.before
            };
        }
        oldest
    }

    /// The first answer behind a place in the order; `None` is before all.
    pub(super) fn next(&self, slots: &Table<Slot>, behind: Option<Key>) -> Option<(Key, u32)> {
        let (mut at, mut next) = (self.root, None);
        while let Some(slot) = slots.get(at) {
            let key = Node::of(slot).key;
            if behind < Some(key) {
                next = Some((key, at));
                at = slot.before;
            } else {
                at = slot.behind;
            }
        }
        next
    }

    /// Notes that the answer with the last number has another number now; it is still linked under the
    /// old one.
    pub(super) fn renumber(&mut self, slots: &mut Table<Slot>, from: u32, to: u32) {
        let Some(key) = slots.get(to).map(|slot| Node::of(slot).key) else {
            return;
        };
        let mut at = self.root;
        if at == from {
            self.root = to;
            return;
        }
        while let Some(slot) = slots.get_mut(at) {
            let link = if key < Node::of(slot).key {
                &mut slot.before
            } else {
                &mut slot.behind
            };
            at = *link;
            if at == from {
                *link = to;
                return;
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    key: Key,
    priority: u64,
    before: u32,
    behind: u32,
}

impl Node {
    fn of(slot: &Slot) -> Self {
        Self {
            key: (slot.sender, slot.age()),
            priority: slot.tag.priority(),
            before: slot.before,
            behind: slot.behind,
        }
    }
}

fn node(slots: &Table<Slot>, number: u32) -> Option<Node> {
    slots.get(number).map(Node::of)
}

fn link(slots: &mut Table<Slot>, number: u32, before: u32, behind: u32) {
    if let Some(slot) = slots.get_mut(number) {
        (slot.before, slot.behind) = (before, behind);
    }
}

/// Puts an answer into a tree; returns the root. Its recursion, like those below, is as deep as the
/// tree.
fn insert(slots: &mut Table<Slot>, root: u32, number: u32, new: Node) -> u32 {
    let Some(at) = node(slots, root) else {
        return number;
    };
    if new.priority > at.priority {
        let (before, behind) = split(slots, root, new.key);
        link(slots, number, before, behind);
        return number;
    }
    if new.key < at.key {
        let before = insert(slots, at.before, number, new);
        link(slots, root, before, at.behind);
    } else {
        let behind = insert(slots, at.behind, number, new);
        link(slots, root, at.before, behind);
    }
    root
}

fn remove(slots: &mut Table<Slot>, root: u32, number: u32, key: Key) -> u32 {
    let Some(at) = node(slots, root) else {
        return NONE;
    };
    if root == number {
        link(slots, number, NONE, NONE);
        return merge(slots, at.before, at.behind);
    }
    if key < at.key {
        let before = remove(slots, at.before, number, key);
        link(slots, root, before, at.behind);
    } else {
        let behind = remove(slots, at.behind, number, key);
        link(slots, root, at.before, behind);
    }
    root
}

/// Splits a tree at a key into two.
fn split(slots: &mut Table<Slot>, root: u32, key: Key) -> (u32, u32) {
    let Some(at) = node(slots, root) else {
        return (NONE, NONE);
    };
    if at.key < key {
        let (before, behind) = split(slots, at.behind, key);
        link(slots, root, at.before, before);
        (root, behind)
    } else {
        let (before, behind) = split(slots, at.before, key);
        link(slots, root, behind, at.behind);
        (before, root)
    }
}

/// Joins two trees; all answers of the first come before those of the second.
fn merge(slots: &mut Table<Slot>, before: u32, behind: u32) -> u32 {
    match (node(slots, before), node(slots, behind)) {
        (None, _) => behind,
        (_, None) => before,
        (Some(first), Some(second)) if first.priority > second.priority => {
            let merged = merge(slots, first.behind, behind);
            link(slots, before, first.before, merged);
            before
        }
        (Some(_), Some(second)) => {
            let merged = merge(slots, before, second.before);
            link(slots, behind, merged, second.behind);
            behind
        }
    }
}
