//! Batches of chunks. One question to MongoDB brings a batch, and all readers that want some of it
//! share it.
//!
//! Readers come together, as everybody in a group gets a file at once. The first of them asks, and the
//! others wait for that answer. A batch stays for a moment after its last reader has gone, for readers
//! that come a little later. It stays longer if that reader did not reach its end: chunks of other
//! drivers may be longer than a slice of nginx's, and then the next slice begins in the same batch.
//!
//! The bytes of all batches together are bounded, in memory and on disk. Batches without readers make
//! room for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::batch_bytes::{BatchBytes, MAX_DISK_BYTES};
use crate::store::StoreError;

/// Chunks in memory for all reads together may take this many times the bytes of commits, and no more
/// than the bound below.
const TIMES_COMMITS: u32 = 4;
const MAX_READ_BYTES: u32 = 32 * 1024 * 1024;

/// A batch that waits for a later reader counts as at least this many bytes, which bounds their number.
const LEAST_BYTES: u32 = 4096;

/// The time that a batch stays after it was read to its end: nginx may not have kept it yet.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The time that a batch stays without a read to its end: a client may take that long for a slice.
pub(super) const PARTLY_READ_LINGER: Duration = Duration::from_secs(10);

/// The time that a batch on disk stays without a read to its end. The disk has more room: a slow
/// client may take that long.
pub(super) const ON_DISK_LINGER: Duration = Duration::from_secs(30);

/// Names a batch. Another driver may change the content under a key; its description changes with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) locator: Vec<u8>,
    pub(super) tag: String,
    pub(super) chunk_size_bytes: u32,
    pub(super) number: u64,
}

/// `None` while it is being read.
pub(super) type Outcome = Option<Result<Arc<BatchBytes>, StoreError>>;

/// The batches of one bucket that are being read or are still kept.
#[derive(Debug)]
pub(super) struct Batches {
    /// The bound on bytes of all batches.
    pub(super) most: u32,
    /// A permit for each of these bytes.
    room: Arc<Semaphore>,
    /// A permit for each byte that batches may take on disk.
    disk: Arc<Semaphore>,
    /// Reads that wait for room.
    waiting: AtomicUsize,
    held: Mutex<HashMap<Name, Held>>,
}

#[derive(Debug)]
pub(super) struct Held {
    outcome: watch::Receiver<Outcome>,
    /// Each reader has a clone of this.
    readers: Arc<()>,
    bytes: u32,
    /// When it leaves, if it has no reader.
    until: Instant,
}

impl Held {
    /// A batch of this many bytes that is being read.
    pub(super) fn begun(outcome: watch::Receiver<Outcome>, bytes: u32) -> Self {
        Self {
            outcome,
            readers: Arc::new(()),
            bytes: bytes.max(LEAST_BYTES),
            until: Instant::now() + LINGER,
        }
    }

    /// Tells this batch from a later one of the same name, without keeping it alive.
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
    /// No batches yet. `commit_bytes` is the bound on bytes that commits have in memory.
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

    /// Waits until this many bytes may be taken in memory. The caller must hold no batch meanwhile: it
    /// could wait for the room that its own batch takes.
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

    /// Takes room for this many bytes on disk, by dropping batches without readers; `None` if that is
    /// not enough.
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

    /// Drops batches without readers, in the order in which they are due to leave, until there is room
    /// for this many bytes.
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

    /// To be called after a batch has lost its last reader: a read that waits for room may go on.
    pub(super) fn settle(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.make_room(u32::MAX);
        }
        self.thin_out();
    }

    /// Drops batches without readers until they leave half of the room free. The last one stays, as it
    /// may be longer than that.
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

    /// Drops a batch if its time is over. Otherwise returns when to check again; `None` if it has left.
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

    /// Removes a batch that could not be read: the next reader tries anew.
    pub(super) fn forget(&self, name: &Name, own: &Weak<()>) {
        let mut held = self.held();
        let found = held.get(name);
        if found.is_some_and(|held| held.is(own)) {
            held.remove(name);
        }
    }

    /// A thread that panicked under the lock leaves the map in order.
    pub(super) fn held(&self) -> MutexGuard<'_, HashMap<Name, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batches without readers, on disk or in memory, in the order in which they are due to leave.
fn idle(held: &HashMap<Name, Held>, is_on_disk: bool) -> Vec<Name> {
    let idle = held.iter();
    let idle = idle.filter(|(_, held)| held.is_idle() && held.is_on_disk() == is_on_disk);
    let mut idle: Vec<_> = idle.map(|(name, held)| (held.until, name)).collect();
    idle.sort_by_key(|(until, _)| *until);
    idle.into_iter().map(|(_, name)| name.clone()).collect()
}

/// A read that waits for room.
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
    /// A share in the batch of this name, if there is one; the caller holds the lock.
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

    /// Waits for the batch.
    pub(super) async fn batch(&mut self) -> Result<Arc<BatchBytes>, StoreError> {
        let outcome = self.outcome.wait_for(Option::is_some).await;
        let lost = || StoreError::Unavailable("the read of a batch was lost".to_owned());
        outcome
            .ok()
            .and_then(|outcome| outcome.clone())
            .ok_or_else(lost)?
    }

    /// Keeps the batch for at least this long.
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
    use super::super::batch_bytes::Batch;
    use super::*;

    const EMPTY: Batch = Batch {
        start: 0,
        chunks: Vec::new(),
    };

    /// Batches without readers, one of each of these sizes, the first one due to leave first. The bound
    /// is 4 MiB.
    fn resting(bytes: &[u32]) -> Batches {
        let batches = Batches::new(1 << 20);
        let batch = Arc::new(BatchBytes::InMemory(EMPTY));
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
            let (_, outcome) = watch::channel(Some(Ok(Arc::new(BatchBytes::OnDisk(file)))));
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
