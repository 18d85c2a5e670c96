//! Entries in the order of their ids, which is that of their age. No order of them is kept: an admin asks
//! for it, a hundred at a time, and no memory of a million entries is worth it. It is looked for.
//!
//! A look goes through the slots in slices, from the last to the first, and the lock is given back in
//! between. When an entry leaves, the last slot takes its place; so a slot only ever moves to the side
//! that is looked at later, and none that stays is missed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Index;
use super::slot::{Phase, Slot};
use crate::file::FileId;

/// Slots that are looked at while the lock is held: 256 KiB of memory.
const SLICE: usize = 4096;

/// A look for the first entries behind an id.
#[derive(Debug)]
pub struct Listing {
    phases: &'static [Phase],
    after: Option<FileId>,
    most: usize,
    /// Slots that are to be looked at; `None` before the first slice.
    left: Option<usize>,
    found: BTreeSet<FileId>,
}

/// A look for the oldest entry that is promised and not in the store.
#[derive(Debug, Default)]
pub struct OldestLook(Option<(u64, Listing)>);

/// The oldest promised entry, as far as it is known without a look.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    /// No promised entry has a lesser id. (If this is one, it is the oldest.)
    floor: Option<FileId>,
    /// The least id that was promised since the last look began.
    since: Option<FileId>,
    /// How many looks were begun.
    looks: u64,
}

impl Listing {
    /// Looks for entries in these phases: at most so many, of those behind `after`.
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
    /// A slot is new, or has changed.
    pub(super) fn learn(&mut self, slot: &Slot) {
        if Phase::PROMISED.contains(&slot.phase) {
            for least in [&mut self.floor, &mut self.since] {
                *least = Some(least.map_or(slot.id, |least| least.min(slot.id)));
            }
        }
    }
}

impl Index {
    /// Looks at some slots more. To be asked again, with the lock
    /// given back in between, until it returns the ids that it looks for, in order. One whose phase
    /// changes meanwhile may be among them or not.
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

    /// The oldest entry that is promised and not in the store. It is known at once, unless the one that
    /// was the oldest when it was last asked for has left; then it is looked for in slices, as
    /// [`Index::list`] does, and one that comes meanwhile with an older id may be missed.
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
