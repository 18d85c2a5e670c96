//! The log of the journal: frames in groups, groups in segments, each with a check for its bytes and
//! its place. It knows no index, and no meaning of a frame.
//!
//! A *frame* holds one record and the inline bodies that belong to it. All frames that wait while a
//! group is written form the next *group*, and one fdatasync serves them all. A *segment* is a file of
//! a fixed size that is never renamed, truncated or grown. Its head holds its *generation*, which rises
//! by one from segment to segment. [`mod@format`] describes the bytes.
//!
//! # The life of an append
//! 1. [`Frame::build`] lays the record and the bodies out as they will stand on disk, and hashes the
//!    bodies without a known digest. The calling thread does this before anybody waits.
//! 2. [`Wal::queue`] puts the frame into the next group. It never blocks on the disk, so a caller may
//!    decide, mark and queue under one lock: the order of the frames is the order of the decisions.
//! 3. One of the waiting threads *leads*: it takes the oldest gathered group. If the active segment has
//!    no room for it, the next segment begins: both copies of its head are written, with one fdatasync.
//! 4. The leader gives the group the next number, and seals it: each check covers the segment's salt
//!    and generation, the group's number, and the offset of the bytes.
//! 5. The leader writes the group at the end of the log, beginning on a new block.
//! 6. One fdatasync. The group is *synced*.
//! 7. All waiters learn the [`Position`] of their frames. Only now callers may be answered.
//! 8. If nobody else waits, the leader writes a head without frames behind the group, without a sync.
//!    This head confirms the group; the next group overwrites it.
//!
//! | cut after | leaves | a start |
//! |---|---|---|
//! | 1, 2 | nothing | finds nothing |
//! | 3 | an empty segment, its head old or new | begins it anew |
//! | 4, 5 | a group, whole or torn | drops a torn group; makes a whole one durable |
//! | 6, 7 | the group | makes it durable once more |
//! | 8 | the group, perhaps confirmed | the same |
//!
//! If the write of a group fails, all waiters get the error. The group's number is never used again,
//! and a head without frames takes the group's place. After a failed fdatasync the log is poisoned: no
//! group is written any more, and reads go on.
//!
//! # Torn or damaged
//! A group is written only after the one before it was synced. So each head, with frames or without,
//! states that the group before it was synced, and names that group's number. Only the last group of
//! the log can lack such a confirmation, and only this group can be torn: it is dropped whole, as no
//! caller was told of it. Any other incomplete part is [`Damage`]. Reading goes on behind it: if the
//! head of a group is damaged, the next head states the group's number, so that its frames are still
//! found.
//!
//! # The life of a start
//! 1. [`Wal::open`] reads the heads of all files. It refuses a newer format.
//! 2. It finds the living segments: the newest head of a group states the oldest generation. Frames of
//!    older segments do not count, even if a power cut brings their file back.
//! 3. It reads the living segments in order, and hands each frame to the caller. The caller may refuse
//!    the start, and an error of the disk refuses it too.
//! 4. The whole log is judged. Nothing was written until here.
//! 5. It writes the last group again, byte for byte, with zeros behind it as far as a torn group can
//!    reach. If a head behind the group confirmed it, the same write puts a new head there. One
//!    fdatasync follows: after a failed fsync the page cache looks sound and clean, so only a new write
//!    is known to reach the disk. Then the directory is synced.
//! 6. The files of dead segments become spares or are removed, as after a trim; files that were not
//!    completely made are removed.
//! 7. The caller may give its first answer.
//!
//! Each start has a *start number*, which every head of a group states, also the head of step 5. So no
//! two starts that wrote a group have the same number, even if the power is cut between step 5 and the
//! first group.
//!
//! If the newest segment is damaged, the log goes on in a new one.
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 5, before the fdatasync | each block as it was found or as it was rewritten | finds the same frames |
//! | 5 | the same frames, durable | finds the same frames |
//! | 6 | some of the dead files | does the same with them |
//!
//! # The life of a read
//! 1. The caller takes the group's number and the frame's offset from its index, and [`Wal::read_at`]
//!    takes the segment with that group: numbers rise from segment to segment.
//! 2. It reads the whole frame into memory; the head of the frame states its length.
//! 3. It verifies the checks of head, front and each body, which hold for that position alone.
//! 4. Only then the caller gets the bytes of the record, and of each body that is sound. If a check
//!    fails, the caller asks its index again: it is damage only if the index still names the same
//!    position.
//!
//! # The life of a trim
//! 1. The caller has copied the live part of the oldest segments forward, and those groups are synced.
//! 2. [`Wal::trim`] lets the next head state the new oldest generation.
//! 3. The next head is synced. From now on the segments before it do not count.
//! 4. Their files become spares, or are removed if there are enough spares.
//!
//! A segment that begins in such a file has bytes of an older segment behind its end. These are bound
//! to the salt and the generation of the older segment, so none of them passes for a head or a frame. A
//! file with a second name is kept for an admin and never reused; nor is a file with a damaged head.
//!
//! | cut while a segment begins in a spare | leaves | a start |
//! |---|---|---|
//! | before its heads are written | the heads of the dead segment | makes it a spare again |
//! | between them | both generations: the higher one counts | an empty segment, which it begins anew |
//! | behind them | the new generation | the same |

mod bad_blocks;
mod clock;
mod damage;
mod error;
mod fields;
mod files;
pub mod format;
mod found;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod group;
mod judge;
mod lead;
mod position;
mod queue;
mod read;
mod read_only;
mod scan;
mod seal;
mod segment;
mod spares;
mod start;
mod start_number;
mod stretch;
#[cfg(test)]
mod tests;
mod trim;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::volume::Volume;
use bad_blocks::BadBlocks;
use clock::LogClock;
pub use damage::{Damage, Part};
pub use error::{AppendError, OpenError, ReadError, Refused};
pub(in crate::journal) use format::{BODY_ENTRY_BYTES, FRAME_BYTES, FRAME_STEP};
pub use found::{Bodies, Content, FoundFrame, InlineBody};
pub use frame::{Digest, Frame};
pub use position::{Position, Tag};
use queue::Queue;
pub use queue::{Ticket, Waiter};
pub use read_only::read_only;
use segment::End;
use segment::SegmentHead;
use spares::Spares;
pub use start::Report;
use write::Writer;

/// The sizes of a log's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a new segment.
    pub segment_bytes: u32,
    /// Bytes of the largest group, which also bounds the largest frame.
    pub group_bytes: u32,
}

impl Shape {
    /// The sizes for a node; the proof uses smaller segments, to have many of them.
    pub const DEFAULT: Self = Self {
        segment_bytes: if cfg!(feature = "failpoints") {
            512 * 1024
        } else {
            16 * 1024 * 1024
        },
        group_bytes: 8 * 1024 * 1024,
    };
}

/// The log of a node. Shared by reference.
#[derive(Debug)]
pub struct Wal {
    volume: Volume,
    shape: Shape,
    clock: LogClock,
    /// The number of this start.
    start: u32,
    queue: Mutex<Queue>,
    /// The state of the leading thread.
    writer: Mutex<Writer>,
    spares: Mutex<Spares>,
    /// The living segments by generation. All files stay open, so that no read and no fsync can lack a
    /// file handle.
    segments: Mutex<BTreeMap<u64, Arc<Segment>>>,
}

/// A living segment.
#[derive(Debug)]
struct Segment {
    /// The number of its file.
    number: u32,
    /// If another segment begins in this file during a read, the checks of the frames fail.
    file: Arc<File>,
    head: SegmentHead,
    /// The end of its groups, once another segment has begun.
    sealed: OnceLock<End>,
    bad_blocks: BadBlocks,
}

impl Segment {
    fn new(number: u32, file: Arc<File>, head: SegmentHead, sealed: OnceLock<End>) -> Self {
        Self {
            number,
            file,
            head,
            sealed,
            bad_blocks: BadBlocks::default(),
        }
    }
}

impl Wal {
    /// The log's own clock: the time in milliseconds for which it was served, over all starts. It never
    /// goes back, and no change of the wall clock moves it.
    pub fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The number of this start, above zero and of 24 bits: one more than that of the last start that
    /// wrote anything. Each head of a group states it, so it stands in everything that was synced since
    /// this start.
    pub fn start_number(&self) -> u32 {
        self.start
    }

    /// The living generations, from the oldest to the active one.
    pub fn generations(&self) -> Vec<u64> {
        lock(&self.segments).keys().copied().collect()
    }

    /// Bytes on the disk of all living segments.
    pub fn bytes(&self) -> u64 {
        let segments = lock(&self.segments);
        let bytes = segments
            .values()
            .map(|segment| u64::from(segment.head.bytes));
        bytes.sum()
    }

    /// Bytes of a new segment.
    pub fn segment_bytes(&self) -> u64 {
        self.shape.segment_bytes.into()
    }

    /// The disk under this log.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }
}

/// Takes a lock. A panic under it does no harm: each change is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
