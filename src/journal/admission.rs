//! Checks that there is room for an upload: on the disk, and below the watermarks.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::error::at;
use super::index::{Index, OldestLook, Phase, Totals};
use super::memory::State;
use super::record::Subject;
use super::{AdoptError, Journal};
use crate::file::FileId;

/// The share of the room that all open uploads may have for bytes that have not come: others need the
/// rest.
const EXPECTED_SHARE: u64 = 2;

/// The share of all open uploads that one subject may have.
const SUBJECT_SHARE: u64 = 10;

/// Bytes of the disk for each byte that is expected: an append is in the spool, too, while it is
/// copied.
const DISK_FOR_EXPECTED: u64 = 2;

/// A disk that takes longer for one group of the log stands still.
const STANDSTILL: Duration = Duration::from_secs(10);

/// The free space of the disk for this process.
#[derive(Debug, Clone, Copy)]
pub struct Free {
    /// Bytes.
    pub bytes: u64,
    /// New files; the largest number if the file system sets no limit.
    pub inodes: u64,
}

/// Room below the watermarks, reserved for an upload that is not decided yet. Dropping it gives the
/// room back, also in a panic.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    journal: &'a Journal,
    totals: Totals,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let reserved = &mut self.journal.state().reserved;
        *reserved -= self.totals;
    }
}

impl Journal {
    /// The free space now, without that for bytes that open uploads may still send. Asks the disk, and
    /// may wait for it.
    ///
    /// # Errors
    /// The disk's error.
    pub fn free(&self) -> io::Result<Free> {
        let path = self.layout.journal();
        let bytes = self.disk().free_bytes(path)?;
        let expected = self.state().index.expected_bytes();
        Ok(Free {
            bytes: bytes.saturating_sub(expected.saturating_mul(DISK_FOR_EXPECTED)),
            inodes: self.disk().free_inodes(path)?,
        })
    }

    /// Whether the disk has not answered for so long that an upload would wait in vain. This does not ask
    /// it.
    pub fn stands_still(&self) -> bool {
        self.wal.writes_for() > STANDSTILL
    }

    /// Whether an upload of this length would be admitted, if none of its bytes is on the disk yet. It
    /// uses the given free space and does not ask the disk. It reserves nothing.
    ///
    /// # Errors
    /// `Full`, `NoSpace` or `Poisoned`.
    pub fn check_room(&self, free: Free, length: u64) -> Result<(), AdoptError> {
        self.check_against(self.marks(), free, Totals::of(length))
    }

    /// Does the same check for an upload that was admitted a moment ago. Others have come since, so
    /// the watermarks are wider.
    ///
    /// # Errors
    /// `Full`, `NoSpace` or `Poisoned`.
    pub fn check_room_again(&self, free: Free, length: u64) -> Result<(), AdoptError> {
        self.check_against(self.marks().wider(), free, Totals::of(length))
    }

    /// Checks the room in the same way, but asks the disk for its free space.
    ///
    /// # Errors
    /// `Full`, `NoSpace` or `Poisoned`.
    pub fn check_admission(&self, length: u64) -> Result<(), AdoptError> {
        let free = self.free().map_err(at("ask for free space"))?;
        self.check_room(free, length)
    }

    fn check_against(&self, marks: Marks, free: Free, coming: Totals) -> Result<(), AdoptError> {
        self.check_log()?;
        marks.check_free(free, coming)?;
        marks.check_backlog(&self.state(), coming)
    }

    /// Reserves room for entries that have arrived, on the disk or in memory. They were admitted
    /// before they came, and others have come since, so the watermarks are wider.
    pub(super) fn admit(&self, coming: Totals) -> Result<Reserved<'_>, AdoptError> {
        let free = self.free().map_err(at("ask for free space"))?;
        self.admit_into(free, coming)
    }

    /// Reserves room in the same way, with the given free space of the disk.
    pub(super) fn admit_into(
        &self,
        free: Free,
        coming: Totals,
    ) -> Result<Reserved<'_>, AdoptError> {
        let marks = self.marks().wider();
        self.reserve(marks, free, Totals { bytes: 0, ..coming }, coming)
    }

    /// Reserves room for an upload of which nothing has arrived.
    pub(super) fn admit_ahead(
        &self,
        free: Free,
        coming: Totals,
    ) -> Result<Reserved<'_>, AdoptError> {
        let on_disk = Totals {
            bytes: coming.bytes.saturating_mul(DISK_FOR_EXPECTED),
            ..coming
        };
        self.reserve(self.marks(), free, on_disk, coming)
    }

    fn reserve(
        &self,
        marks: Marks,
        free: Free,
        on_disk: Totals,
        coming: Totals,
    ) -> Result<Reserved<'_>, AdoptError> {
        self.check_log()?;
        marks.check_free(free, on_disk)?;
        let mut state = self.state();
        marks.check_backlog(&state, coming)?;
        state.reserved += coming;
        Ok(Reserved {
            journal: self,
            totals: coming,
        })
    }

    /// Whether an upload of this many bytes may be opened by a subject. It reserves nothing.
    ///
    /// # Errors
    /// As [`Journal::open_upload`].
    pub fn check_upload(&self, free: Free, room: u64, subject: Subject) -> Result<(), AdoptError> {
        drop(self.admit_ahead(free, Totals::of(room))?);
        self.check_open(&self.state().index, free, room, Some(subject))
    }

    /// Whether open uploads may expect this many bytes more, and one may be opened by a subject.
    pub(super) fn check_open(
        &self,
        index: &Index,
        free: Free,
        more: u64,
        opens: Option<Subject>,
    ) -> Result<(), AdoptError> {
        let full = |text: String| Err(AdoptError::Full(text));
        let (all, of_subject) = index.open_uploads(opens.unwrap_or_default());
        let most = self.limits.max_open_uploads;
        if opens.is_some() && (all >= most || of_subject >= most.div_ceil(SUBJECT_SHARE)) {
            return full(format!(
                "{all} uploads are open, {of_subject} of this subject"
            ));
        }
        let before = index.expected_bytes();
        let expected = before.saturating_add(more);
        let on_disk = expected.saturating_mul(DISK_FOR_EXPECTED);
        // What is free is told without the bytes that are expected already.
        let above = free.bytes.saturating_sub(self.limits.min_free_bytes);
        let disk = above.saturating_add(before.saturating_mul(DISK_FOR_EXPECTED));
        let is_much = expected > self.limits.max_bytes / EXPECTED_SHARE;
        if more > 0 && (is_much || on_disk > disk / EXPECTED_SHARE) {
            return full(format!("open uploads expect {before} bytes"));
        }
        Ok(())
    }

    /// Checks that the log takes uploads: its reserve is for changes, tombstones and copies only.
    ///
    /// # Errors
    /// `NoSpace` or `Poisoned`.
    pub fn check_log(&self) -> Result<(), AdoptError> {
        self.check_poison()?;
        if self.wal.has_reserve() {
            return Ok(());
        }
        let low = "the log has come to its reserve";
        let cause = io::Error::new(io::ErrorKind::StorageFull, low);
        Err(AdoptError::NoSpace(cause))
    }

    /// When the oldest pending entry was accepted.
    pub fn oldest_pending(&self) -> Option<std::time::SystemTime> {
        let mut look = OldestLook::default();
        loop {
            let looked = self.state().index.oldest_pending(&mut look);
            if let ControlFlow::Break(oldest) = looked {
                return oldest.map(FileId::made_at);
            }
        }
    }

    fn marks(&self) -> Marks {
        Marks {
            min_free: Free {
                bytes: self.limits.min_free_bytes,
                inodes: self.limits.min_free_inodes,
            },
            max_entries: self.limits.max_entries,
            max_bytes: self.limits.max_bytes,
        }
    }
}

/// The entries that are promised and not proven, or about to be promised.
pub(super) fn backlog(state: &State) -> Totals {
    let pending = Phase::ALL.into_iter().filter(|phase| phase.is_pending());
    let mut backlog = pending.fold(state.reserved, |mut sum, phase| {
        sum += state.index.totals(phase);
        sum
    });
    // Nothing of them waits any more.
    backlog.entries = backlog.entries.saturating_sub(state.index.made_uploads());
    backlog
}

/// The watermarks at which uploads are refused.
#[derive(Debug, Clone, Copy)]
struct Marks {
    min_free: Free,
    max_entries: u64,
    max_bytes: u64,
}

impl Marks {
    /// The watermarks for uploads that were admitted before: half as much must stay free, and an eighth
    /// more may be pending.
    fn wider(self) -> Self {
        let Free { bytes, inodes } = self.min_free;
        Self {
            min_free: Free {
                bytes: bytes.div_ceil(2),
                inodes: inodes.div_ceil(2),
            },
            max_entries: self.max_entries.saturating_add(self.max_entries / 8),
            max_bytes: self.max_bytes.saturating_add(self.max_bytes / 8),
        }
    }

    /// Whether the disk stays above its watermarks if this much more is written.
    fn check_free(self, free: Free, coming: Totals) -> Result<(), AdoptError> {
        let Free { bytes, inodes } = free;
        // The watermark leaves room for a single one.
        let more_inodes = coming.entries.saturating_sub(1);
        if bytes.saturating_sub(coming.bytes) < self.min_free.bytes {
            let low = format!("{bytes} bytes are free");
            let cause = io::Error::new(io::ErrorKind::StorageFull, low);
            return Err(AdoptError::NoSpace(cause));
        }
        if inodes.saturating_sub(more_inodes) < self.min_free.inodes {
            return Err(AdoptError::NoInodes(format!("{inodes} inodes are free")));
        }
        Ok(())
    }

    /// Whether the backlog stays below its watermarks if this much more comes.
    fn check_backlog(self, state: &State, coming: Totals) -> Result<(), AdoptError> {
        let backlog = backlog(state);
        let (entries, bytes) = (backlog.entries, backlog.all_bytes());
        if entries.saturating_add(coming.entries) > self.max_entries {
            return Err(AdoptError::Full(format!("{entries} entries are pending")));
        }
        if bytes.saturating_add(coming.all_bytes()) > self.max_bytes {
            return Err(AdoptError::Full(format!("{bytes} bytes are pending")));
        }
        Ok(())
    }
}
