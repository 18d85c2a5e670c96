//! Checks that there is room for an upload: its length, its sender's quota, and the disk.

use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::key_claim::Keyed;
use super::quota::Reservation;
use super::sender::number_of;
use super::{Intake, IntakeError, Sender, fingerprint};
use crate::journal::Free;

/// The free space of the disk is asked for again after this time.
const FREE_FRESH: Duration = Duration::from_millis(250);

impl Intake {
    /// Counts an upload that wants to begin.
    ///
    /// # Errors
    /// When its sender has sent too many uploads within a minute.
    pub fn count(&self, sender: &Sender) -> Result<(), IntakeError> {
        self.quotas.count(&sender.subject)
    }

    /// Checks that a body is not too long.
    ///
    /// # Errors
    /// When it is too long.
    pub fn check_length(&self, sender: &Sender, length: u64) -> Result<(), IntakeError> {
        if length > self.max_body_bytes {
            Err(IntakeError::TooLarge)
        } else if sender.grant.max_bytes().is_some_and(|max| length > max) {
            Err(IntakeError::LargerThanAllowed)
        } else {
            Ok(())
        }
    }

    /// The length of the longest upload that a sender may send, in bytes.
    pub fn longest(&self, sender: &Sender) -> u64 {
        let allowed = sender.grant.max_bytes().unwrap_or(u64::MAX);
        self.max_body_bytes.min(allowed)
    }

    /// The length of the longest upload of anybody, in bytes.
    pub fn max_body_bytes(&self) -> u64 {
        self.max_body_bytes
    }

    /// Checks that a sender may have this many more bytes pending. Bytes on their way do not count.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn check_quota(&self, sender: &Sender, length: u64) -> Result<(), IntakeError> {
        self.reserve_for(sender, length, 0).map(drop)
    }

    /// Does the same for a file under this key, before its body comes: what its key has left of an earlier
    /// try gives way to it.
    ///
    /// # Errors
    /// As [`Intake::check_quota`].
    pub fn check_quota_of_file(
        &self,
        sender: &Sender,
        length: u64,
        key: Option<&str>,
    ) -> Result<(), IntakeError> {
        let leaving = key.and_then(|key| self.room_under(sender, key));
        self.reserve_for(sender, length, leaving.unwrap_or_default())
            .map(drop)
    }

    /// The bytes that an open upload under this key of a sender has a right to here; `None` if there is none.
    pub(super) fn room_under(&self, sender: &Sender, key: &str) -> Option<u64> {
        self.journal
            .room_under_key(fingerprint::key_of(sender, key))
    }

    /// Checks a body that has arrived, and reserves quota of its sender for it.
    pub(super) fn reserve(
        &self,
        sender: &Sender,
        length: u64,
        record_bytes: u64,
    ) -> Result<Reservation, IntakeError> {
        self.reserve_beside(sender, length, record_bytes, None)
    }

    /// Does the same for a whole body: an upload with its key gives way to it.
    pub(super) fn reserve_beside(
        &self,
        sender: &Sender,
        length: u64,
        record_bytes: u64,
        keyed: Option<Keyed>,
    ) -> Result<Reservation, IntakeError> {
        self.check_length(sender, length)?;
        let bytes = length.saturating_add(record_bytes);
        let opened = keyed.and_then(|keyed| keyed.opened);
        let leaving = opened.and_then(|opened| self.journal.room_under_key(opened.key));
        self.reserve_for(sender, bytes, leaving.unwrap_or_default())
    }

    /// The bytes of files of a token's subject that wait in this journal.
    pub fn pending_bytes(&self, sub: &str) -> u64 {
        self.journal
            .pending_bytes(number_of(&Sender::name_of_sub(sub)))
    }

    pub(super) fn reserve_for(
        &self,
        sender: &Sender,
        bytes: u64,
        leaving: u64,
    ) -> Result<Reservation, IntakeError> {
        let in_journal = || self.journal.pending_bytes(sender.number());
        self.quotas
            .reserve(&sender.subject, bytes, leaving, in_journal)
    }

    /// Checks that there is room for a body of this length, which then begins to arrive. `is_expected`
    /// says that a balancer was told a moment ago that there is room: bodies that were admitted since
    /// do not count then.
    ///
    /// # Errors
    /// When there is no room.
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

    /// Notes that an admitted body has arrived.
    pub fn arrived(&self, length: u64) {
        self.on_the_way.arrived(length);
    }

    /// The free bytes and inodes of the disk, asked for from time to time only.
    ///
    /// # Errors
    /// When the disk does not tell.
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

    /// The free space without the room for bodies on their way.
    ///
    /// # Errors
    /// When the disk does not tell.
    pub async fn room(&self) -> Result<Free, IntakeError> {
        let free = self.free().await?;
        self.leaves_of(free).await
    }

    /// This free space without the room for bodies on their way.
    pub(super) async fn leaves_of(&self, free: Free) -> Result<Free, IntakeError> {
        self.on_the_way.leaves_of(free, &self.journal).await
    }
}
