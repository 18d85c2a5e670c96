//! Room on the disk for bodies that are on their way in.
//!
//! The bytes that have arrived are on the disk, and no longer free. The number of bytes still to come
//! is unknown: a chunked body has no length, and a client may declare a length and send nothing. In a
//! steady flow of uploads half of each body has arrived, on average. So the bytes in the spool are
//! counted a second time for the bytes still to come. For bodies that were admitted so recently that
//! nginx cannot have written much of them, the declared length counts.
//!
//! An attacker who wants to keep others out by this has to send as many bytes: a declared length counts
//! only until the second look into the spool, and only in part.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::IntakeError;
use crate::journal::{Free, Journal};

/// The pause between two looks into the spool: with thousands of bodies each takes some milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// At most this much of a declared length counts.
const DECLARED_BYTES: u64 = 64 * 1024 * 1024;

/// The state of bodies on their way.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    known: Mutex<Known>,
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    looked: Option<Instant>,
    spooled: u64,
    /// Declared bytes of bodies that were admitted since the last look, and between that look and the
    /// one before.
    declared: [u64; 2],
}

impl OnTheWay {
    /// The free bytes that are left for other bodies. Looks into the spool from time to time only.
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

    /// Notes that a body of this length was admitted.
    pub(super) fn let_in(&self, length: u64) {
        let [latest, _] = &mut self.known().declared;
        *latest = latest.saturating_add(length.min(DECLARED_BYTES));
    }

    /// Notes that an admitted body has arrived.
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
        // If nobody has asked for a long time, all admitted bodies have begun to arrive.
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
