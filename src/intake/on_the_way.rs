//! Bodies on their way in, as far as the disk must have room for them.
//!
//! The bytes that have come of them are on the disk, and not free any more. Nobody knows how many are still
//! to come: a chunked body has no length, and a client may declare a length and send nothing. In a steady
//! flow of uploads half of each body has come, on average. So as much again as is in the spool counts as
//! still to come; and of those that were let in since nginx could have written something of them, what they
//! declared.
//!
//! An attacker who wants to keep others out by this has to send as many bytes: a declared length counts for
//! two looks, and in part.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::IntakeError;
use crate::journal::{Free, Journal};

/// Between two looks into the spool: with thousands of bodies each takes some milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most that counts of a declared length.
const DECLARED_BYTES: u64 = 64 * 1024 * 1024;

/// All that is known of bodies on their way.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    known: Mutex<Known>,
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    looked: Option<Instant>,
    spooled: u64,
    /// Bytes declared by bodies that were let in since the last look, and since the one before it.
    declared: [u64; 2],
}

impl OnTheWay {
    /// The free bytes that are left for others. Looks into the spool now and then only.
    pub(super) async fn leaves_of(
        &self,
        free: Free,
        journal: &Arc<Journal>,
    ) -> Result<Free, IntakeError> {
        if self.known().is_old(Instant::now()) {
            let _alone = self.looking.lock().await;
            if self.known().is_old(Instant::now()) {
                let looking = Arc::clone(journal);
                let spooled = spawn_blocking(move || looking.spooled_bytes()).await?;
                let spooled = spooled.map_err(IntakeError::DiskSilent)?;
                self.known().note(spooled, Instant::now());
            }
        }
        let bytes = free.bytes.saturating_sub(self.known().coming());
        Ok(Free { bytes, ..free })
    }

    /// A body of this length was let in.
    pub(super) fn let_in(&self, length: u64) {
        let [latest, _] = &mut self.known().declared;
        *latest = latest.saturating_add(length.min(DECLARED_BYTES));
    }

    /// All of a body is there that was let in.
    pub(super) fn arrived(&self, length: u64) {
        let mut known = self.known();
        let mut left = length.min(DECLARED_BYTES);
        for declared in known.declared.iter_mut().rev() {
            let part = left.min(*declared);
            *declared -= part;
            left -= part;
        }
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_old(&self, now: Instant) -> bool {
        self.looked
            .is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY)
    }

    fn note(&mut self, spooled: u64, now: Instant) {
        let [latest, _] = self.declared;
        let before = self.looked.replace(now);
        // After a long time without a question all that was let in has begun.
        let is_late = before.is_none_or(|before| now.duration_since(before) >= LOOK_EVERY * 2);
        self.declared = [0, if is_late { 0 } else { latest }];
        self.spooled = spooled;
    }

    fn coming(&self) -> u64 {
        let [latest, before] = self.declared;
        self.spooled.saturating_add(latest).saturating_add(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coming(incoming: &OnTheWay) -> u64 {
        incoming.known().coming()
    }

    #[test]
    fn what_is_in_the_spool_counts_again_and_what_was_declared_until_the_look_after_the_next() {
        let incoming = OnTheWay::default();
        let begin = Instant::now();
        let look = |seconds, spooled| {
            let at = begin + Duration::from_secs(seconds);
            incoming.known().note(spooled, at);
            assert!(!incoming.known().is_old(at));
            assert!(incoming.known().is_old(at + LOOK_EVERY));
        };
        assert!(incoming.known().is_old(begin));
        look(0, 100);
        incoming.let_in(1000);
        incoming.let_in(30);
        assert_eq!(coming(&incoming), 1130);
        look(1, 200);
        assert_eq!(coming(&incoming), 1230);
        look(2, 300);
        assert_eq!(coming(&incoming), 300);
        incoming.let_in(7);
        look(9, 10);
        assert_eq!(coming(&incoming), 10, "it has begun long ago");
    }

    #[test]
    fn a_body_that_is_there_is_no_longer_to_come_and_no_length_counts_without_bound() {
        let incoming = OnTheWay::default();
        let begin = Instant::now();
        incoming.known().note(0, begin);
        incoming.let_in(500);
        incoming.known().note(0, begin + LOOK_EVERY);
        incoming.let_in(50);
        incoming.arrived(510);
        assert_eq!(coming(&incoming), 40);
        incoming.arrived(90);
        assert_eq!(coming(&incoming), 0);
        incoming.let_in(u64::MAX);
        assert_eq!(coming(&incoming), DECLARED_BYTES);
        incoming.arrived(u64::MAX);
        assert_eq!(coming(&incoming), 0);
    }
}
