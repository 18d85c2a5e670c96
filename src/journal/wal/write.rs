//! Writes groups at the end of the log, and begins segments.

use std::io;
use std::sync::{Arc, OnceLock};

use rustix::rand::{GetRandomFlags, getrandom};

use super::error::AppendError;
use super::format::{BLOCK, FIRST_GROUP, HEAD_BYTES, SALT_BYTES, to_block};
use super::frame::Frame;
use super::group::GroupHead;
use super::seal::Seal;
use super::segment::End;
use super::segment::SegmentHead;
use super::spares::Spare;
use super::{Segment, Shape, Wal, lock};
use crate::journal::point::point;

/// Zeros for the end of a group's last block, and for writing ahead.
static ZEROS: &[u8] = &[0; 16 * BLOCK];

/// The bytes of zeros that a small group writes ahead in a blank file. A sync of bytes that replace
/// others costs one flush of the disk; a sync of the first bytes at a place also costs a commit of
/// the file system.
const AHEAD_BYTES: usize = 1024 * 1024;

/// No zeros are written ahead while groups have this many bytes on average: the commit of the file
/// system then costs less than writing each byte of the log twice (32 connections that send 8 KiB:
/// 1.14 bytes on the disk for each byte sent instead of 2.2, at the same rate).
const LARGE_GROUP: usize = 24 * 1024;

/// The number of groups that the average remembers.
const REMEMBERED_GROUPS: usize = 8;

/// The leader's knowledge of the end of the log.
#[derive(Debug)]
pub(super) struct Writer {
    /// The active segment. `None` before the first one, and when the next one has to begin.
    pub(super) active: Option<Arc<Segment>>,
    /// The file in which the next segment may have begun, if that failed: no other file may get the
    /// same generation.
    pub(super) begun: Option<Spare>,
    /// The active segment's file was written up to this offset before.
    pub(super) written: usize,
    /// The average size of a group in bytes.
    pub(super) group_bytes: usize,
    /// The end of the newest segment.
    pub(super) end: End,
    /// The generation of the newest segment.
    pub(super) generation: u64,
    /// The last group number that was used.
    pub(super) number: u64,
    /// The oldest generation, which each head states.
    pub(super) oldest: u64,
    /// Flags of each head until a group with frames is synced.
    pub(super) flags: u32,
}

/// Statements of a group beside its frames.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Note {
    /// A new oldest generation.
    pub(super) oldest: Option<u64>,
    pub(super) flags: u32,
}

impl Note {
    pub(super) fn is_empty(self) -> bool {
        self.oldest.is_none() && self.flags == 0
    }
}

/// The place of a group.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Placed {
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) place: usize,
}

impl Shape {
    /// Bytes of the largest group.
    pub(super) fn largest_group(self) -> usize {
        let [group, segment] = [self.group_bytes, self.segment_bytes]
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // Each group leaves room for a head behind it.
        group.min(segment.saturating_sub(FIRST_GROUP + BLOCK))
    }
}

impl Writer {
    /// Returns the offset up to which the write of a group goes, if the group needs the place up to
    /// `needed`. In a place without earlier writes, a small group writes further ahead, so that few
    /// writes find such a place.
    fn ahead(&mut self, segment: &Segment, group_bytes: usize, needed: usize) -> usize {
        let remembered = self.group_bytes * (REMEMBERED_GROUPS - 1);
        self.group_bytes = (remembered + group_bytes) / REMEMBERED_GROUPS;
        if needed <= self.written || self.group_bytes >= LARGE_GROUP {
            return 0;
        }
        let bytes = usize::try_from(segment.head.bytes).unwrap_or(usize::MAX);
        (needed + AHEAD_BYTES).min(bytes)
    }

    /// Ends the active segment: the next group begins another one.
    pub(super) fn end_segment(&mut self) {
        if let Some(active) = self.active.take() {
            active.sealed.get_or_init(|| self.end);
        }
    }
}

impl Wal {
    /// Writes a group and syncs it. Steps 3 to 6 of an append.
    pub(super) fn write_group(
        &self,
        frames: &mut [Frame],
        note: Note,
    ) -> Result<Placed, AppendError> {
        if frames.is_empty() && note.is_empty() {
            return Ok(Placed::default());
        }
        self.volume.check()?;
        let writer = &mut *lock(&self.writer);
        writer.oldest = writer.oldest.max(note.oldest.unwrap_or_default());
        let bytes = frames.iter().map(|frame| frame.bytes().len());
        let bytes = HEAD_BYTES + bytes.sum::<usize>();
        // A group with frames leaves room for a head behind it.
        let behind = if frames.is_empty() { 0 } else { BLOCK };
        let segment = self.segment_for(to_block(bytes) + behind, writer)?; // 3
        writer.number += 1;
        let (number, place) = (writer.number, writer.end.place);
        let count = u32::try_from(frames.len()).map_err(|_| AppendError::TooLarge(bytes))?;
        let head = self.head(writer, bytes, count, note.flags);
        let head = head.encode(segment.head.seal, place);
        let head = head.ok_or(AppendError::TooLarge(bytes))?;
        let mut frame_at = place + HEAD_BYTES;
        for frame in &mut *frames {
            frame.seal(segment.head.seal, number, frame_at); // 4
            frame_at += frame.bytes().len();
        }
        let mut pieces = vec![head.as_slice()];
        pieces.extend(frames.iter().map(Frame::bytes));
        pieces.extend(ZEROS.get(..to_block(bytes) - bytes));
        let end = place + to_block(bytes);
        let ahead = writer.ahead(&segment, bytes, end + behind);
        pieces.extend(zeros(ahead.saturating_sub(end)));
        let written = self.volume.write(&segment.file, &pieces, place); // 5
        point!("wal.group-written");
        let synced = written.and_then(|()| self.volume.sync(&segment.file)); // 6
        point!("wal.group-synced");
        if let Err(err) = synced {
            self.take_back(writer);
            return Err(self.failure(err));
        }
        writer.written = writer.written.max(ahead);
        if !frames.is_empty() {
            writer.end = End { place: end, number };
            writer.flags = 0;
        }
        let generation = segment.head.seal.generation;
        Ok(Placed {
            generation,
            number,
            place,
        })
    }

    /// The active segment, if it has room for this many more bytes; else the next one.
    fn segment_for(&self, bytes: usize, writer: &mut Writer) -> Result<Arc<Segment>, AppendError> {
        let needed = writer.end.place + bytes;
        let has_room = |segment: &&Arc<Segment>| {
            usize::try_from(segment.head.bytes).is_ok_and(|bytes| needed <= bytes)
        };
        if let Some(active) = writer.active.as_ref().filter(has_room) {
            return Ok(Arc::clone(active));
        }
        // The head of the next segment states this end, so this segment gets no more groups.
        writer.end_segment();
        self.begin_segment(writer).map_err(|err| self.failure(err))
    }

    /// Begins a segment in a file of zeros or of a dead segment. Both copies of its head are synced
    /// before the first group.
    fn begin_segment(&self, writer: &mut Writer) -> io::Result<Arc<Segment>> {
        let generation = writer.generation + 1;
        let mut salt = [0; SALT_BYTES];
        getrandom(&mut salt, GetRandomFlags::empty())?;
        let head = SegmentHead {
            seal: Seal { salt, generation },
            bytes: self.shape.segment_bytes,
            before: writer.end,
        };
        let begun = match writer.begun.take() {
            None => self.spare_file()?,
            Some(begun) => begun,
        };
        let Spare {
            number,
            file,
            is_blank,
        } = writer.begun.insert(begun).clone();
        self.volume.write(&file, &[&head.encode()], 0)?;
        point!("segment.heads-written");
        self.volume.sync(&file)?;
        writer.begun = None;
        let segment = Arc::new(Segment::new(number, file, head, OnceLock::new()));
        lock(&self.segments).insert(generation, Arc::clone(&segment));
        writer.generation = generation;
        writer.written = if is_blank { FIRST_GROUP } else { usize::MAX };
        writer.end.place = FIRST_GROUP;
        writer.active = Some(Arc::clone(&segment));
        Ok(segment)
    }

    /// Writes a head without frames behind the last group, and syncs nothing. Step 8 of an append. A
    /// failure does no harm: the next group is written there.
    pub(super) fn confirm(&self, writer: &mut Writer) {
        if self.volume.check().is_ok()
            && let Err(err) = self.write_empty(writer)
        {
            log::warn!("the last group of the log is not confirmed: {err}");
        }
    }

    /// Puts a head without frames in the place of a refused group. Otherwise a start could accept the
    /// group, although its callers were told that it failed.
    pub(super) fn take_back(&self, writer: &mut Writer) {
        if let Err(err) = self.write_empty(writer) {
            log::error!("a group that was refused stays in the log: {err}");
            writer.end_segment();
        }
    }

    fn write_empty(&self, writer: &mut Writer) -> io::Result<()> {
        let Some(segment) = writer.active.clone() else {
            return Ok(());
        };
        writer.number += 1;
        let head = self.head(writer, HEAD_BYTES, 0, 0);
        let place = writer.end.place;
        let head = head.encode(segment.head.seal, place);
        let head = head.ok_or(io::ErrorKind::InvalidInput)?;
        let rest = ZEROS.get(head.len()..BLOCK).unwrap_or_default();
        self.volume
            .write_unchecked(&segment.file, &[&head, rest], place)
    }

    fn head(&self, writer: &Writer, bytes: usize, frames: u32, flags: u32) -> GroupHead {
        GroupHead {
            number: writer.number,
            bytes,
            frames,
            confirmed: writer.end.number,
            flags: flags | writer.flags,
            start: self.start,
            oldest: writer.oldest,
            clock_ms: self.clock.now_ms(),
        }
    }

    fn failure(&self, err: io::Error) -> AppendError {
        match self.volume.check() {
            Ok(()) => err.into(),
            Err(poisoned) => poisoned.into(),
        }
    }
}

fn zeros<'a>(bytes: usize) -> impl Iterator<Item = &'a [u8]> {
    let whole = std::iter::repeat_n(ZEROS, bytes / ZEROS.len());
    whole.chain(ZEROS.get(..bytes % ZEROS.len()))
}
