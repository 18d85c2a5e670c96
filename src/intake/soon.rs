//! Takes in small bodies that come with their heads, without a thread that waits.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::{spawn_blocking, spawn_local};

use super::{FileUpload, Intake, IntakeError};
use crate::courier::Courier;
use crate::journal::{AdoptError, Adopted, Free, Running, Waiter};
use crate::spool::Received;

impl Intake {
    /// Takes in a body that came with its head. Runs to its end, even if the caller stops waiting.
    /// `is_expected` says that a balancer was told that there is room for it. Must be called on a
    /// thread that runs local tasks.
    ///
    /// # Errors
    /// When nothing of it is kept.
    pub async fn take_inline(
        self: &Arc<Self>,
        upload: FileUpload,
        body: Bytes,
        is_expected: bool,
    ) -> Result<Vec<Adopted>, IntakeError> {
        let intake = Arc::clone(self);
        spawn_local(async move { intake.adopt_inline(upload, body, is_expected).await }).await?
    }

    async fn adopt_inline(
        self: Arc<Self>,
        upload: FileUpload,
        body: Bytes,
        is_expected: bool,
    ) -> Result<Vec<Adopted>, IntakeError> {
        let received = Received::Inline(&body);
        if !self.journal.is_small(received.length()) {
            let room = self.room_beside(self.free().await?, is_expected).await?;
            return self.adopt(upload, Some(body), room).await;
        }
        let (draft, keyed) = self.check(&upload, received)?;
        let running = match self.claim_key(keyed).await?.of_files()? {
            Break(answer) => return Ok(answer),
            Continue(running) => running,
        };
        let mut reserved = self.reserve_file(&upload.sender, received, &draft, keyed)?;
        let free = self.free().await?;
        // It needs no spool. If the spool cannot be read, the log says so already.
        let room = self.room_beside(free, is_expected).await;
        if let Some(room) = room.unwrap_or(Some(free)) {
            self.journal.check_room(room, received.length())?;
        }
        let (answer, told) = oneshot::channel();
        let waiter = Box::new(Uploader {
            intake: Arc::clone(&self),
            courier: Courier::of_this_thread(),
            answer,
        });
        self.journal.adopt_soon(&body, draft, free, waiter)?;
        let adopted = told.await.map_err(|_| {
            log::error!("an upload was lost in the log");
            IntakeError::Lost
        })??;
        // A copy, as the body may be a piece of a much larger buffer.
        let content = Bytes::copy_from_slice(&body);
        self.enter_file(&mut reserved, &adopted, Some(content));
        if running.as_ref().is_some_and(Running::has_earlier) {
            let journal = Arc::clone(&self.journal);
            spawn_blocking(move || journal.carried_out(running)).await?;
        }
        Ok(vec![adopted])
    }

    /// The free space for it beside bodies on their way; `None` if it is expected.
    pub(super) async fn room_beside(
        &self,
        free: Free,
        is_expected: bool,
    ) -> Result<Option<Free>, IntakeError> {
        if is_expected {
            return Ok(None);
        }
        self.leaves_of(free).await.map(Some)
    }
}

/// Waits for the promise of an upload.
struct Uploader {
    intake: Arc<Intake>,
    courier: Courier,
    answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<Adopted, AdoptError>;

impl Waiter for Uploader {
    fn lead(&self) {
        let intake = Arc::clone(&self.intake);
        // The waiters learn the outcome, so nobody waits for this task.
        drop(spawn_blocking(move || intake.journal.lead()));
    }

    fn told(self: Box<Self>, outcome: Outcome) {
        let answer = self.answer;
        self.courier.send(move || {
            if let Err(outcome) = answer.send(outcome) {
                log::error!("nobody waits for an upload: {outcome:?}");
            }
        });
    }
}
