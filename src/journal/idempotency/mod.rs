//! Keys of requests in memory, and what answered them: a request that comes a second time under its
//! key gets the ids that it got the first time. Pure code: it knows no log and no disk.
//!
//! The key stands in the base of each entry that answers the request, so that the promise and the key
//! are one frame. Memory knows for each key no more than the ids and where the answer is to be found.
//!
//! # The life of a key
//! 1. *Claim*: a request comes, and takes its key ([`Claims::claim`]). Nobody else has the key until
//!    the [`Running`] is dropped. Only then the request asks: [`Keys::find`].
//! 2. *Learn*: the base of an entry that answers the request is synced. Within the lock that tells the
//!    index so, [`Keys::learn`] is told too; the claim is dropped later. The first answer stands:
//!    nobody carries the request out again as long as it is found.
//! 3. *Find*: while the entry lives, its base or tombstone in the log has the answer, whatever else has
//!    it too.
//! 4. *Retain*: before the `gone` of an entry is queued, [`Keys::needs`] tells whether its answer is
//!    wanted. If so, the answer is packed with others into a base of answers
//!    ([`Index::keep_answers`](super::index::Index::keep_answers)). When this is synced, and within
//!    the lock that tells the index so, [`Keys::retain`] is told the place. Then `gone` may be queued.
//!    A cut may come in between, and the file may be deleted behind it: so a deleted file's answer is
//!    retained once more, and counts.
//! 5. *Copy*: a segment counts the answers in it, as it counts the bases of entries. The log is needed
//!    from the lesser of [`Index::oldest`](super::index::Index::oldest) and [`Keys::oldest`] on. To free
//!    the oldest segment, each base of answers in it is read outside the lock;
//!    [`Keys::is_retained_at`] tells which of them live; these are packed again, as in step 4. A copy of
//!    one that was forgotten meanwhile does no harm.
//! 6. *Forget*: its time is over by the log's own clock, or there are too many answers. Of too many
//!    the oldest of the sender that has most goes first: however much one sends, the keys of others
//!    stay. Nothing is written for that.
//! 7. *Replay*: a start hands the answers of all entries to [`Keys::learn`], and those of bases of
//!    answers to [`Keys::replay`], as [`Index::replay`](super::index::Index::replay) tells them. Of two answers to one key the later one counts, in whatever order
//!    they are found. At the end [`Keys::forget_lost`] drops those that have no entry and no base.
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 1 | nothing | carries the request out |
//! | 2 queued | the base, or not | answers, or carries it out; nobody was told |
//! | 4 queued | the entry, perhaps the base of answers | finds either; both say the same |
//! | 4 retained, `gone` queued | the base of answers, perhaps the entry | the same; the entry comes first |
//! | 5 queued | the old base, perhaps the new one | the same |
//!
//! A form is answered by all of its files, each of which goes its own way through steps 3 to 5; the
//! answer is forgotten as a whole.
//!
//! # Memory
//! An answer of one file is 72 bytes in a table that is found, ordered by age, and ordered by sender
//! through numbers in the answers themselves; a sender is remembered only if it has two files or more.
//! A test measures all of it.

mod claims;
mod fingerprint;
mod lookup;
mod replay;
mod segments;
mod senders;
mod slot;
mod standing;
#[cfg(test)]
mod tests;
mod tree;

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use super::index::Place;
use super::index::order::Order;
use super::index::table::Table;
use crate::file::FileId;
use crate::journal::record::{Answer, Answered, LogTime};
use crate::store::Sha256;

pub use claims::{Claim, Claims, Running};
pub use fingerprint::Fingerprint;
pub use lookup::Known;
pub use segments::Retained;
pub use standing::Standing;

use segments::Segments;
use senders::Senders;
use slot::{Part, Slot, Tag};

/// How many answers one base has at most.
pub const PACKED: usize = 256;

/// How long answers are remembered, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of time that the log is served.
    pub lifetime: Duration,
    /// The number of files, over all answers.
    pub files: usize,
}

/// Which keys were answered, by which files, and where the answers are that have no entry any more.
#[derive(Debug)]
pub struct Keys {
    limits: Limits,
    /// Makes of keys what they are found by, so that nobody can choose some that share a bucket.
    secrets: [RandomState; 2],
    slots: Table<Slot>,
    /// The oldest comes first.
    ages: Order,
    senders: Senders,
    segments: Segments,
    files: usize,
    /// Memory of answers with several files, beyond their slots.
    parts_bytes: usize,
}

impl Keys {
    /// No keys yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            secrets: [RandomState::new(), RandomState::new()],
            slots: Table::default(),
            ages: Order::default(),
            senders: Senders::default(),
            segments: Segments::default(),
            files: 0,
            parts_bytes: 0,
        }
    }

    /// An entry answers a request, and its base is synced. A part that cannot be one is passed over.
    pub fn learn(&mut self, id: FileId, answer: &Answer, now: LogTime) {
        if slot::is_possible(id, &answer.part) {
            self.add(id, answer);
        }
        // The log had come so far when it was answered: a start does not know more yet.
        self.forget_old(now.max(answer.request.at));
    }

    /// Whether the answer of an entry that is to leave must be retained first: it is remembered, and is
    /// nowhere else as it is now.
    pub fn needs(&self, answered: &Answered) -> bool {
        let part = self.part(answered);
        part.is_some_and(|part| {
            part.place().is_none() || (answered.is_deleted && !part.is_deleted())
        })
    }

    /// A base of answers with this one is synced in a segment, at a place. One that is not remembered is
    /// passed over. Of two, one of a deleted file counts, and else the later. `bytes` are those of the
    /// base, divided by its answers.
    pub fn retain(&mut self, answered: &Answered, at: Retained, bytes: u32) {
        let Some(part) = self.part(answered) else {
            return;
        };
        let (before, is_deleted) = (part.place(), answered.is_deleted);
        if (part.is_deleted(), before) >= (is_deleted, Some(at.place)) {
            return;
        }
        self.segments.add(at, bytes);
        if let Some(before) = before {
            self.segments.subtract(before);
        }
        let number = self.number(self.tag(answered.answer.request.key));
        let slot = number.and_then(|number| self.slots.get_mut(number));
        let position = answered.answer.part.position;
        if let Some(part) = slot.and_then(|slot| slot.files.part_mut(position)) {
            part.retain(at.place, is_deleted);
        }
    }

    /// Whether an answer that was read at this place lives there: it is to be copied before its segment
    /// goes.
    pub fn is_retained_at(&self, answered: &Answered, place: Place) -> bool {
        let part = self.part(answered);
        part.is_some_and(|part| part.place() == Some(place))
    }

    /// The first segment in which an answer is retained.
    pub fn oldest(&self) -> Option<u64> {
        self.segments.oldest()
    }

    /// How many answers are retained in a segment.
    pub fn retained_in(&self, segment: u64) -> u64 {
        self.segments.live(segment)
    }

    /// About how many bytes of the log the retained answers need.
    pub fn live_bytes(&self) -> u64 {
        self.segments.live_bytes()
    }

    /// Forgets a key: its answer is lost.
    pub fn forget(&mut self, key: Sha256) {
        if let Some(number) = self.number(self.tag(key)) {
            self.remove(number);
        }
    }

    /// Forgets the answers whose time is over, and of too many the oldest of the sender that has most.
    pub fn forget_old(&mut self, now: LogTime) {
        let lifetime = u64::try_from(self.limits.lifetime.as_millis()).unwrap_or(u64::MAX);
        while let Some(first) = self.ages.first()
            && let Some(slot) = self.slots.get(first)
            && slot.at.0.saturating_add(lifetime) <= now.0
        {
            self.remove(first);
        }
        while self.files > self.limits.files
            && let Some(number) = self.senders.first().or_else(|| self.ages.first())
        {
            self.remove(number);
        }
    }

    /// How many files are remembered.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Bytes of memory that all tables take.
    pub fn memory_bytes(&self) -> usize {
        let orders = self.ages.bytes() + self.senders.bytes();
        self.slots.bytes() + orders + self.parts_bytes
    }

    fn add(&mut self, id: FileId, answer: &Answer) {
        let tag = self.tag(answer.request.key);
        if let Some(number) = self.number(tag)
            && let Some(known) = self.slots.get_mut(number)
        {
            if known.files.first() == Some(answer.part.first) {
                let part = known.files.part_mut(answer.part.position);
                if part.is_some_and(|part| part.find(id)) {
                    self.files += 1;
                    self.senders.add_file(&mut self.slots, number);
                }
                return;
            }
            if known.age() > (answer.request.at, Some(answer.part.first)) {
                return;
            }
            self.remove(number);
        }
        let mut slot = Slot::new(tag, answer);
        if let Some(part) = slot.files.part_mut(answer.part.position) {
            part.find(id);
        }
        self.files += 1;
        self.parts_bytes += slot.files.bytes();
        let number = self.slots.insert(slot);
        self.ages.push(&mut self.slots, number, Slot::age);
        self.senders.begin(&mut self.slots, number);
    }

    fn remove(&mut self, number: u32) {
        let Some(slot) = self.slots.get(number) else {
            return;
        };
        let files = slot.files.found();
        let retained: Vec<_> = slot.files.places().collect();
        self.parts_bytes -= slot.files.bytes();
        self.files -= files;
        for place in retained {
            self.segments.subtract(place);
        }
        self.ages.remove(&mut self.slots, number, Slot::age);
        self.senders.end(&mut self.slots, number, files);
        self.slots.remove(number);
        // The last slot has this number now.
        if let Some(moved) = self.slots.get(number) {
            let (rank, last) = (moved.rank, self.slots.len());
            self.ages.renumber(rank, number);
            self.senders.renumber(&mut self.slots, last, number);
        }
    }

    /// A file of an answer, if it is remembered.
    fn part(&self, answered: &Answered) -> Option<&Part> {
        let Answered { id, answer, .. } = answered;
        let slot = self.slots.get(self.number(self.tag(answer.request.key))?)?;
        let is_same = slot.files.first() == Some(answer.part.first);
        let part = slot.files.part(answer.part.position);
        part.filter(|part| is_same && part.id() == Some(*id))
    }

    fn number(&self, tag: Tag) -> Option<u32> {
        self.slots.find(tag.hash(), |slot| slot.tag == tag)
    }

    fn tag(&self, key: Sha256) -> Tag {
        let [high, low] = &self.secrets;
        Tag::new([high, low].map(|secret| secret.hash_one(key.0)))
    }
}
