//! What is in which room, in memory: a hint that recovery makes anew from the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::time::Instant;

use super::answers::Standing;
use super::layout::Room;
use super::log::Position;
use crate::file::FileId;
use crate::store::Sha256;

/// An entry, as far as memory needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) room: Room,
    pub(super) length: u64,
    /// Bytes of its record.
    pub(super) record_bytes: u64,
    /// Whether a commit may have begun, so that the store may hold something of it.
    pub(super) is_begun: bool,
    /// Whether it answers a request that has a key: its record outlives it.
    pub(super) is_keyed: bool,
    pub(super) place: Place,
}

/// Where an entry's record and body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In files of its own.
    Files,
    /// In the log; its room is `incoming` then.
    Log(Position),
}

/// Entries and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub entries: u64,
    /// The sum of their lengths.
    pub bytes: u64,
    /// Bytes of their records.
    pub record_bytes: u64,
}

impl Totals {
    /// Of one entry whose record is not written yet.
    pub(super) fn of(length: u64) -> Self {
        Self {
            entries: 1,
            bytes: length,
            record_bytes: 0,
        }
    }

    /// All bytes that they take.
    pub(super) fn all_bytes(self) -> u64 {
        self.bytes.saturating_add(self.record_bytes)
    }

    fn add(&mut self, more: Self) {
        self.entries += more.entries;
        self.bytes += more.bytes;
        self.record_bytes += more.record_bytes;
    }

    fn subtract(&mut self, less: Self) {
        self.entries -= less.entries;
        self.bytes -= less.bytes;
        self.record_bytes -= less.record_bytes;
    }
}

impl Slot {
    fn totals(self) -> Totals {
        Totals {
            record_bytes: self.record_bytes,
            ..Totals::of(self.length)
        }
    }
}

/// Moves of an entry, as long as a power cut may undo them.
#[derive(Debug, Clone, Default)]
pub(super) struct Unfinished {
    /// Of the last one.
    pub(super) number: u64,
    /// The rooms that it left or came to.
    pub(super) rooms: Vec<Room>,
}

/// Something that an entry keeps as long as it is pending.
pub(super) type KeptWhilePending = Box<dyn fmt::Debug + Send>;

/// All entries of the journal.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashMap<FileId, Slot>,
    /// In order of their ids, which is that of their age.
    pending: BTreeSet<FileId>,
    /// In the order in which they were settled; may name entries that have left since.
    settled: VecDeque<(Instant, FileId)>,
    /// Of settled entries; not of those that were settled before the start.
    digests: HashMap<FileId, Sha256>,
    /// What is dropped when its entry leaves the backlog.
    kept_while_pending: HashMap<FileId, KeptWhilePending>,
    /// Entries with a move that a power cut may undo.
    unfinished: HashMap<FileId, Unfinished>,
    moves: u64,
    /// Taken out to be evicted, with files that are not removed for good yet, and the rooms where
    /// moves that failed may have left records.
    pub(super) evicted: BTreeMap<FileId, Vec<Room>>,
    /// Settled entries that have left, with where their records are until they are kept as answers.
    pub(super) leaving: BTreeMap<FileId, Place>,
    /// When the store was first cleared of entries that are deleted.
    cleared: HashMap<FileId, Instant>,
    totals: HashMap<Room, Totals>,
    /// Uploads that are being adopted: they count against the marks before they have a room.
    pub(super) reserved: Totals,
}

impl Index {
    pub(super) fn get(&self, id: FileId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    pub(super) fn begin(&mut self, id: FileId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.is_begun = true;
        }
    }

    pub(super) fn insert(&mut self, id: FileId, slot: Slot) {
        self.take(id);
        let totals = self.totals.entry(slot.room).or_default();
        totals.add(slot.totals());
        if slot.room.is_pending() {
            self.pending.insert(id);
        } else {
            self.kept_while_pending.remove(&id);
        }
        if slot.room == Room::Settled {
            self.settled.push_back((Instant::now(), id));
        }
        self.slots.insert(id, slot);
    }

    pub(super) fn move_to(&mut self, id: FileId, room: Room) {
        if let Some(slot) = self.get(id) {
            self.insert(id, Slot { room, ..slot });
        }
    }

    /// The record of an entry was moved, and nothing is fsynced. What is begun is to be finished:
    /// see [`super::Journal::finish_move`].
    pub(super) fn begin_move(&mut self, id: FileId, to: Room) {
        let Some(from) = self.get(id).map(|slot| slot.room) else {
            return;
        };
        self.moves += 1;
        let unfinished = self.unfinished.entry(id).or_default();
        unfinished.number = self.moves;
        for room in [from, to] {
            if !unfinished.rooms.contains(&room) {
                unfinished.rooms.push(room);
            }
        }
        self.move_to(id, to);
    }

    /// The room that an entry is in and its moves, if a power cut may undo them.
    pub(super) fn unfinished(&self, id: FileId) -> Option<(Room, Unfinished)> {
        let unfinished = self.unfinished.get(&id)?;
        Some((self.get(id)?.room, unfinished.clone()))
    }

    /// The rooms of the moves of an entry that are not finished.
    pub(super) fn moved_through(&self, id: FileId) -> Vec<Room> {
        let unfinished = self.unfinished.get(&id);
        unfinished.map_or_else(Vec::new, |moved| moved.rooms.clone())
    }

    /// No power cut undoes the moves of an entry up to this one.
    pub(super) fn finish_moves(&mut self, id: FileId, number: u64) {
        if self
            .unfinished
            .get(&id)
            .is_some_and(|unfinished| unfinished.number == number)
        {
            self.unfinished.remove(&id);
        }
    }

    /// Whether an entry is being deleted, and a power cut may undo that.
    pub(super) fn is_half_deleted(&self, id: FileId) -> bool {
        self.unfinished.contains_key(&id)
            && self.get(id).is_some_and(|slot| slot.room == Room::Deleted)
    }

    /// How far an entry has come for good: a delete counts when no power cut undoes it.
    pub(super) fn standing(&self, id: FileId) -> Option<Standing> {
        if self.is_half_deleted(id) {
            return Some(Standing::Pending);
        }
        self.get(id).map(|slot| Standing::of(slot.room))
    }

    /// Keeps something as long as an entry is pending; drops it at once if it is not.
    pub(super) fn keep_while_pending(&mut self, id: FileId, kept: KeptWhilePending) {
        if self.get(id).is_some_and(|slot| slot.room.is_pending()) {
            self.kept_while_pending.insert(id, kept);
        }
    }

    /// The digest of a settled entry, if it is known.
    pub(super) fn digest(&self, id: FileId) -> Option<Sha256> {
        self.digests.get(&id).copied()
    }

    /// Notes the digest of an entry, if it is settled.
    pub(super) fn note_digest(&mut self, id: FileId, sha256: Sha256) {
        if self.get(id).is_some_and(|slot| slot.room == Room::Settled) {
            self.digests.insert(id, sha256);
        }
    }

    /// When the store was first cleared of a deleted entry: now, if it was not before.
    pub(super) fn first_cleared(&mut self, id: FileId) -> Instant {
        *self.cleared.entry(id).or_insert_with(Instant::now)
    }

    pub(super) fn remove(&mut self, id: FileId) {
        self.unfinished.remove(&id);
        self.kept_while_pending.remove(&id);
        self.take(id);
    }

    fn take(&mut self, id: FileId) {
        self.cleared.remove(&id);
        self.digests.remove(&id);
        if let Some(slot) = self.slots.remove(&id) {
            let totals = self.totals.entry(slot.room).or_default();
            totals.subtract(slot.totals());
            self.pending.remove(&id);
        }
    }

    /// Takes a settled entry out; whether its record must be kept first.
    pub(super) fn leave(&mut self, id: FileId) -> bool {
        let keyed = self.get(id).filter(|slot| slot.is_keyed);
        if let Some(slot) = keyed {
            self.leaving.insert(id, slot.place);
        }
        self.remove(id);
        keyed.is_some()
    }

    /// Entries in a room, in no order.
    pub(super) fn in_room(&self, room: Room) -> Vec<FileId> {
        let here = self.slots.iter().filter(|(_, slot)| slot.room == room);
        here.map(|(&id, _)| id).collect()
    }

    /// Pending entries in such rooms, in order of their ids: so many of those behind `after`, at most.
    pub(super) fn pending_in(
        &self,
        is_room: impl Fn(Room) -> bool,
        after: Option<FileId>,
        most: usize,
    ) -> Vec<FileId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.pending.range((from, Bound::Unbounded)).copied();
        ids.filter(|&id| self.get(id).is_some_and(|slot| is_room(slot.room)))
            .take(most)
            .collect()
    }

    pub(super) fn totals(&self, room: Room) -> Totals {
        self.totals.get(&room).copied().unwrap_or_default()
    }

    /// What is promised and not proven, and what is about to be promised.
    pub(super) fn backlog(&self) -> Totals {
        Room::ALL
            .into_iter()
            .filter(|room| room.is_pending())
            .map(|room| self.totals(room))
            .fold(self.reserved, |mut sum, totals| {
                sum.add(totals);
                sum
            })
    }

    pub(super) fn reserve(&mut self, totals: Totals) {
        self.reserved.add(totals);
    }

    pub(super) fn release(&mut self, totals: Totals) {
        self.reserved.subtract(totals);
    }

    pub(super) fn oldest_pending(&self) -> Option<FileId> {
        self.pending.first().copied()
    }

    /// Takes out the entries that were settled first, as long as `is_due` says so of their time
    /// and of the bytes that all settled bodies have. Returns all whose files are to be removed.
    pub(super) fn evict(
        &mut self,
        is_due: impl Fn(Instant, Totals) -> bool,
    ) -> Vec<(FileId, Vec<Room>)> {
        while let Some(&(since, id)) = self.settled.front() {
            let is_here = self.get(id).is_some_and(|slot| slot.room == Room::Settled);
            if is_here && !is_due(since, self.totals(Room::Settled)) {
                break;
            }
            self.settled.pop_front();
            if is_here {
                let rooms = self.moved_through(id);
                self.leave(id);
                self.evicted.insert(id, rooms);
            }
        }
        self.evicted
            .iter()
            .map(|(&id, rooms)| (id, rooms.clone()))
            .collect()
    }
}
