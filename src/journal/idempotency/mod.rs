//! Idempotency keys in memory, and their answers: a request that comes again with its key gets the ids
//! of the first time. Pure code: it knows no log and no disk.
//!
//! The key stands in the base of each entry that answers the request, so that promise and key are one
//! frame. For each key, memory has only the ids and the places of the answers.
//!
//! # The life of a key
//! 1. *Claim*: a request comes and claims its key ([`Claims::claim`]). Nobody else can claim the key
//!    until the [`Running`] is dropped. Only after the claim the request calls [`Keys::find`].
//! 2. *Learn*: the base of an entry that answers the request is synced. [`Keys::learn`] is called under
//!    the same lock as [`Index::synced`](super::index::Index::synced); the claim is dropped later. The
//!    first answer stands while it is found; only an open upload gives way to a later one.
//! 3. *Find*: while the entry lives, its base or tombstone in the log has the answer, even if a base of
//!    answers has it too.
//! 4. *Retain*: before the `gone` of an entry is queued, [`Keys::needs`] tells whether its answer is
//!    remembered. If so, the answer is packed with others into a base of answers
//!    ([`Index::keep_answers`](super::index::Index::keep_answers)). After that is synced,
//!    [`Keys::retain`] is told the place, under the same lock. Then `gone` may be queued. A cut may
//!    come in between, and the file may be deleted after it: so the answer of a deleted file is
//!    retained once more, and the later one counts.
//! 5. *Copy*: each segment has a count of its answers, like that of the bases of entries. The log is
//!    needed from the lower of [`Index::oldest`](super::index::Index::oldest) and [`Keys::oldest`] on.
//!    To free the oldest segment, each base of answers in it is read outside the lock.
//!    [`Keys::is_retained_at`] tells which of these answers live; they are packed again, as in step 4.
//!    A copy of an answer that was forgotten meanwhile does no harm.
//! 6. *Forget*: the lifetime of an answer is over by the log's own clock, or there are too many
//!    answers. If there are too many, the oldest answer of the sender with the most files goes first:
//!    however much one sender sends, the keys of others stay. Nothing is written for this.
//! 7. *Replay*: a start hands the answers of all entries to [`Keys::learn`], and those of bases of
//!    answers to [`Keys::replay`], as [`Index::replay`](super::index::Index::replay) returns them. If
//!    there are two answers to one key, the later one counts, in any order of finding them. At the end
//!    [`Keys::forget_lost`] drops answers without an entry and without a base. It keeps an answer of
//!    another node that has come in part ([`Keys::is_coming`]).
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 1 | nothing | carries the request out |
//! | 2 queued | the base, or not | answers, or carries it out; no caller was told |
//! | 4 queued | the entry, perhaps the base of answers | finds either; both have the same answer |
//! | 4 retained, `gone` queued | the base of answers, perhaps the entry | the same; the entry comes first |
//! | 5 queued | the old base, perhaps the new one | the same |
//!
//! All files of a form answer it. Each file passes steps 3 to 5 on its own; the answer is forgotten as
//! a whole.
//!
//! # Memory
//! An answer of one file takes 72 bytes. Numbers in the answers themselves link them for finding, for
//! the order of age, and for the order of senders. A sender is remembered only if it has two files or
//! more. A test measures the memory of all tables.

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
pub use lookup::{AnswerPlace, Known};
pub use segments::Retained;
pub use standing::Standing;

use segments::Segments;
use senders::Senders;
use slot::{Part, Slot, Tag};

/// The most answers in one base.
pub const PACKED: usize = 256;

/// The bounds on the age and the number of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lifetime, by the log's own clock.
    pub lifetime: Duration,
    /// Files in all answers.
    pub files: usize,
}

/// The answered keys, the files that answered them, and the places of answers after their entries.
#[derive(Debug)]
pub struct Keys {
    limits: Limits,
    /// Secrets from which the hashes of keys are made, so that nobody can choose keys that share a
    /// bucket.
    secrets: [RandomState; 2],
    slots: Table<Slot>,
    /// The oldest comes first.
    ages: Order,
    senders: Senders,
    segments: Segments,
    files: usize,
    /// Memory of answers with several files, beside their slots.
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

    /// Learns that an entry answers a request; its base is synced. An impossible part is ignored.
    pub fn learn(&mut self, id: FileId, answer: &Answer, now: LogTime) {
        if slot::is_possible(id, &answer.part) {
            self.add(id, answer);
        }
        // The log had reached this time when the request was answered: a start knows no later one yet.
        self.forget_old(now.max(answer.request.at));
    }

    /// Learns that a base with this answer is synced at a place. An answer that is not remembered
    /// is ignored. If there are two, that of a deleted file counts, or else the later one. `bytes`
    /// is the size of the base divided by its answers.
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

    /// Whether the answer at this place is the live one, which must be copied before its segment goes.
    pub fn is_retained_at(&self, answered: &Answered, place: Place) -> bool {
        let part = self.part(answered);
        part.is_some_and(|part| part.place() == Some(place))
    }

    /// The first segment with a retained answer.
    pub fn oldest(&self) -> Option<u64> {
        self.segments.oldest()
    }

    /// The number of retained answers in a segment.
    pub fn retained_in(&self, segment: u64) -> u64 {
        self.segments.live(segment)
    }

    /// The approximate number of bytes of the log for retained answers.
    pub fn live_bytes(&self) -> u64 {
        self.segments.live_bytes()
    }

    /// Forgets a key that has lost its answer.
    pub fn forget(&mut self, key: Sha256) {
        if let Some(number) = self.number(self.tag(key)) {
            self.remove(number);
        }
    }

    /// Forgets expired answers; if there are too many, the oldest ones of the sender with the most
    /// files.
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

    /// The number of remembered files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Bytes of memory of all tables.
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
        self.check_counts();
    }

    fn remove(&mut self, number: u32) {
        let Some(slot) = self.slots.get(number) else {
            return;
        };
        let (files, parts_bytes) = (slot.files.found(), slot.files.bytes());
        let retained: Vec<_> = slot.files.places().collect();
        debug_assert!(self.files >= files && self.parts_bytes >= parts_bytes);
        self.parts_bytes = self.parts_bytes.saturating_sub(parts_bytes);
        self.files = self.files.saturating_sub(files);
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
        self.check_counts();
    }

    /// Each answer has an age and one file at least.
    fn check_counts(&self) {
        debug_assert_eq!(self.ages.len(), self.slots.len());
        debug_assert!(self.files >= self.slots.len());
    }

    /// A file of a remembered answer.
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
