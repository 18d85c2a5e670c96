//! Keeps the log small: copies the live part of its oldest segments forward, so that these can go.
//!
//! 1. The frames of the oldest segment are read.
//! 2. Each entry with its base in that segment is read in its present state, and gets a new base:
//!    decided and queued. If another step of the entry comes first, it is read again.
//! 3. All copies are synced. The rest of a damaged segment is [given up](super::damaged).
//! 4. The head of a later group names the new oldest segment. It is synced.
//! 5. The files of the segments before it are reused or unlinked; those with damage first get a name in
//!    `corrupt`.

use std::collections::BTreeSet;

use super::error::NO_ENTRY;
use super::index::{Index, Refused};
use super::lookup::ReadEntry;
use super::memory::News;
use super::record::{Base, Entry, Frame, Record};
use super::step::{LaidOut, Landing, StepError, Tail};
use super::tag::found_frame;
use super::wal::ReadError;
use super::{Journal, JournalError, RESERVED_SEGMENTS, at, point};
use crate::file::FileId;

/// The log is copied forward when it is this many times as large as its live part,
const MOST_TIMES: u64 = 4;

/// and has more segments than this.
const FEWEST_SEGMENTS: u64 = 8;

/// The most bytes of copies on their way at the same time.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;

impl Journal {
    /// Copies the log forward while it is too large, and fills its reserve up.
    ///
    /// # Errors
    /// The disk's error; the next sweep goes on.
    pub(super) fn tidy_log(&self) -> Result<(), JournalError> {
        self.trim()?;
        while self.is_wasteful() && self.copy_oldest()? {
            self.trim()?; // 4 and 5
        }
        if let Err(err) = self.wal.reserve(RESERVED_SEGMENTS) {
            log::warn!("the log has no reserve for a full disk: {err}");
        }
        self.make_room()
    }

    /// Removes files of the log that only save time, if the disk is nearly full.
    fn make_room(&self) -> Result<(), JournalError> {
        let free = self.free().map_err(at(NO_ENTRY, "ask for free space"))?;
        if free.bytes / 2 >= self.limits.min_free_bytes {
            return Ok(());
        }
        let shrunk = self.wal.shrink();
        shrunk.map_err(at(NO_ENTRY, "remove spare files of the log"))
    }

    pub(super) fn is_wasteful(&self) -> bool {
        let segment_bytes = self.wal.segment_bytes();
        let state = self.state();
        let answers = state.keys.live_bytes();
        let live = state
            .index
            .live_bytes(segment_bytes)
            .saturating_add(answers);
        drop(state);
        let enough = live.saturating_mul(MOST_TIMES);
        self.wal.bytes() > enough.max(segment_bytes * FEWEST_SEGMENTS)
    }

    /// Gives up the segments without any live part. Steps 4 and 5.
    fn trim(&self) -> Result<(), JournalError> {
        let oldest = self.state().oldest();
        let generations = self.wal.generations();
        let newest = generations.last().copied().unwrap_or_default();
        let oldest = oldest.min(newest);
        if generations.first().is_none_or(|&first| first >= oldest) {
            return Ok(());
        }
        let kept = self.keep_damaged(&generations, oldest);
        kept.map_err(at(NO_ENTRY, "keep a damaged segment"))?;
        point!("copy.kept");
        debug_assert!(self.is_dead(&generations, oldest), "before {oldest}");
        let trimmed = self.wal.trim(oldest);
        trimmed.map_err(|err| StepError::from(err).of(NO_ENTRY, "trim the log"))
    }

    /// Whether nothing that a start would miss lives in the segments before this one.
    fn is_dead(&self, generations: &[u64], oldest: u64) -> bool {
        let state = self.state();
        let mut before = generations
            .iter()
            .filter(|&&generation| generation < oldest);
        before.all(|&generation| state.living_in(generation) == 0)
    }

    /// Steps 1 to 3. Returns whether less lives in the segment than before.
    fn copy_oldest(&self) -> Result<bool, JournalError> {
        let (oldest, before) = {
            let state = self.state();
            let oldest = state.oldest();
            (oldest, state.living_in(oldest))
        };
        let mut answers = Vec::new();
        // An entry may have had several bases there.
        let mut ids = BTreeSet::new();
        let read = self.wal.frames_of(oldest, &mut |found| {
            let frame = found_frame(found);
            ids.extend(bases_of(&frame));
            answers.extend(self.answers_in(&frame, found.position));
        }); // 1
        let damages = match read {
            Ok(damages) => damages,
            // It is the active segment.
            Err(ReadError::Gone) => return Ok(false),
            Err(err) => {
                let err = std::io::Error::other(err);
                return Err(at(NO_ENTRY, "read the log")(err));
            }
        };
        self.pack(answers, News::Retain)?;
        self.copy_all(ids, oldest)?;
        point!("copy.landed");
        if !damages.is_empty() {
            self.leave_damaged(oldest)?;
        }
        Ok(self.state().living_in(oldest) < before)
    }

    /// Steps 2 and 3, for these entries.
    pub(super) fn copy_all(
        &self,
        ids: impl IntoIterator<Item = FileId>,
        segment: u64,
    ) -> Result<(), JournalError> {
        let mut under_way = Vec::new();
        let mut bytes = 0;
        for id in ids {
            bytes += self.copy(id, segment, &mut under_way)?; // 2
            if bytes >= BATCH_BYTES {
                land_all(&mut under_way)?;
                bytes = 0;
            }
        }
        land_all(&mut under_way) // 3
    }

    /// Copies one entry from any segment.
    #[cfg(test)]
    pub(super) fn copy_one(&self, id: FileId) -> Result<(), JournalError> {
        let known = self.known(id).ok_or(JournalError::Absent(id))?;
        let segment = self.wal.generation_of(known.base.group());
        self.copy_all([id], segment.unwrap_or_default())
    }

    /// Step 2. Returns the size of the copy, or none if the entry is in another segment by now. A
    /// caller with copies under way must not wait for anybody, as somebody may be waiting for these
    /// copies.
    fn copy<'a>(
        &'a self,
        id: FileId,
        segment: u64,
        under_way: &mut Vec<(FileId, Landing<'a>)>,
    ) -> Result<u64, JournalError> {
        loop {
            let known = self.known(id);
            let is_here = |group| self.wal.generation_of(group) == Some(segment);
            if !known.is_some_and(|known| is_here(known.base.group())) {
                return Ok(0);
            }
            let found = match self.read(id) {
                Err(JournalError::Absent(_)) => return Ok(0),
                Err(JournalError::Unreadable { id, reason }) => {
                    land_all(under_way)?;
                    return self.give_up(id, &reason).map(|()| 0);
                }
                found => found?,
            };
            // The frames with its last bytes do not count any more.
            self.sync_tail(id).map_err(at(id, "fsync the body"))?;
            let laid_out = lay_out(id, &found, found.reading.entry(), Frame::COPIED);
            let (laid_out, bytes) = laid_out.map_err(at(id, "lay a copy out"))?;
            let copy = |index: &mut Index, tail: &mut Tail<'_>| index.copy(&found.reading, tail);
            let copied = if under_way.is_empty() {
                self.decide(Some(laid_out), None, copy)
            } else {
                self.decide_now(Some(laid_out), copy)
            };
            match copied {
                Ok(landing) => {
                    under_way.push((id, landing));
                    return Ok(bytes);
                }
                Err(StepError::Refused(Refused::Moved)) => {}
                Err(StepError::Refused(Refused::Wait(_))) => land_all(under_way)?,
                Err(StepError::Refused(Refused::Absent)) => return Ok(0),
                Err(err) => return Err(err.of(id, "copy forward")),
            }
        }
    }
}

fn land_all(under_way: &mut Vec<(FileId, Landing<'_>)>) -> Result<(), JournalError> {
    for (id, landing) in under_way.drain(..) {
        let landed = landing.land();
        landed.map_err(|err| StepError::from(err).of(id, "copy forward"))?;
    }
    Ok(())
}

/// Lays out a new base of an entry that was read, for [`super::index::Index::copy`] and its like. Also
/// returns its bytes.
pub(super) fn lay_out(
    id: FileId,
    found: &ReadEntry,
    entry: &Entry,
    flags: u16,
) -> std::io::Result<(LaidOut, u64)> {
    let frame = Frame::entry(id, entry).map_err(std::io::Error::other)?;
    let frame = Frame {
        flags: frame.flags | flags,
        ..frame
    };
    let body = found.body.clone().unwrap_or_default();
    let bytes = frame.record.len() + body.len();
    let laid_out = LaidOut::new(&frame, &[], |into| {
        let from = body
            .get(..into.len())
            .ok_or(std::io::ErrorKind::InvalidData)?;
        into.copy_from_slice(from);
        Ok(())
    })?;
    Ok((laid_out, u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// Returns the entries that have this frame as their base.
fn bases_of(frame: &Frame) -> Vec<FileId> {
    match frame.read() {
        Ok(Some(Record::Base(Base::Entry(
            Entry::File(_) | Entry::Tombstone(_) | Entry::Upload(_) | Entry::Intent(_),
        )))) => vec![frame.id],
        Ok(Some(Record::Base(Base::Form(form)))) => form.parts.iter().map(|part| part.id).collect(),
        _ => Vec::new(),
    }
}
