//! The log of the journal: frames in groups, groups in segments, each checked and in its
//! place. It knows no index, and no meaning of a frame.
//!
//! A *frame* holds one record and the inline bodies that belong to it. All frames that wait while a
//! group is written make up the next *group*, and one fdatasync serves them all. A *segment* is a file
//! of a fixed size that is never renamed, cut off or grown; its head holds its *generation*, which
//! rises by one from segment to segment. The bytes are described in [`mod@form`].
//!
//! # The life of an append
//! 1. [`Frame::build`] lays the record and the bodies out as they will stand on disk, and hashes the
//!    bodies of which no digest is known: on the thread that brings them, before anybody waits.
//! 2. [`Wal::queue`] puts the frame into the next group. It never blocks on the disk, so a caller may
//!    decide, mark and queue under one lock: the order of the frames is the order of the decisions.
//! 3. One of those who wait *leads*: it takes the oldest group that has gathered. If the active segment
//!    has no room for it, the next segment begins: both of its heads, one fdatasync.
//! 4. The leader gives the group the next number, and seals it: each check covers the segment's salt
//!    and generation, the group's number and the place of the bytes.
//! 5. The leader writes the group at the end of the log, on a block of its own.
//! 6. One fdatasync. The group is *synced*.
//! 7. All who wait learn the [`Position`] of their frames. Only now a word may be given.
//! 8. When nobody else waits, the leader writes a head without frames behind the group, and syncs
//!    nothing. This head confirms the group; the next group overwrites it.
//!
//! | cut after | leaves | a start |
//! |---|---|---|
//! | 1, 2 | nothing | finds nothing |
//! | 3 | an empty segment, its head old or new | begins it anew |
//! | 4, 5 | a group, whole or torn | drops what is torn; makes what is whole durable |
//! | 6, 7 | the group | makes it durable once more |
//! | 8 | the group, perhaps confirmed | the same |
//!
//! A group whose write fails is refused to all who wait, its number is never used again, and a head
//! without frames takes its place. After a failed fdatasync the log is poisoned: no group is written
//! any more, and reads go on.
//!
//! # Torn or damaged
//! Each group is written after the one before it was synced. So a head, with frames or without, says
//! that the group before it was synced once, and names its number. Only the last group of the log can
//! lack such a confirmation, and only this group can be torn: it is dropped whole, as nobody was told
//! of it. Everything else that is not whole is [`Damage`]. Reading goes on behind it: the number of a
//! group whose head is damaged stands in the next head, so that its frames are still found.
//!
//! # The life of a start
//! 1. [`Wal::open`] reads the heads of all files. A newer form refuses the start.
//! 2. It finds the segments that live: the newest head of a group says which generation is the
//!    oldest. Frames below it mean nothing, even if a power cut brings their file back.
//! 3. It reads the living segments in order, and hands each frame to the caller, who may refuse the
//!    start. An error of the disk refuses it too.
//! 4. The whole log is judged. Nothing was written until here.
//! 5. It writes the last group anew, byte for byte, with zeros behind it, as far as a torn group can
//!    have reached. If a head behind the group confirmed it, a new head takes that place in the same
//!    write. One fdatasync: after a failed fsync the page cache reads as sound and clean, so only a
//!    new write is known to reach the disk. Then the directory is synced.
//! 6. The files of dead segments become spares or are removed, as after a trim; those whose making was cut
//!    off are removed.
//! 7. The caller gives its first word.
//!
//! Each start has a *start number*, which every head of a group tells, that of 5 as well. So no two starts
//! that wrote a group have the same one, even if the power is cut between 5 and the first group.
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
//! 1. The caller takes a [`Position`] from its index, and [`Wal::read`] the segment of that generation.
//!    [`Wal::read_at`] does with the group's number and the place: numbers rise from segment to segment,
//!    and the head of the frame tells how long it is.
//! 2. It reads the whole frame into memory.
//! 3. It holds head, front and each body against their checks, for that position alone.
//! 4. Only then the caller has the bytes. If a check fails, the caller asks its index again: only if the
//!    position is still the same is it damage.
//!
//! # The life of a trim
//! 1. The caller has copied what lives in the oldest segments forward, and those groups are synced.
//! 2. [`Wal::trim`] has the next head tell the new oldest generation.
//! 3. That head is synced. From now on the segments before it mean nothing.
//! 4. Their files become spares, or are removed if there are enough of these.
//!
//! A segment that begins in such a file has the bytes of an older one behind its end. They are bound to the
//! salt and the generation that the file had, so none of them passes for a head or a frame. A file that has
//! a second name is kept for an admin and never used again, nor is one with a damaged head.
//!
//! | cut while a segment begins in a spare | leaves | a start |
//! |---|---|---|
//! | before its heads are written | the heads of the dead segment | makes it a spare again |
//! | between them | both generations: the higher one counts | an empty segment, which it begins anew |
//! | behind them | the new generation | the same |

mod clock;
mod damage;
mod error;
mod fields;
mod files;
pub mod form;
mod found;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod group;
mod judge;
mod lead;
mod look;
mod position;
mod queue;
mod read;
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
use clock::LogClock;
pub use damage::{Damage, Part};
pub use error::{AppendError, OpenError, ReadError, Refused};
pub use found::{Bodies, Content, Found};
pub use frame::{Digest, Frame};
pub use look::look;
pub use position::{Position, Tag};
use queue::Queue;
pub use queue::{Ticket, Waiter};
use segment::End;
use segment::SegmentHead;
use spares::Spares;
pub use start::Report;
use write::Writer;

/// How large the parts of a log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a new segment.
    pub segment_bytes: u32,
    /// Bytes of the largest group, and so of the largest frame with its group's head.
    pub group_bytes: u32,
}

impl Shape {
    /// As a node has it; with small segments where the proof is to come by all that many lead to.
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
    /// For the thread that leads.
    writer: Mutex<Writer>,
    spares: Mutex<Spares>,
    /// The living segments, by their generations. All stay open, so that no read and no fsync lacks a
    /// handle.
    segments: Mutex<BTreeMap<u64, Arc<Segment>>>,
    /// What a start found of files that cannot be read again.
    lost: Vec<Damage>,
}

/// A living segment.
#[derive(Debug)]
struct Segment {
    /// Of its file.
    number: u32,
    /// Whoever still reads it when it begins another segment finds frames whose checks fail.
    file: Arc<File>,
    head: SegmentHead,
    /// Where its groups end, once another segment has begun.
    sealed: OnceLock<End>,
}

impl Wal {
    /// The log's own clock: milliseconds that it has been served, over all starts. It never goes back,
    /// and no change of the wall clock moves it.
    pub fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The number of this start, above zero and of 24 bits: one more than that of the last start before it
    /// that wrote anything. Each head of a group tells it, so whatever was synced since this start did.
    pub fn start_number(&self) -> u32 {
        self.start
    }

    /// The generations that live, from the oldest to the one that is written to.
    pub fn generations(&self) -> Vec<u64> {
        lock(&self.segments).keys().copied().collect()
    }

    /// Bytes on the disk of all segments that live.
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

/// A thread that panicked leaves these usable: each change is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
