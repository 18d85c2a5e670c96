//! How much one subject may do: uploads in a minute, and bytes that wait for their commit.
//!
//! Kept in memory alone: a restart forgets what is pending of whom, and each node counts for itself.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use super::Problem;
use crate::config::AccessConfig;
use crate::file::FileId;
use crate::journal::Journal;

/// After so many questions, subjects that have not come for a while are forgotten.
const FORGET_EVERY: u32 = 4096;

/// A list is looked through when it has grown by this much and doubled since the last time.
const SLACK: usize = 256;

/// The recent uploads of every subject.
#[derive(Debug)]
pub(super) struct Subjects {
    per_minute: Option<NonZeroU32>,
    rate: Option<DefaultKeyedRateLimiter<String>>,
    counted: AtomicU32,
    /// `None` for no limit: then nothing is kept.
    max_pending: Option<u64>,
    reserved: AtomicU32,
    pending: Mutex<HashMap<String, Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Bytes of reservations, and of the entries.
    bytes: u64,
    entries: Vec<(FileId, u64)>,
    look_through_at: usize,
}

/// Room for what a subject sends. Dropping it gives back what was not kept.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    subjects: &'a Subjects,
    subject: &'a str,
    bytes: u64,
}

impl Subjects {
    pub(super) fn new(config: &AccessConfig) -> Self {
        let per_minute = NonZeroU32::new(config.subject_uploads_per_minute);
        let max_pending = config.subject_pending_bytes;
        Self {
            per_minute,
            rate: per_minute.map(|count| RateLimiter::keyed(Quota::per_minute(count))),
            counted: AtomicU32::new(0),
            max_pending: (max_pending > 0).then_some(max_pending),
            reserved: AtomicU32::new(0),
            pending: Mutex::default(),
        }
    }

    /// Counts one upload.
    ///
    /// # Errors
    /// A problem if there were too many in the last minute.
    pub(super) fn count(&self, subject: &str) -> Result<(), Problem> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        if is_time_to_forget(&self.counted) {
            rate.retain_recent();
        }
        let counted = rate.check_key(&subject.to_owned());
        counted.map_err(|too_soon| too_many(&too_soon))
    }

    /// Counts more uploads, which came with one that was counted.
    ///
    /// # Errors
    /// A problem if there were too many in the last minute, or are more than that can ever be.
    pub(super) fn count_more(&self, subject: &str, more: usize) -> Result<(), Problem> {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let (Some(rate), Some(more)) = (&self.rate, NonZeroU32::new(more)) else {
            return Ok(());
        };
        if self.per_minute.is_some_and(|most| more >= most) {
            return Err(Problem::too_many_at_once());
        }
        let counted = rate.check_key_n(&subject.to_owned(), more);
        let counted = counted.map_err(|_| Problem::too_many_at_once())?;
        counted.map_err(|too_soon| too_many(&too_soon))
    }

    /// Keeps room for an upload.
    ///
    /// # Errors
    /// A problem if too many bytes of this subject are pending.
    pub(super) fn reserve<'a>(
        &'a self,
        subject: &'a str,
        bytes: u64,
        journal: &Journal,
    ) -> Result<Reservation<'a>, Problem> {
        let reservation = |bytes| Reservation {
            subjects: self,
            subject,
            bytes,
        };
        let Some(max) = self.max_pending else {
            return Ok(reservation(0));
        };
        let mut pending = self.pending();
        if is_time_to_forget(&self.reserved) {
            pending.retain(|_, one| {
                one.look_through(journal);
                one.bytes > 0
            });
        }
        let own = pending.entry(subject.to_owned()).or_default();
        let is_long = own.entries.len() >= own.look_through_at.max(SLACK);
        if is_long || own.bytes.saturating_add(bytes) > max {
            own.look_through(journal);
        }
        if own.bytes.saturating_add(bytes) > max {
            return Err(Problem::too_much_pending());
        }
        own.bytes = own.bytes.saturating_add(bytes);
        Ok(reservation(bytes))
    }

    /// How many subjects are remembered for the number of their uploads.
    pub(super) fn counted_subjects(&self) -> u64 {
        let count = self.rate.as_ref().map_or(0, RateLimiter::len);
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// How many subjects are remembered for their pending bytes.
    pub(super) fn pending_subjects(&self) -> u64 {
        u64::try_from(self.pending().len()).unwrap_or(u64::MAX)
    }

    /// Every change to the map is complete in itself, so a panic under the lock leaves it usable.
    fn pending(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Drops what is no longer pending.
    fn look_through(&mut self, journal: &Journal) {
        let mut done = 0_u64;
        self.entries.retain(|&(id, bytes)| {
            let is_pending = journal.is_pending(id);
            if !is_pending {
                done = done.saturating_add(bytes);
            }
            is_pending
        });
        self.bytes = self.bytes.saturating_sub(done);
        self.look_through_at = self.entries.len().saturating_mul(2);
    }
}

impl Reservation<'_> {
    /// Some of it has become an entry, and stays taken as long as that is pending.
    pub(super) fn keep(&mut self, id: FileId, bytes: u64) {
        if self.subjects.max_pending.is_none() {
            return;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(own) = self.subjects.pending().get_mut(self.subject) {
            own.entries.push((id, bytes));
        }
    }

    /// All that is left of it stays taken as long as this entry is pending.
    pub(super) fn keep_rest(&mut self, id: FileId) {
        self.keep(id, self.bytes);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut pending = self.subjects.pending();
        if let Some(own) = pending.get_mut(self.subject) {
            own.bytes = own.bytes.saturating_sub(self.bytes);
            if own.bytes == 0 {
                pending.remove(self.subject);
            }
        }
    }
}

fn too_many(too_soon: &NotUntil<<DefaultClock as Clock>::Instant>) -> Problem {
    let wait = too_soon.wait_time_from(DefaultClock::default().now());
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
    Problem::too_many_uploads(seconds.saturating_add(1))
}

fn is_time_to_forget(calls: &AtomicU32) -> bool {
    calls.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1
}
