//! The quotas of one subject: uploads per minute, and bytes that wait for their commit.
//!
//! Each node counts for itself. A restart forgets the uploads of the last minute; the journal still
//! knows the waiting bodies.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use super::IntakeError;
use crate::config::AccessConfig;
use crate::file::FileId;
use crate::journal::Journal;

/// After this many questions, subjects without recent uploads are forgotten.
const FORGET_EVERY: u32 = 4096;

/// The recent uploads of every subject.
#[derive(Debug)]
pub struct Quotas {
    per_minute: Option<NonZeroU32>,
    rate: Option<DefaultKeyedRateLimiter<String>>,
    counted: AtomicU32,
    /// `None` for no limit: then nothing is counted.
    max_pending: Option<u64>,
    pending: Arc<Pending>,
}

/// Bytes of reservations and of entries. It lacks subjects without any.
type Pending = Mutex<HashMap<Arc<str>, u64>>;

/// Reserved bytes of a subject. Dropping it gives them back.
#[derive(Debug)]
pub(super) struct Reservation {
    pending: Arc<Pending>,
    subject: Arc<str>,
    bytes: u64,
}

impl Quotas {
    pub(super) fn new(config: &AccessConfig) -> Self {
        let per_minute = NonZeroU32::new(config.subject_uploads_per_minute);
        let max_pending = config.subject_pending_bytes;
        Self {
            per_minute,
            rate: per_minute.map(|count| RateLimiter::keyed(Quota::per_minute(count))),
            counted: AtomicU32::new(0),
            max_pending: (max_pending > 0).then_some(max_pending),
            pending: Arc::default(),
        }
    }

    /// Counts one upload.
    ///
    /// # Errors
    /// When there were too many in the last minute.
    pub(super) fn count(&self, subject: &str) -> Result<(), IntakeError> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        if is_time_to_forget(&self.counted) {
            rate.retain_recent();
        }
        let counted = rate.check_key(&subject.to_owned());
        counted.map_err(|too_soon| too_many(&too_soon))
    }

    /// Counts further uploads, which came with one that was counted.
    ///
    /// # Errors
    /// When there were too many in the last minute, or more than a minute ever allows.
    pub(super) fn count_more(&self, subject: &str, more: usize) -> Result<(), IntakeError> {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let (Some(rate), Some(more)) = (&self.rate, NonZeroU32::new(more)) else {
            return Ok(());
        };
        if self.per_minute.is_some_and(|most| more >= most) {
            return Err(IntakeError::TooManyAtOnce);
        }
        let counted = rate.check_key_n(&subject.to_owned(), more);
        let counted = counted.map_err(|_| IntakeError::TooManyAtOnce)?;
        counted.map_err(|too_soon| too_many(&too_soon))
    }

    /// Reserves room for an upload. `in_journal` gives the bytes of this subject that are pending in
    /// the journal: usually fewer than are counted here, but more if they have waited since before a
    /// restart. `leaving` of them give way to the upload. The cost does not depend on the number of
    /// pending entries: each entry gives its room back when it leaves the journal.
    ///
    /// # Errors
    /// When too many bytes of this subject are pending.
    pub(super) fn reserve(
        &self,
        subject: &str,
        bytes: u64,
        leaving: u64,
        in_journal: impl FnOnce() -> u64,
    ) -> Result<Reservation, IntakeError> {
        let reservation = |subject, bytes| Reservation {
            pending: Arc::clone(&self.pending),
            subject,
            bytes,
        };
        let Some(max) = self.max_pending.filter(|_| bytes > 0) else {
            return Ok(reservation(Arc::default(), 0));
        };
        let in_journal = in_journal();
        let mut pending = lock(&self.pending);
        let known = pending.get_key_value(subject);
        let (subject, taken) = known.map_or_else(
            || (subject.into(), 0),
            |(subject, &taken)| (Arc::clone(subject), taken),
        );
        let beside = taken.max(in_journal).saturating_sub(leaving);
        if beside.saturating_add(bytes) > max {
            return Err(IntakeError::TooMuchPending);
        }
        pending.insert(Arc::clone(&subject), taken.saturating_add(bytes));
        Ok(reservation(subject, bytes))
    }

    /// Returns the number of subjects with counted uploads.
    pub fn counted_subjects(&self) -> u64 {
        let count = self.rate.as_ref().map_or(0, RateLimiter::len);
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// The number of subjects with pending bytes.
    pub fn pending_subjects(&self) -> u64 {
        u64::try_from(lock(&self.pending).len()).unwrap_or(u64::MAX)
    }
}

/// Every change to the map is complete in itself, so a panic under the lock leaves it usable.
fn lock(pending: &Pending) -> MutexGuard<'_, HashMap<Arc<str>, u64>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reservation {
    /// Hands all of the reservation over to an entry, beside what the entry has.
    pub(super) fn keep_all(mut self, journal: &Journal, id: FileId) {
        self.keep(journal, id, u64::MAX);
    }

    /// Hands a part of the reservation over to an entry, for as long as the entry is pending.
    pub(super) fn keep(&mut self, journal: &Journal, id: FileId, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        let kept = Self {
            pending: Arc::clone(&self.pending),
            subject: Arc::clone(&self.subject),
            bytes,
        };
        journal.keep_while_pending(id, kept);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut pending = lock(&self.pending);
        let taken = pending.get(&self.subject).copied().unwrap_or(0);
        debug_assert!(taken >= self.bytes, "{self:?} goes, of {taken}");
        if let Some(sum) = pending.get_mut(&self.subject) {
            *sum = sum.saturating_sub(self.bytes);
            if *sum == 0 {
                pending.remove(&self.subject);
            }
        }
    }
}

fn too_many(too_soon: &NotUntil<<DefaultClock as Clock>::Instant>) -> IntakeError {
    let wait = too_soon.wait_time_from(DefaultClock::default().now());
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
    IntakeError::TooManyUploads {
        seconds: seconds.saturating_add(1),
    }
}

fn is_time_to_forget(calls: &AtomicU32) -> bool {
    calls.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(subject_pending_bytes: u64) -> Quotas {
        Quotas::new(&AccessConfig {
            tokens: None,
            is_open: true,
            max_body_bytes: 0,
            subject_uploads_per_minute: 0,
            subject_pending_bytes,
        })
    }

    #[test]
    fn what_is_pending_of_a_subject_is_one_sum_however_many_entries_it_is() {
        let subjects = subjects(100_000);
        let entries: Vec<_> = (0..100_000)
            .map(|_| subjects.reserve("a", 1, 0, || 0))
            .collect();
        assert!(entries.iter().all(Result::is_ok));
        assert_eq!(subjects.pending_subjects(), 1);
        // The count comes from no list of entries and no question to the journal.
        assert_eq!(lock(&subjects.pending).get("a"), Some(&100_000));
        assert!(subjects.reserve("a", 1, 0, || 0).is_err());
        assert!(subjects.reserve("b", 100_000, 0, || 0).is_ok());
        let mut entries = entries;
        drop(entries.pop());
        assert!(subjects.reserve("a", 2, 0, || 0).is_err());
        assert!(subjects.reserve("a", 1, 0, || 0).is_ok());
        entries.clear();
        assert_eq!(subjects.pending_subjects(), 0);
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let subjects = subjects(0);
        let reserved = subjects.reserve("a", u64::MAX, 0, || 0);
        assert!(reserved.is_ok());
        assert_eq!(subjects.pending_subjects(), 0);
    }
}
