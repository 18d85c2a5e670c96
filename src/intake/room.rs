//! Whether there is room for an upload: of a length, of a sender's quota, and on the disk.

use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::quota::Reservation;
use super::{Intake, IntakeError, Sender};
use crate::journal::Free;

/// For so long it is believed what was free on the disk.
const FREE_FRESH: Duration = Duration::from_millis(250);

impl Intake {
    /// Counts an upload that may begin.
    ///
    /// # Errors
    /// When its sender has sent too many within a minute.
    pub fn count(&self, sender: &Sender) -> Result<(), IntakeError> {
        self.quotas.count(&sender.subject)
    }

    /// Whether a body may be so long.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_length(&self, sender: &Sender, length: u64) -> Result<(), IntakeError> {
        if length > self.max_body_bytes {
            Err(IntakeError::TooLarge)
        } else if sender.grant.max_bytes().is_some_and(|max| length > max) {
            Err(IntakeError::LargerThanAllowed)
        } else {
            Ok(())
        }
    }

    /// Whether a sender may have so many bytes more pending. Bytes that are on their way are nobody's yet.
    ///
    /// # Errors
    /// When there are too many.
    pub fn check_quota(&self, sender: &Sender, length: u64) -> Result<(), IntakeError> {
        self.reserve_for(sender, length).map(drop)
    }

    /// Whether the body may be kept, now that all of it is there; room for it among what is pending of its sender.
    pub(super) fn reserve(
        &self,
        sender: &Sender,
        length: u64,
        record_bytes: u64,
    ) -> Result<Reservation, IntakeError> {
        self.check_length(sender, length)?;
        let bytes = length.saturating_add(record_bytes);
        self.reserve_for(sender, bytes)
    }

    fn reserve_for(&self, sender: &Sender, bytes: u64) -> Result<Reservation, IntakeError> {
        let in_journal = || self.journal.pending_bytes(sender.number());
        self.quotas.reserve(&sender.subject, bytes, in_journal)
    }

    /// Whether there is room for a body of so many bytes, which begins to come then. `is_expected` says that a
    /// balancer was told a moment ago that there is: those that were let in since come beside it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn check_room(&self, length: u64, is_expected: bool) -> Result<(), IntakeError> {
        if is_expected {
            let free = self.free().await?;
            self.journal.check_room_again(free, length)?;
        } else {
            let free = self.room().await?;
            self.journal.check_room(free, length)?;
        }
        self.on_the_way.let_in(length);
        Ok(())
    }

    /// All of a body is there that was let in.
    pub fn arrived(&self, length: u64) {
        self.on_the_way.arrived(length);
    }

    /// The free bytes and inodes of the disk; asks it now and then only.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn free(&self) -> Result<Free, IntakeError> {
        let mut known = self.free.lock().await;
        match *known {
            Some((found, free)) if found.elapsed() < FREE_FRESH => Ok(free),
            _ => {
                let journal = self.journal.clone();
                let free = spawn_blocking(move || journal.free()).await?;
                let free = free.map_err(IntakeError::DiskSilent)?;
                *known = Some((Instant::now(), free));
                Ok(free)
            }
        }
    }

    /// The same, left for bodies that are not on their way yet.
    ///
    /// # Errors
    /// When the disk does not say.
    pub async fn room(&self) -> Result<Free, IntakeError> {
        let free = self.free().await?;
        self.leaves_of(free).await
    }

    /// What is left of this for bodies that are not on their way yet.
    pub(super) async fn leaves_of(&self, free: Free) -> Result<Free, IntakeError> {
        self.on_the_way.leaves_of(free, &self.journal).await
    }
}
