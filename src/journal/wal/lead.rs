//! The leader: takes the oldest gathered group, writes it, and tells all who wait for it.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;
use std::{mem, thread};

use super::error::AppendError;
use super::queue::{Gathering, Queue, Waiting};
use super::write::Placed;
use super::{Wal, lock};

impl Wal {
    /// Writes groups to the log until no [`Waiter`](super::Waiter) waits any more, unless another thread does so.
    /// Blocks on the disk.
    pub fn lead(&self) {
        let mut queue = lock(&self.queue);
        let waits = |queue: &Queue| queue.groups.iter().any(|group| !group.waiting.is_empty());
        while !queue.is_led() && waits(&queue) {
            queue = self.write_next(queue);
        }
        // A thread that waits for its own frame must not lead for this group: its caller would wait
        // longer.
        if let Some(next) = queue.groups.front() {
            next.group.wake.notify_one();
        }
    }

    /// Writes the oldest gathered group, and tells all who wait for it.
    pub(super) fn write_next<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
    ) -> MutexGuard<'a, Queue> {
        queue.led_since = Some(Instant::now());
        let gathered = queue.groups.pop_front().unwrap_or_default();
        drop(queue);
        let mut lead = Lead {
            wal: self,
            gathered,
        };
        let note = lead.gathered.note;
        let written = self.write_group(&mut lead.gathered.frames, note);
        let is_written = written.is_ok() && !lead.gathered.frames.is_empty();
        lead.tell(written); // 7
        if is_written && lock(&self.queue).groups.is_empty() {
            self.confirm(&mut lock(&self.writer)); // 8
        }
        drop(lead);
        lock(&self.queue)
    }
}

/// The lead of one group. It ends when this is dropped, also in a panic: otherwise no thread would ever
/// write again, and all would wait.
struct Lead<'a> {
    wal: &'a Wal,
    gathered: Gathering,
}

impl Lead<'_> {
    fn tell(&mut self, written: Result<Placed, AppendError>) {
        let group = Arc::clone(&self.gathered.group);
        let outcome = group.outcome.get_or_init(|| written);
        // A thread that has found no outcome holds this lock until it waits; so none misses the signal.
        drop(lock(&self.wal.queue));
        group.wake.notify_all();
        while let Some(Waiting { frame, waiter }) = self.gathered.waiting.pop_front() {
            let position = outcome.clone().and_then(|placed| frame.position(placed));
            waiter.completed(position);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // A waiter that a panic skipped learns of it when it is dropped.
        let Gathering { group, waiting, .. } = mem::take(&mut self.gathered);
        group.outcome.get_or_init(|| {
            self.wal.take_back(&mut lock(&self.wal.writer));
            Err(AppendError::Panicked)
        });
        drop(waiting);
        let mut queue = lock(&self.wal.queue);
        queue.led_since = None;
        group.wake.notify_all();
        if thread::panicking() {
            queue.hand_on();
        }
    }
}
