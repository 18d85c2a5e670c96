//! An order of slots by time: a heap of their numbers, whose ranks the slots know.

use super::paged::Paged;
use super::slot::Slot;
use super::table::{NONE, Table, narrow};
use crate::file::FileId;
use crate::journal::record::LogTime;

/// The least time comes first; of equal times, the oldest id.
#[derive(Debug, Default)]
pub(super) struct Order(Paged<u32>);

impl Order {
    pub(super) fn first(&self) -> Option<u32> {
        self.0.get(0).copied()
    }

    pub(super) fn push(&mut self, slots: &mut Table<Slot>, number: u32) {
        let rank = narrow(self.0.len());
        self.0.push(number);
        self.put(slots, rank, number);
        self.rise(slots, rank);
    }

    pub(super) fn remove(&mut self, slots: &mut Table<Slot>, number: u32) {
        let Some(slot) = slots.get_mut(number) else {
            return;
        };
        let rank = std::mem::replace(&mut slot.rank, NONE);
        if self.0.get(rank) != Some(&number) {
            return;
        }
        let Some(last) = self.0.pop() else {
            return;
        };
        if last != number {
            self.put(slots, rank, last);
            self.rise(slots, rank);
            self.sink(slots, rank);
        }
    }

    /// A slot has another number now.
    pub(super) fn renumber(&mut self, rank: u32, number: u32) {
        if let Some(at) = self.0.get_mut(rank) {
            *at = number;
        }
    }

    #[cfg(test)]
    pub(super) fn at(&self, rank: u32) -> Option<u32> {
        self.0.get(rank).copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn rise(&mut self, slots: &mut Table<Slot>, mut rank: u32) {
        while rank > 0 && self.key(slots, rank) < self.key(slots, (rank - 1) / 2) {
            self.swap(slots, rank, (rank - 1) / 2);
            rank = (rank - 1) / 2;
        }
    }

    fn sink(&mut self, slots: &mut Table<Slot>, mut rank: u32) {
        loop {
            let children = [
                rank.saturating_mul(2).saturating_add(1),
                rank.saturating_mul(2).saturating_add(2),
            ];
            let there = children
                .into_iter()
                .filter(|&child| self.0.get(child).is_some());
            let Some(least) = there.min_by_key(|&child| self.key(slots, child)) else {
                return;
            };
            if self.key(slots, rank) <= self.key(slots, least) {
                return;
            }
            self.swap(slots, rank, least);
            rank = least;
        }
    }

    fn key(&self, slots: &Table<Slot>, rank: u32) -> Option<(LogTime, FileId)> {
        let slot = slots.get(*self.0.get(rank)?)?;
        Some((slot.due, slot.id))
    }

    fn swap(&mut self, slots: &mut Table<Slot>, one: u32, other: u32) {
        if let (Some(&first), Some(&second)) = (self.0.get(one), self.0.get(other)) {
            self.put(slots, one, second);
            self.put(slots, other, first);
        }
    }

    fn put(&mut self, slots: &mut Table<Slot>, rank: u32, number: u32) {
        if let Some(at) = self.0.get_mut(rank) {
            *at = number;
        }
        if let Some(slot) = slots.get_mut(number) {
            slot.rank = rank;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
