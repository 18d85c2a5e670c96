//! Lets one append of an upload come after the other, and remembers which one was let in last.
//!
//! Whoever waits here holds no thread. A restart forgets all of it: the journal alone decides which append
//! counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedMutexGuard};

use super::IntakeError;
use crate::file::FileId;
use crate::journal::UploadError;

/// The most appends of one upload that wait for another.
const MOST_WAITING: usize = 4;

/// A question about an upload waits this long for a body that was let in. If its sender has gone, what is left
/// of it comes at about the same time as the sender's question.
const COMING: Duration = Duration::from_millis(300);

/// An upload without an append for this time is forgotten: its last body can no longer be salvaged.
const REMEMBERED: Duration = Duration::from_hours(6);

/// Idle uploads are looked for whenever so many more are known.
const FORGET_EVERY: usize = 1024;

/// The turn of an append: no other append of the upload has one while this lives.
pub(super) type Turn = OwnedMutexGuard<()>;

/// The uploads with appends.
#[derive(Debug, Default)]
pub(super) struct InOrder(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    uploads: HashMap<FileId, Appends>,
    /// Idle uploads are looked for at this number.
    forget_at: usize,
}

/// The appends of an upload.
#[derive(Debug)]
struct Appends {
    /// Each append that runs or waits shares it.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The name of the request that was let in last.
    last: Option<String>,
    /// Whether the body of that request has not come yet, nor what is left of it.
    is_coming: bool,
    /// Tells when it has.
    came: Arc<Notify>,
    used: Instant,
}

impl InOrder {
    /// Waits for the turn of an append.
    ///
    /// # Errors
    /// `Busy` when too many wait.
    pub(super) async fn wait(&self, id: FileId) -> Result<Turn, IntakeError> {
        let turn = {
            let mut known = self.known();
            let appends = known.appends(id);
            appends.is_coming = false;
            appends.came.notify_waiters();
            let turn = &appends.turn;
            // One is kept here, and one runs.
            if Arc::strong_count(turn) > MOST_WAITING + 1 {
                return Err(UploadError::Busy.into());
            }
            Arc::clone(turn)
        };
        Ok(turn.lock_owned().await)
    }

    /// Notes the request that was let in last.
    pub(super) fn admit(&self, id: FileId, request: &str) {
        let mut known = self.known();
        let appends = known.appends(id);
        appends.last = Some(request.to_owned());
        appends.is_coming = true;
    }

    /// Waits until no append of an upload runs; before that, for a moment, until the body comes that was let
    /// in last. None runs while the returned turn lives.
    pub(super) async fn rest(&self, id: FileId) -> Option<Turn> {
        let came = {
            let known = self.known();
            let appends = known.uploads.get(&id)?;
            let came = Arc::clone(&appends.came).notified_owned();
            appends.is_coming.then_some(came)
        };
        if let Some(came) = came {
            // A body that goes on to come is no error.
            tokio::time::timeout(COMING, came).await.unwrap_or(());
        }
        let turn = Arc::clone(&self.known().uploads.get(&id)?.turn);
        Some(turn.lock_owned().await)
    }

    /// Whether this request was let in last.
    pub(super) fn is_last(&self, id: FileId, request: &str) -> bool {
        let known = self.known();
        let appends = known.uploads.get(&id);
        appends.is_some_and(|appends| appends.last.as_deref() == Some(request))
    }

    /// Whether any request was let in.
    pub(super) fn has_admitted(&self, id: FileId) -> bool {
        let known = self.known();
        let appends = known.uploads.get(&id);
        appends.is_some_and(|appends| appends.last.is_some())
    }

    /// Forgets an upload that takes no more bytes.
    pub(super) fn forget(&self, id: FileId) {
        self.known().uploads.remove(&id);
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn appends(&mut self, id: FileId) -> &mut Appends {
        let now = Instant::now();
        if self.uploads.len() >= self.forget_at.max(FORGET_EVERY) {
            self.uploads.retain(|_, appends| {
                let is_idle = Arc::strong_count(&appends.turn) == 1;
                !is_idle || now.duration_since(appends.used) < REMEMBERED
            });
            self.forget_at = self.uploads.len() + FORGET_EVERY;
        }
        let appends = self.uploads.entry(id).or_insert_with(|| Appends {
            turn: Arc::default(),
            last: None,
            is_coming: false,
            came: Arc::default(),
            used: now,
        });
        appends.used = now;
        appends
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const UPLOAD: FileId = FileId::from_bytes([1; 12]);

    #[test]
    fn one_append_runs_four_wait_and_a_further_one_is_told_so() {
        let order = InOrder::default();
        let first = order.wait(UPLOAD).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(order.wait(UPLOAD))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        let refused = order.wait(UPLOAD).now_or_never().unwrap();
        assert!(matches!(
            refused,
            Err(IntakeError::Upload(UploadError::Busy))
        ));
        let other = FileId::from_bytes([2; 12]);
        assert!(order.wait(other).now_or_never().is_some());
        // One that hangs up leaves its place to another.
        drop(waiting.pop());
        let mut fifth = Box::pin(order.wait(UPLOAD));
        assert!(fifth.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.remove(0).now_or_never().is_some());
    }

    #[test]
    fn only_the_request_that_was_let_in_last_is_the_last() {
        let order = InOrder::default();
        assert!(!order.is_last(UPLOAD, "a"));
        order.admit(UPLOAD, "a");
        assert!(order.is_last(UPLOAD, "a"));
        order.admit(UPLOAD, "b");
        assert!(!order.is_last(UPLOAD, "a"));
        order.forget(UPLOAD);
        assert!(!order.is_last(UPLOAD, "b"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_for_what_is_left_of_a_body_and_for_a_hanging_one_only_a_moment() {
        let order = InOrder::default();
        order.rest(UPLOAD).await;
        order.admit(UPLOAD, "a");
        let mut asking = Box::pin(order.rest(UPLOAD));
        assert!(asking.as_mut().now_or_never().is_none());
        let turn = order.wait(UPLOAD).await.unwrap();
        assert!(asking.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(asking.as_mut().now_or_never().is_some());
        order.admit(UPLOAD, "b");
        order.rest(UPLOAD).await;
    }

    #[test]
    fn uploads_without_appends_are_forgotten_after_a_time() {
        let order = InOrder::default();
        let id = |number: usize| {
            let mut bytes = [0; 12];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            FileId::from_bytes(bytes)
        };
        (1..FORGET_EVERY).for_each(|number| order.admit(id(number), "a"));
        let turn = order.wait(id(1)).now_or_never().unwrap();
        let old = Instant::now().checked_sub(REMEMBERED).unwrap();
        for appends in order.known().uploads.values_mut() {
            appends.used = old;
        }
        order.admit(id(FORGET_EVERY), "a");
        order.admit(id(FORGET_EVERY + 1), "a");
        // One has an append, and two are new.
        assert_eq!(order.known().uploads.len(), 3);
        drop(turn);
    }
}
