//! Which keys were answered, by which files, and where the records of these are.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::kept::Position;
use super::shares::Shares;
use super::{AnswerTo, Sender};
use crate::file::FileId;
use crate::store::Sha256;

#[derive(Debug, Default)]
pub(in crate::journal) struct Memory {
    answers: HashMap<Sha256, Answer>,
    /// The keys by the first files of their answers, and so by their age.
    order: BTreeMap<FileId, Sha256>,
    shares: Shares,
    files: usize,
    /// Every file of kept records on disk, with how many of them are remembered.
    live: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Answer {
    first: FileId,
    sender: Sender,
    /// In order. What is missing is not found yet, or lost.
    files: Vec<Option<File>>,
}

#[derive(Debug, Clone, Copy)]
struct File {
    id: FileId,
    /// Where its record is kept; `None` while it is in the journal.
    kept: Option<Position>,
}

impl Memory {
    /// An entry answers a request. Of two answers to one key the later one counts.
    pub(in crate::journal) fn learn(&mut self, id: FileId, answer: &AnswerTo) {
        let (key, seat) = (answer.request.key, answer.seat);
        match self.answers.get(&key).map(|known| known.first) {
            Some(first) if first == seat.first => {}
            Some(first) if first > seat.first => return,
            _ => {
                self.forget(key);
                let files = usize::try_from(seat.files).unwrap_or_default();
                let answer = Answer {
                    first: seat.first,
                    sender: answer.request.sender,
                    files: vec![None; files],
                };
                self.shares.begin(answer.sender, seat.first);
                self.answers.insert(key, answer);
                self.order.insert(seat.first, key);
            }
        }
        if let Some(file @ None) = self.file(answer) {
            *file = Some(File { id, kept: None });
            self.files += 1;
            if let Some(answer) = self.answers.get(&key) {
                self.shares.add(answer.sender);
            }
        }
    }

    /// Whether a record is remembered and not kept yet.
    pub(super) fn needs(&mut self, answer: &AnswerTo) -> bool {
        matches!(self.file(answer), Some(Some(File { kept: None, .. })))
    }

    /// A record is kept.
    pub(super) fn keep(&mut self, answer: &AnswerTo, position: Position) {
        if let Some(Some(file @ File { kept: None, .. })) = self.file(answer) {
            file.kept = Some(position);
            *self.live.entry(position.generation).or_default() += 1;
        }
    }

    fn file(&mut self, answer: &AnswerTo) -> Option<&mut Option<File>> {
        let known = self.answers.get_mut(&answer.request.key)?;
        let position = usize::try_from(answer.seat.position).ok()?;
        let is_same = known.first == answer.seat.first;
        known.files.get_mut(position).filter(|_| is_same)
    }

    /// The files that answered a key, if all of them are known.
    pub(in crate::journal) fn complete(&self, key: Sha256) -> Option<Vec<FileId>> {
        let answer = self.answers.get(&key)?;
        let ids = answer.files.iter().map(|file| file.map(|file| file.id));
        ids.collect()
    }

    /// Where the record of a file that answered a key is kept.
    pub(super) fn position(&self, key: Sha256, id: FileId) -> Option<Position> {
        let answer = self.answers.get(&key)?;
        let file = answer.files.iter().flatten().find(|file| file.id == id)?;
        file.kept
    }

    pub(in crate::journal) fn forget(&mut self, key: Sha256) {
        let Some(answer) = self.answers.remove(&key) else {
            return;
        };
        self.order.remove(&answer.first);
        let files = answer.files.iter().flatten().count();
        self.shares.end(answer.sender, answer.first, files);
        self.files -= files;
        for file in answer.files.into_iter().flatten() {
            if let Some(position) = file.kept
                && let Some(live) = self.live.get_mut(&position.generation)
            {
                *live -= 1;
            }
        }
    }

    /// Forgets answers that are older than `oldest`, and of too many the oldest of the sender that has
    /// most.
    pub(super) fn forget_old(&mut self, oldest: SystemTime, most: usize) {
        while let Some((first, &key)) = self.order.first_key_value()
            && first.made_at() < oldest
        {
            self.forget(key);
        }
        while self.files > most
            && let Some(first) = self.shares.next()
            && let Some(&key) = self.order.get(&first)
        {
            self.forget(key);
        }
    }

    /// How many files are remembered.
    pub(in crate::journal) fn files(&self) -> usize {
        self.files
    }

    /// A file of kept records is there.
    pub(super) fn add_segment(&mut self, generation: u64) {
        self.live.entry(generation).or_default();
    }

    /// The last file of kept records.
    pub(super) fn last_segment(&self) -> Option<u64> {
        self.live.last_key_value().map(|(&last, _)| last)
    }

    /// The files of kept records that nobody needs.
    pub(super) fn dead_segments(&self) -> Vec<u64> {
        let dead = self.live.iter().filter(|&(_, &live)| live == 0);
        dead.map(|(&generation, _)| generation).collect()
    }

    pub(super) fn remove_segment(&mut self, generation: u64) {
        self.live.remove(&generation);
    }
}
