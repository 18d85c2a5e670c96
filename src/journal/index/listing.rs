//! Lists entries in the order of their ids, which is that of their age. No such order is kept in
//! memory: an admin asks for a hundred entries at a time, and memory for a million entries is not worth
//! that. They are searched for.
//!
//! A search visits the slots in slices, from the last to the first, and releases the lock in between.
//! When an entry leaves, the last slot takes its place. So a slot only moves to the side that is
//! visited later, and no entry that stays is missed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Index;
use super::slot::{Phase, Slot};
use crate::file::FileId;

/// Slots per lock: 256 KiB of memory.
const SLICE: usize = 4096;

/// A search for the first entries behind an id.
#[derive(Debug)]
pub struct Listing {
    phases: &'static [Phase],
    after: Option<FileId>,
    most: usize,
    /// The number of slots still to visit; `None` before the first slice.
    left: Option<usize>,
    found: BTreeSet<FileId>,
}

/// A search for the oldest entry that is promised and not in the store.
#[derive(Debug, Default)]
pub struct OldestLook(Option<(u64, Listing)>);

/// The knowledge about the oldest promised entry, without a search.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    /// No promised entry has a lower id. (If this id is itself promised, it is the oldest.)
    floor: Option<FileId>,
    /// The lowest id that was promised since the last search began.
    since: Option<FileId>,
    /// The number of searches that were begun.
    looks: u64,
}

impl Listing {
    /// A search for entries in these phases behind `after`, up to a number.
    pub fn new(phases: &'static [Phase], after: Option<FileId>, most: usize) -> Self {
        Self {
            phases,
            after,
            most,
            left: None,
            found: BTreeSet::new(),
        }
    }

    fn look_at(&mut self, slot: &Slot) {
        let is_one = self.phases.contains(&slot.phase) && Some(slot.id) > self.after;
        let is_among_first = self.found.len() < self.most || Some(&slot.id) < self.found.last();
        if is_one && is_among_first {
            self.found.insert(slot.id);
            if self.found.len() > self.most {
                self.found.pop_last();
            }
        }
    }
}

impl Oldest {
    /// Notes a new or changed slot.
    pub(super) fn learn(&mut self, slot: &Slot) {
        if Phase::PROMISED.contains(&slot.phase) {
            for least in [&mut self.floor, &mut self.since] {
                *least = Some(least.map_or(slot.id, |least| least.min(slot.id)));
            }
        }
    }
}

impl Index {
    /// Visits some more slots. Call it again, with the lock released in between, until it returns
    /// the ids in their order. An entry that changes its phase meanwhile may be included or not.
    pub fn list(&self, listing: &mut Listing) -> ControlFlow<Vec<FileId>> {
        let is_none = listing
            .phases
            .iter()
            .all(|&phase| self.totals(phase).entries == 0);
        let end = listing
            .left
            .map_or(self.slots.len(), |left| left.min(self.slots.len()));
        let begin = if is_none {
            0
        } else {
            end.saturating_sub(SLICE)
        };
        for number in (begin..end).rev().filter(|_| !is_none) {
            let slot = u32::try_from(number)
                .ok()
                .and_then(|number| self.slots.get(number));
            if let Some(slot) = slot {
                listing.look_at(slot);
            }
        }
        listing.left = Some(begin);
        if begin > 0 {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(std::mem::take(&mut listing.found).into_iter().collect())
    }

    /// The oldest entry that is promised and not in the store. It is known at once, unless the entry
    /// that was the oldest at the last call has left. Then it is searched for in slices, as in
    /// [`Index::list`], and may miss an entry with an older id that comes meanwhile.
    pub fn oldest_pending(&mut self, look: &mut OldestLook) -> ControlFlow<Option<FileId>> {
        let Some(floor) = self.oldest.floor else {
            return ControlFlow::Break(None);
        };
        if self
            .slot(floor)
            .is_some_and(|slot| Phase::PROMISED.contains(&slot.phase))
        {
            return ControlFlow::Break(Some(floor));
        }
        let (number, listing) = look.0.get_or_insert_with(|| {
            self.oldest.looks += 1;
            self.oldest.since = None;
            (self.oldest.looks, Listing::new(Phase::PROMISED, None, 1))
        });
        let number = *number;
        let found = match self.list(listing) {
            ControlFlow::Continue(()) => return ControlFlow::Continue(()),
            ControlFlow::Break(found) => found.first().copied(),
        };
        let bound = found.into_iter().chain(self.oldest.since).min();
        if number == self.oldest.looks {
            self.oldest.floor = bound;
        }
        let is_there = |id| {
            self.slot(id)
                .is_some_and(|slot| Phase::PROMISED.contains(&slot.phase))
        };
        ControlFlow::Break(bound.filter(|&id| is_there(id)).or(found))
    }
}
