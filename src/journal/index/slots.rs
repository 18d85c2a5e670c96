//! Changes slots. Only this file keeps sums and orders consistent with the slots.

use super::slot::{Phase, Slot};
use super::table::NONE;
use super::{Index, Totals};

impl Index {
    pub(super) fn insert(&mut self, slot: Slot) {
        let number = self.slots.insert(slot);
        self.oldest.learn(&slot);
        self.count(slot, true);
        self.count_base(slot, true);
        self.rank(number);
        self.check_sums();
    }

    /// Changes a slot.
    pub(super) fn edit(&mut self, number: u32, edit: impl FnOnce(&mut Slot)) {
        self.unrank(number);
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        let before = *slot;
        edit(slot);
        let after = *slot;
        self.oldest.learn(&after);
        self.count(before, false);
        self.count(after, true);
        if before.base != after.base {
            // Count the new base first, so that its segment never seems empty in between.
            self.count_base(after, true);
            self.count_base(before, false);
        }
        self.rank(number);
        self.check_sums();
    }

    pub(super) fn remove(&mut self, number: u32) {
        self.unrank(number);
        let Some(slot) = self.slots.remove(number) else {
            return;
        };
        self.count(slot, false);
        self.count_base(slot, false);
        self.uploads.remove(slot.id);
        // Another slot has this number now.
        if let Some(moved) = self.slots.get(number).filter(|slot| slot.rank != NONE) {
            self.settled.renumber(moved.rank, number);
        }
        self.check_sums();
    }

    /// Each entry is in one phase; only settled ones have an order; without entries there are no bytes.
    fn check_sums(&self) {
        let entries = self.totals.iter().map(|totals| totals.entries).sum();
        debug_assert_eq!(u64::try_from(self.slots.len()), Ok(entries));
        let settled = usize::try_from(self.totals(Phase::Settled).entries);
        debug_assert!(settled.is_ok_and(|settled| self.settled.len() <= settled));
        let is_empty = |totals: &&Totals| totals.entries == 0;
        let mut empty = self.totals.iter().filter(is_empty);
        debug_assert!(empty.all(|totals| totals.all_bytes() == 0));
    }

    fn count(&mut self, slot: Slot, is_more: bool) {
        let at = Phase::ALL.iter().position(|&phase| phase == slot.phase);
        if let Some(totals) = at.and_then(|at| self.totals.get_mut(at)) {
            if is_more {
                *totals += slot.totals();
            } else {
                *totals -= slot.totals();
            }
        }
        if is_more {
            self.subjects.add(slot.subject, slot.pending_bytes());
        } else {
            self.subjects.subtract(slot.subject, slot.pending_bytes());
        }
    }

    fn count_base(&mut self, slot: Slot, is_more: bool) {
        match slot.base.if_any() {
            Some(base) if is_more => self.segments.add(base),
            Some(base) => self.segments.subtract(base),
            None => {}
        }
    }

    /// Puts a settled slot that is not leaving into the order.
    fn rank(&mut self, number: u32) {
        let slot = self.slots.get(number);
        if slot.is_some_and(Slot::may_leave) {
            self.settled.push(&mut self.slots, number, Slot::order);
        }
    }

    fn unrank(&mut self, number: u32) {
        let slot = self.slots.get(number);
        if slot.is_some_and(|slot| slot.rank != NONE) {
            self.settled.remove(&mut self.slots, number, Slot::order);
        }
    }
}
