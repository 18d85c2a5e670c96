//! The log: small uploads, record and body, behind each other in few files.
//!
//! A file of its own costs an upload several flushes and commits of the file system, whatever its
//! size. In the log many uploads share one write and one fdatasync. What is in the log is in
//! `incoming`; whatever is done to it but a commit takes it out first: it gets its files
//! ([`Journal::unpack`]), and goes on as every other entry.
//!
//! - An upload is promised after the fdatasync of its group, and its frame is never changed.
//! - Groups follow each other: each is written when the one before is synced or taken back. So
//!   what is torn can only be the last, of which nothing was promised.
//! - When a frame means nothing any more, as its entry is settled or has files, that is *noted*: a
//!   frame that says so goes along with the next group. Whoever takes away the last trace of an
//!   entry elsewhere waits for its note before ([`Journal::sync_notes`]): else a restart would
//!   bring back what was deleted. A note that is lost before costs a second commit, no more.
//! - Segments go strictly in order, the oldest first, so that a note outlives what it is about.
//! - After a failure a segment is cut back to its last whole group; if that fails too, the log is
//!   closed until a restart. After a failed fdatasync a segment is never written again, and the journal
//!   makes no more promises. So the last segment alone can end in a group that was not synced.
//! - Of the last segment a start writes the last group anew, as it was; nothing else is written into a
//!   segment that a start has found.

mod adopt;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod queue;
mod read;
mod replay;

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Journal;
use super::point;
use super::volume::if_there;
use crate::config::Durability;
use crate::file::FileId;
pub(super) use frame::{Position, verify};
pub use queue::Waiter;
use queue::{Gathering, Queue};
pub(super) use replay::Contents;

/// How long a segment grows before the next one begins, in bytes.
const SEGMENT_BYTES: u64 = if cfg!(test) { 4000 } else { 16 * 1024 * 1024 };

/// What is written, so many times, behind a group that comes to the end of the zeros before. To sync
/// bytes that replace others costs one flush; to sync a file that has grown costs a commit of the
/// file system too, with all that it holds of others.
static ZEROS: &[u8] = &[0; if cfg!(test) { 1000 } else { 64 * 1024 }];
const ZEROS_AHEAD: usize = if cfg!(test) { 1 } else { 16 };

/// What memory knows of the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    queue: Mutex<Queue>,
    /// The segment that is written to, for the thread that leads.
    active: Mutex<Option<Segment>>,
    /// Every segment on disk. The last is never removed.
    live: Mutex<BTreeMap<u64, Live>>,
    /// The last group could neither be synced nor taken back: nothing may come behind it.
    is_closed: AtomicBool,
    /// Held by the one that removes segments.
    removing: Mutex<()>,
    /// Held by the one that gives an entry its files.
    unpacking: Mutex<()>,
}

/// A segment on disk.
#[derive(Debug, Default)]
struct Live {
    /// The entries that are nowhere else.
    entries: u64,
    /// The file, while anybody reads from it: all do so from the same.
    open: Weak<File>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Segment {
    seal: frame::Seal,
    generation: u64,
    file: File,
    /// Where the next group goes.
    length: u64,
    /// Up to where it is written, with zeros at the end.
    written: u64,
}

/// A thread that panicked leaves these usable: each change is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Has the next group note that an entry's frame means nothing any more.
    pub(super) fn note_gone(&self, id: FileId) {
        lock(&self.queue).gone.push(id);
    }

    /// An entry of this segment is settled, or is elsewhere too.
    pub(super) fn release(&self, generation: u64) {
        if let Some(live) = lock(&self.live).get_mut(&generation) {
            live.entries = live.entries.saturating_sub(1);
        }
    }

    /// How many uploads wait for the next group.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        lock(&self.queue).waiting()
    }

    /// The oldest segment, if nothing in it is needed and it is not the last.
    fn removable(&self) -> Option<u64> {
        let live = lock(&self.live);
        let (&generation, oldest) = live.first_key_value()?;
        (oldest.entries == 0 && live.len() > 1).then_some(generation)
    }
}

impl Journal {
    /// How many files the log of small uploads has.
    pub fn log_segments(&self) -> usize {
        lock(&self.log.live).len()
    }

    /// Makes all notes survive a power cut.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub(super) fn sync_notes(&self) -> io::Result<()> {
        let queue = lock(&self.log.queue);
        // Those of a group that is being written are not there yet.
        let is_done = queue.gone.is_empty() && !queue.is_led;
        drop(queue);
        if is_done {
            return Ok(());
        }
        self.append(Vec::new(), 0).map(drop)
    }

    /// Writes a group and syncs it; returns its segment and where in it the group begins.
    fn write_group(&self, gathered: &Gathering, gone: &[FileId]) -> io::Result<(u64, u64)> {
        if gathered.length == 0 && gone.is_empty() {
            return Ok((0, 0));
        }
        if self.log.is_closed.load(Ordering::Relaxed) {
            return Err(io::Error::other("the log ends in a group that was refused"));
        }
        let notes: Vec<u8> = gone.iter().flat_map(|&id| frame::encode_gone(id)).collect();
        let length = frame::GROUP_HEAD_BYTES + gathered.length + notes.len();
        let length = u64::try_from(length).map_err(io::Error::other)?;
        let mut active = lock(&self.log.active);
        let ready = active.take();
        let segment = active.insert(match ready {
            Some(segment) if segment.length < SEGMENT_BYTES => segment,
            _ => self.new_segment()?,
        });
        let place = segment.length;
        let head = segment.seal.group_head(place, length);
        let mut pieces = vec![head.as_slice()];
        pieces.extend(gathered.frames.iter().map(Vec::as_slice));
        pieces.push(&notes);
        let mut end = place + length;
        if end > segment.written && self.limits.durability == Durability::Disk {
            pieces.extend([ZEROS; ZEROS_AHEAD]);
            end += u64::try_from(ZEROS_AHEAD * ZEROS.len()).map_err(io::Error::other)?;
        }
        if let Err(err) = self.disk.write_at(&segment.file, &pieces, place) {
            // It may be only the zeros that failed, behind a whole group that is refused now.
            if self.cut_back(segment) {
                segment.written = place;
            } else {
                *active = None;
            }
            return Err(err);
        }
        point!("log.group-written");
        if let Err(err) = self.disk.sync_bytes(&segment.file) {
            self.set_poison("the log", &err);
            drop(active);
            // Of no use against a power cut, but it is refused for all who read on.
            self.take_back();
            return Err(err);
        }
        point!("log.group-fsynced");
        segment.length = place + length;
        segment.written = segment.written.max(end);
        let generation = segment.generation;
        drop(active);
        if let Some(live) = lock(&self.log.live).get_mut(&generation) {
            live.entries += gathered.entries;
        }
        Ok((generation, place))
    }

    /// Cuts off what was written behind the last whole group. The segment gets no other.
    fn take_back(&self) {
        if let Some(segment) = lock(&self.log.active).take() {
            self.cut_back(&segment);
        }
    }

    /// Whether it was possible; if not, the log is closed.
    fn cut_back(&self, segment: &Segment) -> bool {
        let cut = self.disk.truncate(&segment.file, segment.length);
        if let Err(err) = &cut {
            log::error!("a group that was refused stays in the log, which is closed now: {err}");
            self.log.is_closed.store(true, Ordering::Relaxed);
        }
        cut.is_ok()
    }

    /// Opens a segment to read from it. What is open stays readable when the segment is removed.
    fn segment(&self, generation: u64) -> io::Result<Arc<File>> {
        let live = lock(&self.log.live);
        let open = live.get(&generation).and_then(|live| live.open.upgrade());
        drop(live);
        if let Some(open) = open {
            return Ok(open);
        }
        let file = Arc::new(File::open(self.layout.segment(generation))?);
        if let Some(live) = lock(&self.log.live).get_mut(&generation) {
            live.open = Arc::downgrade(&file);
        }
        Ok(file)
    }

    /// Begins a segment. Head and name are synced before anything is in it.
    fn new_segment(&self) -> io::Result<Segment> {
        let generation = lock(&self.log.live)
            .last_key_value()
            .map_or(1, |(&last, _)| last + 1);
        // The standard library seeds each hasher from the operating system's random source.
        let salt = std::hash::RandomState::new().hash_one(generation);
        let seal = frame::Seal::new(salt, generation);
        let path = self.layout.segment(generation);
        let head = seal.head();
        let created = self.disk.create(&path, &head);
        let file = created.inspect_err(|_| {
            // A disk that is full leaves half a head: in the way of the next attempt.
            if let Err(err) = if_there(self.disk.unlink(&path)) {
                log::error!("{}: cannot be removed: {err}", path.display());
            }
        })?;
        lock(&self.log.live).insert(generation, Live::default());
        point!("log.segment-made");
        self.disk
            .sync_bytes(&file)
            .inspect_err(|err| self.set_poison("the log", err))?;
        self.sync_directory(&self.layout.log())?;
        point!("log.segment-fsynced");
        let length = u64::try_from(head.len()).map_err(io::Error::other)?;
        Ok(Segment {
            seal,
            generation,
            file,
            length,
            written: length,
        })
    }

    /// Removes the oldest segments, as long as nothing in them is needed. Each is gone for good
    /// before the next one goes, as that may say what the first one must not bring back.
    ///
    /// # Errors
    /// What the disk says; the rest is left for the next time.
    pub(super) fn remove_old_segments(&self) -> io::Result<()> {
        let _alone = lock(&self.log.removing);
        while let Some(generation) = self.log.removable() {
            if_there(self.disk.unlink(&self.layout.segment(generation)))?;
            self.sync_directory(&self.layout.log())?;
            lock(&self.log.live).remove(&generation);
        }
        Ok(())
    }
}
