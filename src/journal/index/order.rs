//! An order of a table's elements: a heap of their numbers; each element knows its rank.

use super::paged::Paged;
use super::table::{Chained, NONE, Table, narrow};

/// An element with a rank in an order.
pub(in crate::journal) trait Ranked: Chained {
    /// The rank; [`NONE`] if it is in no order.
    fn rank(&mut self) -> &mut u32;
}

/// The element with the lowest key comes first. The key of an element must not change while it is in
/// the order.
#[derive(Debug, Default)]
pub(in crate::journal) struct Order(Paged<u32>);

impl Order {
    pub(in crate::journal) fn first(&self) -> Option<u32> {
        self.0.get(0).copied()
    }

    pub(in crate::journal) fn push<T: Ranked, K: Ord>(
        &mut self,
        table: &mut Table<T>,
        number: u32,
        key: impl Fn(&T) -> K,
    ) {
        let rank = narrow(self.0.len());
        self.0.push(number);
        self.put(table, rank, number);
        self.rise(table, rank, &key);
    }

    pub(in crate::journal) fn remove<T: Ranked, K: Ord>(
        &mut self,
        table: &mut Table<T>,
        number: u32,
        key: impl Fn(&T) -> K,
    ) {
        let Some(element) = table.get_mut(number) else {
            return;
        };
        let rank = std::mem::replace(element.rank(), NONE);
        if self.0.get(rank) != Some(&number) {
            return;
        }
        let Some(last) = self.0.pop() else {
            return;
        };
        if last != number {
            self.put(table, rank, last);
            self.rise(table, rank, &key);
            self.sink(table, rank, &key);
        }
    }

    /// Notes that an element has another number now.
    pub(in crate::journal) fn renumber(&mut self, rank: u32, number: u32) {
        if let Some(at) = self.0.get_mut(rank) {
            *at = number;
        }
    }

    #[cfg(test)]
    pub(in crate::journal) fn at(&self, rank: u32) -> Option<u32> {
        self.0.get(rank).copied()
    }

    pub(in crate::journal) fn len(&self) -> usize {
        self.0.len()
    }

    fn rise<T: Ranked, K: Ord>(
        &mut self,
        table: &mut Table<T>,
        mut rank: u32,
        key: &impl Fn(&T) -> K,
    ) {
        while rank > 0 && self.key(table, rank, key) < self.key(table, (rank - 1) / 2, key) {
            self.swap(table, rank, (rank - 1) / 2);
            rank = (rank - 1) / 2;
        }
    }

    fn sink<T: Ranked, K: Ord>(
        &mut self,
        table: &mut Table<T>,
        mut rank: u32,
        key: &impl Fn(&T) -> K,
    ) {
        loop {
            let children = [
                rank.saturating_mul(2).saturating_add(1),
                rank.saturating_mul(2).saturating_add(2),
            ];
            let there = children
                .into_iter()
                .filter(|&child| self.0.get(child).is_some());
            let Some(least) = there.min_by_key(|&child| self.key(table, child, key)) else {
                return;
            };
            if self.key(table, rank, key) <= self.key(table, least, key) {
                return;
            }
            self.swap(table, rank, least);
            rank = least;
        }
    }

    fn key<T: Ranked, K: Ord>(
        &self,
        table: &Table<T>,
        rank: u32,
        key: impl Fn(&T) -> K,
    ) -> Option<K> {
        Some(key(table.get(*self.0.get(rank)?)?))
    }

    fn swap<T: Ranked>(&mut self, table: &mut Table<T>, one: u32, other: u32) {
        if let (Some(&first), Some(&second)) = (self.0.get(one), self.0.get(other)) {
            self.put(table, one, second);
            self.put(table, other, first);
        }
    }

    fn put<T: Ranked>(&mut self, table: &mut Table<T>, rank: u32, number: u32) {
        if let Some(at) = self.0.get_mut(rank) {
            *at = number;
        }
        if let Some(element) = table.get_mut(number) {
            *element.rank() = rank;
        }
    }

    pub(in crate::journal) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
