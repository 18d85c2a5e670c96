//! Adopting a small body without ever blocking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::adopt::{Adopted, Draft};
use super::index::{LogTail, NotQueued, Ticket};
use super::memory::Memory;
use super::record::Frame;
use super::step::{LaidOut, StepError};
use super::wal::{self, AppendError, Position, Wal};
use super::{AdoptError, Free, Journal};
use crate::spool::Received;

/// Waits for the promise of a small upload, without a thread.
pub trait Waiter: Send {
    /// No thread leads: let a thread that may block on the disk call [`Journal::lead`], now. This
    /// method must neither call it itself nor block.
    fn lead(&self);

    /// The upload is a promise, or nothing of it is kept. The leading thread calls this once, while all
    /// others wait for it.
    fn told(self: Box<Self>, outcome: Result<Adopted, AdoptError>);
}

/// Notes the outcome of a frame before the waiter is told. If the leader panics, it does so when it is
/// dropped.
struct Noting {
    memory: Arc<Memory>,
    ticket: Ticket,
    /// `None` once the waiter is told.
    told: Option<(Box<dyn Waiter>, Adopted)>,
    /// Shared with the thread that queues the frame under the lock of the index.
    stage: Arc<AtomicU8>,
}

/// It is not known yet whether the frame is queued.
const QUEUEING: u8 = 0;
/// The index has marked it.
const QUEUED: u8 = 1;
/// It was dropped before that, so the index must not mark it.
const DROPPED: u8 = 2;

/// Moves on from `QUEUEING`. Returns whether the other side has not done so before.
fn go_on(stage: &AtomicU8, to: u8) -> bool {
    let order = Ordering::SeqCst;
    let gone_on = stage.compare_exchange(QUEUEING, to, order, order);
    gone_on.is_ok()
}

impl wal::Waiter for Noting {
    fn lead(&self) {
        if let Some((waiter, _)) = &self.told {
            waiter.lead();
        }
    }

    fn completed(mut self: Box<Self>, outcome: Result<Position, AppendError>) {
        let to_announce = self.memory.note(self.ticket, &outcome);
        if let Some((waiter, adopted)) = self.told.take() {
            let promised = outcome.map(|_| adopted);
            waiter.told(promised.map_err(|err| StepError::Append(err).into()));
        }
        // The announcement comes after the answer to a waiting client.
        drop(to_announce);
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        if self.told.is_some() && !go_on(&self.stage, DROPPED) {
            drop(self.memory.note(self.ticket, &Err(AppendError::Panicked)));
        }
    }
}

/// The end of the log, for a decision without a waiting thread.
struct Tail<'a> {
    wal: &'a Wal,
    memory: &'a Arc<Memory>,
    laid_out: Option<LaidOut>,
    told: Option<(Box<dyn Waiter>, Adopted)>,
    error: Option<AppendError>,
}

impl LogTail for Tail<'_> {
    fn push(&mut self, frame: &Frame, ticket: Ticket) -> Result<(), NotQueued> {
        let (Some(laid_out), Some(told)) = (self.laid_out.take(), self.told.take()) else {
            return Err(NotQueued);
        };
        let stage = Arc::new(AtomicU8::new(QUEUEING));
        let waiter = Box::new(Noting {
            memory: Arc::clone(self.memory),
            ticket,
            told: Some(told),
            stage: Arc::clone(&stage),
        });
        let bytes = laid_out.for_frame(frame);
        match bytes.and_then(|bytes| self.wal.queue_for(bytes, waiter)) {
            Ok(()) if go_on(&stage, QUEUED) => Ok(()),
            queued => {
                self.error = Some(queued.err().unwrap_or(AppendError::Panicked));
                Err(NotQueued)
            }
        }
    }
}

impl Journal {
    /// Adopts a small body that came with its head, without blocking. The waiter is told when it is a
    /// promise, or that it failed. `free` was measured a moment ago.
    ///
    /// Once begun it runs to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// [`AdoptError`]; then nothing of the upload is kept, and the waiter is not told.
    pub fn adopt_soon(
        &self,
        body: &[u8],
        draft: Draft,
        free: Free,
        waiter: Box<dyn Waiter>,
    ) -> Result<(), AdoptError> {
        let body = Received::Inline(body);
        let _reserved = self.admit_into(free, draft.totals(body.length()))?;
        let (small, laid_out) = self.lay_out(body, draft)?;
        let mut tail = Tail {
            wal: &self.wal,
            memory: &self.memory,
            laid_out: Some(laid_out),
            told: Some((waiter, small.adopted)),
            error: None,
        };
        let mut state = self.state();
        let decided = state.index.come(&small.coming, &mut tail);
        if let Ok(ticket) = decided {
            state.expect(ticket, small.news);
        }
        drop(state);
        match (decided, tail.error) {
            (_, Some(err)) => Err(StepError::Append(err).into()),
            (Err(refused), None) => Err(StepError::Refused(refused).into()),
            (Ok(_), None) => Ok(()),
        }
    }

    /// Writes groups to the log until no [`Waiter`] waits, unless another thread does so. Blocks on the
    /// disk.
    pub fn lead(&self) {
        self.wal.lead();
    }
}
