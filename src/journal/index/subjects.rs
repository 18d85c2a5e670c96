//! The pending bytes of each subject: added and subtracted, never summed up anew.

use super::table::{Chained, NONE, Table};
use crate::journal::record::Subject;

/// Each number is split into halves, so that alignment wastes no byte.
#[derive(Debug, Clone, Copy)]
struct Pending {
    subject: [u32; 2],
    bytes: [u32; 2],
    next: u32,
}

#[derive(Debug, Default)]
pub(super) struct Subjects(Table<Pending>);

impl Subjects {
    pub(super) fn pending(&self, subject: Subject) -> u64 {
        let found = self.find(subject).and_then(|number| self.0.get(number));
        found.map_or(0, |pending| whole(pending.bytes))
    }

    /// Keeps nothing of a subject without pending bytes, nor of the subject *nobody*.
    pub(super) fn add(&mut self, subject: Subject, bytes: u64) {
        if subject == Subject::default() || bytes == 0 {
            return;
        }
        let number = self.find(subject);
        match number.and_then(|number| self.0.get_mut(number)) {
            Some(pending) => pending.bytes = halves(whole(pending.bytes).saturating_add(bytes)),
            None => {
                self.0.insert(Pending {
                    subject: halves(subject.0),
                    bytes: halves(bytes),
                    next: NONE,
                });
            }
        }
    }

    pub(super) fn subtract(&mut self, subject: Subject, bytes: u64) {
        let is_counted = subject != Subject::default();
        let pending = self.pending(subject);
        debug_assert!(!is_counted || pending >= bytes, "{bytes} go, of {pending}");
        let Some(number) = self.find(subject) else {
            return;
        };
        let left = pending.saturating_sub(bytes);
        if left == 0 {
            self.0.remove(number);
        } else if let Some(pending) = self.0.get_mut(number) {
            pending.bytes = halves(left);
        }
    }

    fn find(&self, subject: Subject) -> Option<u32> {
        let halves = halves(subject.0);
        self.0.find(subject.0, |pending| pending.subject == halves)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

fn whole([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn halves(number: u64) -> [u32; 2] {
    [number & u64::from(u32::MAX), number >> 32].map(|half| u32::try_from(half).unwrap_or(u32::MAX))
}

impl Chained for Pending {
    /// A subject is a digest already.
    fn hash(&self) -> u64 {
        whole(self.subject)
    }

    fn next(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn peek_next(&self) -> u32 {
        self.next
    }
}
