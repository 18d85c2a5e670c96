//! The senders of remembered answers: the number of files of each, and the answer that must go first.

use std::cmp::Reverse;

use super::slot::{Age, Slot};
use super::tree::{Key, Tree};
use crate::journal::index::order::{Order, Ranked};
use crate::journal::index::table::{Chained, NONE, Table, narrow};
use crate::journal::record::Subject;

/// A sender with two files or more. (A sender with one file has no record of its own.)
#[derive(Debug)]
struct Crowd {
    /// As bytes, so that alignment wastes none.
    sender: [u8; 8],
    files: u32,
    /// The number of its oldest answer.
    oldest: u32,
    rank: u32,
    next: u32,
}

/// The answers of all senders.
#[derive(Debug, Default)]
pub(super) struct Senders {
    answers: Tree,
    crowds: Table<Crowd>,
    /// The sender with the most files comes first; among equals, the one with the oldest answer.
    most: Order,
}

impl Senders {
    /// Adds a new answer, of which one file is found.
    pub(super) fn begin(&mut self, slots: &mut Table<Slot>, number: u32) {
        self.change(slots, number, |answers, slots, files| {
            answers.insert(slots, number);
            files.saturating_add(1)
        });
    }

    /// Adds a file of an answer.
    pub(super) fn add_file(&mut self, slots: &mut Table<Slot>, number: u32) {
        self.change(slots, number, |_, _, files| files.saturating_add(1));
    }

    /// Takes out an answer, with the number of its found files.
    pub(super) fn end(&mut self, slots: &mut Table<Slot>, number: u32, less: usize) {
        self.change(slots, number, |answers, slots, files| {
            answers.remove(slots, number);
            debug_assert!(files >= narrow(less), "{less} files go, of {files}");
            files.saturating_sub(narrow(less))
        });
    }

    /// Notes that an answer has another number now.
    pub(super) fn renumber(&mut self, slots: &mut Table<Slot>, from: usize, to: u32) {
        let from = narrow(from);
        self.answers.renumber(slots, from, to);
        let crowd = slots.get(to).and_then(|slot| self.find(slot.sender));
        if let Some(crowd) = crowd.and_then(|number| self.crowds.get_mut(number))
            && crowd.oldest == from
        {
            crowd.oldest = to;
        }
    }

    /// The first answer behind a place in the order of senders and ages.
    pub(super) fn next(&self, slots: &Table<Slot>, behind: Option<Key>) -> Option<(Key, u32)> {
        self.answers.next(slots, behind)
    }

    /// The answer that must go first, if a sender has two files or more.
    pub(super) fn first(&self) -> Option<u32> {
        Some(self.crowds.get(self.most.first()?)?.oldest)
    }

    pub(super) fn bytes(&self) -> usize {
        self.crowds.bytes() + self.most.bytes()
    }

    /// Changes the answers of a sender; `edit` gets and returns the number of its files.
    fn change(
        &mut self,
        slots: &mut Table<Slot>,
        number: u32,
        edit: impl FnOnce(&mut Tree, &mut Table<Slot>, u32) -> u32,
    ) {
        let Some(sender) = slots.get(number).map(|slot| slot.sender) else {
            return;
        };
        let known = self.find(sender);
        if let Some(crowd) = known {
            self.most.remove(&mut self.crowds, crowd, order(slots));
        }
        let files = match known.and_then(|crowd| self.crowds.get(crowd)) {
            Some(crowd) => crowd.files,
            None => u32::from(self.answers.oldest(slots, sender).is_some()),
        };
        let files = edit(&mut self.answers, slots, files);
        let oldest = self.answers.oldest(slots, sender).unwrap_or(NONE);
        match known {
            Some(crowd) if files < 2 => self.forget(crowd),
            None if files < 2 => {}
            known => {
                let crowd = known.unwrap_or_else(|| self.crowds.insert(Crowd::new(sender)));
                if let Some(crowd) = self.crowds.get_mut(crowd) {
                    (crowd.files, crowd.oldest) = (files, oldest);
                }
                self.most.push(&mut self.crowds, crowd, order(slots));
            }
        }
    }

    /// Removes a sender that has no place in the order any more.
    fn forget(&mut self, number: u32) {
        self.crowds.remove(number);
        // The last sender has this number now.
        if let Some(moved) = self.crowds.get(number) {
            self.most.renumber(moved.rank, number);
        }
    }

    fn find(&self, sender: Subject) -> Option<u32> {
        let sender = sender.0.to_le_bytes();
        let hash = hash(sender);
        self.crowds.find(hash, |crowd| crowd.sender == sender)
    }
}

fn order(slots: &Table<Slot>) -> impl Fn(&Crowd) -> (Reverse<u32>, Option<Age>) {
    |crowd| {
        let oldest = slots.get(crowd.oldest);
        (Reverse(crowd.files), oldest.map(Slot::age))
    }
}

/// A sender is a digest already.
fn hash(sender: [u8; 8]) -> u64 {
    u64::from_le_bytes(sender)
}

impl Crowd {
    fn new(sender: Subject) -> Self {
        Self {
            sender: sender.0.to_le_bytes(),
            files: 0,
            oldest: NONE,
            rank: NONE,
            next: NONE,
        }
    }
}

impl Chained for Crowd {
    fn hash(&self) -> u64 {
        hash(self.sender)
    }

    fn next(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn peek_next(&self) -> u32 {
        self.next
    }
}

impl Ranked for Crowd {
    fn rank(&mut self) -> &mut u32 {
        &mut self.rank
    }
}
