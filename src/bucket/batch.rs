//! Batches of chunks: each is what one question to MongoDB brings, and all who want some of it share
//! it.
//!
//! Readers come together, as everybody in a group gets a file at once: the first of them asks, and
//! the others wait for that answer. It stays for a moment after its last reader, for those who
//! come a little later, and longer if that reader has not come to its end: chunks of other drivers may be
//! longer than a slice of nginx's, and the next slice begins in the same one.
//!
//! All batches together are bounded in bytes, those in memory and those on disk. Those that nobody reads
//! make room for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::kept::{Kept, MAX_DISK_BYTES};
use crate::store::StoreError;

/// Bytes of chunks that all reads together have in memory, at most: so many times those of commits, and
/// no more than this.
const TIMES_COMMITS: u32 = 4;
const MAX_READ_BYTES: u32 = 32 * 1024 * 1024;

/// As many bytes does each batch count that waits for a later reader: a bound of how many do.
const LEAST_BYTES: u32 = 4096;

/// How long a batch stays that was read to its end: nginx may not have kept it yet.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How long one stays whose end nobody has read: a client takes that time for a slice.
pub(super) const PARTLY_READ_LINGER: Duration = Duration::from_secs(10);

/// The same of one on disk, where there is more room: a slow client takes that time.
pub(super) const ON_DISK_LINGER: Duration = Duration::from_secs(30);

/// Names a batch. The content under a key of another driver's may change: then its description does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) locator: Vec<u8>,
    pub(super) tag: String,
    pub(super) chunk_size_bytes: u32,
    pub(super) number: u64,
}

/// `None` while it is being read.
pub(super) type Outcome = Option<Result<Arc<Kept>, StoreError>>;

/// The batches of one bucket that are being read, or are still there.
#[derive(Debug)]
pub(super) struct Batches {
    /// Bytes that all may have together.
    pub(super) most: u32,
    /// A permit for each of them.
    room: Arc<Semaphore>,
    /// A permit for each byte that may be on disk.
    disk: Arc<Semaphore>,
    /// Reads that wait for room.
    waiting: AtomicUsize,
    held: Mutex<HashMap<Name, Held>>,
}

#[derive(Debug)]
pub(super) struct Held {
    outcome: watch::Receiver<Outcome>,
    /// Shared with each reader.
    readers: Arc<()>,
    bytes: u32,
    /// When it may leave, if nobody reads it.
    until: Instant,
}

impl Held {
    /// One of so many bytes that is being read.
    pub(super) fn begun(outcome: watch::Receiver<Outcome>, bytes: u32) -> Self {
        Self {
            outcome,
            readers: Arc::new(()),
            bytes: bytes.max(LEAST_BYTES),
            until: Instant::now() + LINGER,
        }
    }

    /// What tells this batch from a later one of its name, and holds nothing of it.
    pub(super) fn identity(&self) -> Weak<()> {
        Arc::downgrade(&self.readers)
    }

    fn is(&self, own: &Weak<()>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.readers), own.as_ptr())
    }

    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.readers) == 1 && self.outcome.borrow().is_some()
    }

    fn is_on_disk(&self) -> bool {
        let outcome = self.outcome.borrow();
        matches!(&*outcome, Some(Ok(kept)) if kept.is_on_disk())
    }
}

impl Batches {
    /// None yet. `commit_bytes` are those that commits may have in memory.
    pub(super) fn new(commit_bytes: u32) -> Self {
        let most = commit_bytes
            .saturating_mul(TIMES_COMMITS)
            .min(MAX_READ_BYTES);
        let permits = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            most,
            room: Arc::new(Semaphore::new(permits)),
            disk: Arc::new(Semaphore::new(
                usize::try_from(MAX_DISK_BYTES).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            waiting: AtomicUsize::new(0),
            held: Mutex::default(),
        }
    }

    /// Waits until these bytes may be in memory. Nothing may be held meanwhile: who waits with a batch
    /// in hand may wait for himself.
    pub(super) async fn reserve(
        &self,
        bytes: u32,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            return Ok(permit);
        }
        let _waits = Waits::among(&self.waiting);
        self.make_room(bytes);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        match tokio::time::timeout(patience, room).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(err)) => Err(StoreError::Unavailable(err.to_string())),
            Err(_) => Err(StoreError::Unavailable("too many reads".to_owned())),
        }
    }

    /// Room for so many bytes on disk, for which those leave that nobody reads; `None` if there is none.
    pub(super) fn reserve_on_disk(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        let mut held = self.held();
        let mut leaving = idle(&held, true).into_iter();
        loop {
            match Arc::clone(&self.disk).try_acquire_many_owned(bytes) {
                Ok(room) => return Some(room),
                Err(_) => drop(held.remove(&leaving.next()?)),
            }
        }
    }

    /// Drops batches that nobody reads until there is room for so many bytes, those first that are
    /// to leave first.
    fn make_room(&self, bytes: u32) {
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut held = self.held();
        for name in idle(&held, false) {
            if self.room.available_permits() >= wanted {
                return;
            }
            held.remove(&name);
        }
    }

    /// To be called when one has lost its last reader: whoever waits for room gets what there is.
    pub(super) fn settle(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.make_room(u32::MAX);
        }
        self.thin_out();
    }

    /// Drops batches that nobody reads until half of the room is free of them: what was read must not
    /// take all of it for as long as it may stay. The last one stays: it may be longer than that.
    fn thin_out(&self) {
        let mut held = self.held();
        let is_resting = |held: &&Held| held.is_idle() && !held.is_on_disk();
        let resting = held.values().filter(is_resting);
        let mut bytes: u32 = resting.map(|held| held.bytes).sum();
        if bytes <= self.most / 2 {
            return;
        }
        let mut names = idle(&held, false);
        names.pop();
        for name in names {
            if bytes <= self.most / 2 {
                return;
            }
            bytes -= held.remove(&name).map_or(0, |held| held.bytes);
        }
    }

    /// Drops a batch whose time is over; otherwise, when to look again. `None`: it has left.
    pub(super) fn expire(&self, name: &Name, own: &Weak<()>) -> Option<Instant> {
        let mut held = self.held();
        let now = Instant::now();
        let found = held.get(name).filter(|held| held.is(own))?;
        if found.until > now {
            return Some(found.until);
        }
        if !found.is_idle() {
            return Some(now + LINGER);
        }
        held.remove(name);
        None
    }

    /// Takes a batch out that could not be read: the next who wants it tries anew.
    pub(super) fn forget(&self, name: &Name, own: &Weak<()>) {
        let mut held = self.held();
        let found = held.get(name);
        if found.is_some_and(|held| held.is(own)) {
            held.remove(name);
        }
    }

    /// A thread that panicked under the lock leaves a map that is whole.
    pub(super) fn held(&self) -> MutexGuard<'_, HashMap<Name, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those on disk, or in memory, that nobody reads, in the order in which they are to leave.
fn idle(held: &HashMap<Name, Held>, is_on_disk: bool) -> Vec<Name> {
    let idle = held.iter();
    let idle = idle.filter(|(_, held)| held.is_idle() && held.is_on_disk() == is_on_disk);
    let mut idle: Vec<_> = idle.map(|(name, held)| (held.until, name)).collect();
    idle.sort_by_key(|(until, _)| *until);
    idle.into_iter().map(|(_, name)| name.clone()).collect()
}

/// One of those that wait for room.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A reader of a batch.
pub(super) struct Share {
    batches: Arc<Batches>,
    name: Name,
    outcome: watch::Receiver<Outcome>,
    readers: Option<Arc<()>>,
}

impl Share {
    /// One in the batch of this name, if there is one; the lock is the caller's.
    pub(super) fn of(
        batches: &Arc<Batches>,
        held: &HashMap<Name, Held>,
        name: &Name,
    ) -> Option<Self> {
        let held = held.get(name)?;
        Some(Self {
            batches: Arc::clone(batches),
            name: name.clone(),
            outcome: held.outcome.clone(),
            readers: Some(Arc::clone(&held.readers)),
        })
    }

    /// The batch, once it is there.
    pub(super) async fn batch(&mut self) -> Result<Arc<Kept>, StoreError> {
        let outcome = self.outcome.wait_for(Option::is_some).await;
        let lost = || StoreError::Unavailable("the read of a batch was lost".to_owned());
        outcome
            .ok()
            .and_then(|outcome| outcome.clone())
            .ok_or_else(lost)?
    }

    /// Lets the batch stay for so long, if it does not anyway.
    pub(super) fn stay(&self, linger: Duration) {
        if let Some(held) = self.batches.held().get_mut(&self.name) {
            held.until = held.until.max(Instant::now() + linger);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.readers = None;
        self.batches.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::Batch;
    use super::*;

    const EMPTY: Batch = Batch {
        start: 0,
        chunks: Vec::new(),
    };

    /// Batches of which each of these bytes rests, the first one to leave first. The bound is 4 MiB.
    fn resting(bytes: &[u32]) -> Batches {
        let batches = Batches::new(1 << 20);
        let batch = Arc::new(Kept::InMemory(EMPTY));
        for (number, &bytes) in (0..).zip(bytes) {
            let (_, outcome) = watch::channel(Some(Ok(Arc::clone(&batch))));
            let mut held = Held::begun(outcome, bytes);
            held.until += Duration::from_millis(number);
            batches.held().insert(name(number), held);
        }
        batches
    }

    fn name(number: u64) -> Name {
        Name {
            locator: Vec::new(),
            tag: String::new(),
            chunk_size_bytes: 1,
            number,
        }
    }

    fn left(batches: &Batches) -> Vec<u64> {
        let held = batches.held();
        let mut left: Vec<_> = held.keys().map(|name| name.number).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn what_nobody_reads_takes_half_of_the_room_at_most_and_leaves_in_its_order() {
        let batches = resting(&[1 << 20; 4]);
        batches.settle();
        assert_eq!(left(&batches), [2, 3]);
        let reader = Arc::clone(&batches.held()[&name(2)].readers);
        batches.make_room(u32::MAX);
        assert_eq!(left(&batches), [2], "it is being read");
        drop(reader);
    }

    #[test]
    fn the_last_batch_rests_however_long_it_is() {
        let batches = resting(&[4 << 20, 4 << 20]);
        batches.settle();
        assert_eq!(left(&batches), [1]);
    }

    #[test]
    fn of_batches_of_a_few_bytes_only_so_many_rest() {
        let batches = resting(&[1; 3000]);
        batches.settle();
        let first = 3000 - u64::from(batches.most / 2 / LEAST_BYTES);
        assert_eq!(left(&batches), (first..3000).collect::<Vec<_>>());
    }

    #[test]
    fn on_disk_those_that_nobody_reads_make_room_for_others_and_memory_is_none_of_theirs() {
        let batches = resting(&[1 << 20]);
        let scratch = tempfile::tempdir().unwrap();
        for number in 1..3 {
            let room = batches.reserve_on_disk(MAX_DISK_BYTES / 2).unwrap();
            let file = EMPTY.write(scratch.path(), 0, room).unwrap();
            let (_, outcome) = watch::channel(Some(Ok(Arc::new(Kept::OnDisk(file)))));
            let held = Held::begun(outcome, 3 << 20);
            batches.held().insert(name(number), held);
        }
        batches.settle();
        assert_eq!(left(&batches), [0, 1, 2]);
        let reader = Arc::clone(&batches.held()[&name(1)].readers);
        let room = batches.reserve_on_disk(1);
        assert!(room.is_some());
        assert_eq!(left(&batches), [0, 1]);
        assert!(batches.reserve_on_disk(MAX_DISK_BYTES / 2).is_none());
        assert_eq!(left(&batches), [0, 1], "it is being read");
        drop(reader);
    }
}
