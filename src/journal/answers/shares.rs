//! The senders whose answers are remembered: how many of each, and which of all is to go first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::Sender;
use crate::file::FileId;

/// The answers of all senders, by their first files.
#[derive(Debug, Default)]
pub(super) struct Shares {
    files: HashMap<Sender, usize>,
    answers: BTreeSet<(Sender, FileId)>,
    /// Each sender by the files that it has; of those that have as many, the one whose oldest answer is
    /// the oldest comes last.
    ranks: BTreeSet<Rank>,
}

type Rank = (usize, Reverse<FileId>, Sender);

impl Shares {
    /// An answer is remembered, without files yet.
    pub(super) fn begin(&mut self, sender: Sender, first: FileId) {
        self.change(sender, |shares| {
            shares.answers.insert((sender, first));
        });
    }

    /// An answer has one file more.
    pub(super) fn add(&mut self, sender: Sender) {
        self.change(sender, |shares| {
            *shares.files.entry(sender).or_default() += 1;
        });
    }

    /// An answer with so many files is forgotten.
    pub(super) fn end(&mut self, sender: Sender, first: FileId, files: usize) {
        self.change(sender, |shares| {
            shares.answers.remove(&(sender, first));
            let left = shares.count(sender).saturating_sub(files);
            if left == 0 {
                shares.files.remove(&sender);
            } else {
                shares.files.insert(sender, left);
            }
        });
    }

    /// The first file of the answer that is to go before all others.
    pub(super) fn next(&self) -> Option<FileId> {
        self.ranks.last().map(|&(_, Reverse(oldest), _)| oldest)
    }

    fn change(&mut self, sender: Sender, change: impl FnOnce(&mut Self)) {
        if let Some(rank) = self.rank(sender) {
            self.ranks.remove(&rank);
        }
        change(self);
        if let Some(rank) = self.rank(sender) {
            self.ranks.insert(rank);
        }
    }

    /// `None` if nothing of this sender is remembered.
    fn rank(&self, sender: Sender) -> Option<Rank> {
        let from = (sender, FileId::from_bytes([0; FileId::BYTES]));
        let &(found, oldest) = self.answers.range(from..).next()?;
        (found == sender).then(|| (self.count(sender), Reverse(oldest), sender))
    }

    fn count(&self, sender: Sender) -> usize {
        self.files.get(&sender).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> FileId {
        FileId::from_bytes([byte; FileId::BYTES])
    }

    #[test]
    fn the_oldest_of_the_sender_that_has_most_goes_first() {
        let mut shares = Shares::default();
        let (one, other) = (Sender(1), Sender(2));
        for (sender, first, files) in [(one, 1, 1), (other, 2, 2), (other, 3, 3), (one, 4, 1)] {
            shares.begin(sender, id(first));
            (0..files).for_each(|_| shares.add(sender));
        }
        assert_eq!(shares.next(), Some(id(2)), "five files of two answers");
        shares.end(other, id(2), 2);
        assert_eq!(shares.next(), Some(id(3)), "three files are more than two");
        shares.end(other, id(3), 3);
        assert_eq!(shares.next(), Some(id(1)));
        shares.begin(other, id(5));
        (0..2).for_each(|_| shares.add(other));
        assert_eq!(shares.next(), Some(id(1)), "as many, and older");
        shares.end(one, id(1), 1);
        assert_eq!(shares.next(), Some(id(5)));
        shares.end(other, id(5), 2);
        shares.end(one, id(4), 1);
        assert_eq!(shares.next(), None);
        assert!(shares.files.is_empty() && shares.ranks.is_empty());
    }
}
