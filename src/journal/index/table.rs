//! A hash table: a dense list of elements, and buckets with chains that run through the elements
//! themselves.
//!
//! Buckets are split and joined one at a time (linear hashing), so that no insertion takes much longer
//! than others, and no element is stored twice while the table grows. A removal moves the last element
//! into the free place, so memory shrinks with the number of elements.

use super::paged::Paged;

/// The number of no element.
pub(in crate::journal) const NONE: u32 = u32::MAX;

/// The greatest average number of elements in a bucket.
const LOAD: usize = 2;

/// An element of a table.
pub(in crate::journal) trait Chained {
    /// The hash by which it is found.
    fn hash(&self) -> u64;
    /// The number of the next element in its bucket.
    fn next(&mut self) -> &mut u32;
    /// The number of the next element in its bucket, read-only.
    fn peek_next(&self) -> u32;
}

#[derive(Debug)]
pub(in crate::journal) struct Table<T> {
    elements: Paged<T>,
    heads: Paged<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            elements: Paged::default(),
            heads: Paged::default(),
        }
    }
}

impl<T: Chained> Table<T> {
    pub(in crate::journal) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(in crate::journal) fn get(&self, number: u32) -> Option<&T> {
        self.elements.get(number)
    }

    /// The caller must not change the element's hash.
    pub(in crate::journal) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.elements.get_mut(number)
    }

    #[cfg(test)]
    pub(in crate::journal) fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.iter()
    }

    pub(in crate::journal) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let mut number = *self.heads.get(self.bucket(hash))?;
        while let Some(element) = self.get(number) {
            if is_it(element) {
                return Some(number);
            }
            number = element.peek_next();
        }
        None
    }

    /// Adds an element that is not in the table. Returns its number, which is valid until a removal.
    pub(in crate::journal) fn insert(&mut self, mut element: T) -> u32 {
        if self.len() >= self.heads.len() * LOAD {
            self.split();
        }
        let number = narrow(self.len());
        let bucket = self.bucket(element.hash());
        if let Some(head) = self.heads.get_mut(bucket) {
            *element.next() = *head;
            *head = number;
        }
        self.elements.push(element);
        number
    }

    /// Takes an element out. The last element then gets its number.
    pub(in crate::journal) fn remove(&mut self, number: u32) -> Option<T> {
        let after = self.get(number)?.peek_next();
        self.redirect(number, after);
        let last = narrow(self.len() - 1);
        if number != last {
            self.redirect(last, number);
        }
        let mut removed = self.elements.pop()?;
        if let Some(element) = self.elements.get_mut(number) {
            std::mem::swap(element, &mut removed);
        }
        if self.heads.len() > 1 && self.len() < self.heads.len() * LOAD / 2 {
            self.join();
        }
        Some(removed)
    }

    /// Lets the link to this element lead to another number.
    fn redirect(&mut self, number: u32, to: u32) {
        let Some(hash) = self.get(number).map(Chained::hash) else {
            return;
        };
        let bucket = self.bucket(hash);
        let Some(head) = self.heads.get_mut(bucket) else {
            return;
        };
        if *head == number {
            *head = to;
            return;
        }
        let mut at = *head;
        while let Some(element) = self.elements.get_mut(at) {
            at = *element.next();
            if at == number {
                *element.next() = to;
                return;
            }
        }
    }

    fn bucket(&self, hash: u64) -> u32 {
        bucket_of(hash, self.heads.len())
    }

    /// Adds a bucket, and moves elements to it from the bucket that had them.
    fn split(&mut self) {
        let new = self.heads.len();
        self.heads.push(NONE);
        let Some(old) = sibling(new) else {
            return;
        };
        let chain = self.heads.get_mut(old);
        let chain = chain.map(|head| std::mem::replace(head, NONE));
        self.share_out(chain.unwrap_or(NONE));
    }

    /// Removes the last bucket, and moves its elements back.
    fn join(&mut self) {
        if let Some(chain) = self.heads.pop() {
            self.share_out(chain);
        }
    }

    /// Puts the elements of a chain into their buckets.
    fn share_out(&mut self, mut number: u32) {
        let count = self.heads.len();
        while let Some(element) = self.elements.get_mut(number) {
            let after = *element.next();
            if let Some(head) = self.heads.get_mut(bucket_of(element.hash(), count)) {
                *element.next() = *head;
                *head = number;
            }
            number = after;
        }
    }

    pub(in crate::journal) fn bytes(&self) -> usize {
        self.elements.bytes() + self.heads.bytes()
    }
}

/// The bucket of a hash, among this many buckets.
fn bucket_of(hash: u64, count: usize) -> u32 {
    let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
    let round = 1 << count.ilog2();
    let bucket = hash & (2 * round - 1);
    let bucket = if bucket < count {
        bucket
    } else {
        hash & (round - 1)
    };
    u32::try_from(bucket).unwrap_or(NONE)
}

/// The bucket from which a new bucket of this number gets its elements.
fn sibling(new: usize) -> Option<u32> {
    let round = 1_usize << new.checked_ilog2()?;
    Some(narrow(new - round))
}

/// A number of an element in 32 bits: more elements do not fit into memory.
pub(in crate::journal) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    struct Number(u64, u32);

    impl Chained for Number {
        fn hash(&self) -> u64 {
            self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }

        fn next(&mut self) -> &mut u32 {
            &mut self.1
        }

        fn peek_next(&self) -> u32 {
            self.1
        }
    }

    fn find(table: &Table<Number>, number: u64) -> Option<u32> {
        table.find(Number(number, 0).hash(), |element| element.0 == number)
    }

    #[test]
    fn what_is_in_is_found_and_what_is_out_is_not_however_it_grows_and_shrinks() {
        let mut table = Table::default();
        let mut model = HashSet::new();
        let mut lot = 1_u64;
        for step in 0..40_000_u64 {
            lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // The table grows in the first half, and shrinks in the second.
            let (number, is_more) = ((lot >> 40) % 9000, (lot >> 33) % 4 != step / 20_000 * 3);
            match (find(&table, number), is_more) {
                (None, true) => {
                    table.insert(Number(number, NONE));
                    model.insert(number);
                }
                (Some(at), false) => {
                    assert_eq!(table.remove(at).unwrap().0, number);
                    model.remove(&number);
                }
                _ => {}
            }
            assert_eq!(table.len(), model.len());
            if step % 1000 == 0 {
                for number in 0..9000 {
                    let found = find(&table, number).is_some();
                    assert_eq!(found, model.contains(&number), "{number}");
                }
            }
        }
        assert!(table.len() > 10);
        while table.len() > 0 {
            table.remove(0);
        }
        assert!(table.bytes() < 100_000, "{}", table.bytes());
    }
}
