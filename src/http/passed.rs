//! Small bodies, which come with their heads: taken over without a thread that waits.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{rt, web};
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::idempotency::Course;
use super::upload::{Upload, enter};
use super::{Node, Problem};
use crate::accel;
use crate::journal::{AdoptError, Adopted, Fingerprint, Free, Waiter};
use crate::spool::Received;

/// Whether a request brings its body itself. Where nginx spools the body, it takes the length away.
pub(super) fn is_passed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads such a body, which nginx holds already.
///
/// # Errors
/// When it is longer than nginx passes, has no length, names a file too, or does not come.
pub(super) async fn read(headers: &HeaderMap, body: web::Payload) -> Result<Bytes, Problem> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let is_small = length.is_some_and(|length: usize| length <= accel::PASSED_BODY_BYTES);
    if !is_small || headers.contains_key(accel::BODY_FILE) {
        return Err(Problem::body_not_passed());
    }
    let whole = body.to_bytes_limited(accel::PASSED_BODY_BYTES).await;
    match whole {
        Ok(Ok(bytes)) => Ok(bytes),
        // The sender is gone: nobody reads this.
        Ok(Err(_)) | Err(_) => Err(Problem::body_not_passed()),
    }
}

/// Takes such a body over, to its end, whether or not somebody still waits.
///
/// # Errors
/// When nothing of it is kept.
pub(super) async fn take(upload: Upload, body: Bytes) -> Result<Vec<Adopted>, Problem> {
    let taken = rt::spawn(upload.take_passed(body)).await;
    taken.unwrap_or_else(|lost| {
        log::error!("an upload was lost: {lost}");
        Err(Problem::internal())
    })
}

impl Upload {
    async fn take_passed(self, body: Bytes) -> Result<Vec<Adopted>, Problem> {
        self.caller.let_in(&self.node)?;
        let received = Received::Passed(&body);
        if !self.node.journal.is_small(received.length()) {
            let room = self.room(self.free().await?).await?;
            return web::block(move || self.adopt(Received::Passed(&body), room)).await?;
        }
        let (mut reserved, draft) = self.check(received)?;
        let _running = match self.course(draft.request).await? {
            Course::Answered(answer) => return Ok(answer),
            Course::Adopt(running) => running,
        };
        let free = self.free().await?;
        // It needs no spool; the log says by now that the spool cannot be looked into.
        let room = self.room(free).await.unwrap_or(Some(free));
        if let Some(room) = room {
            self.node.journal.check_room(room, received.length())?;
        }
        let (answer, told) = oneshot::channel();
        let waiter = Box::new(Uploader {
            node: self.node.clone(),
            courier: courier(),
            answer,
        });
        self.node.journal.adopt_soon(&body, draft, free, waiter)?;
        let adopted = told.await.map_err(|_| {
            log::error!("an upload was lost in the log");
            Problem::internal()
        })??;
        // A copy, as what came may be a piece of a much larger buffer.
        let content = Bytes::copy_from_slice(&body);
        self.node.delivery.learn(&adopted, true, Some(content));
        let adopted = vec![adopted];
        enter(&self.node, &mut reserved, &adopted);
        Ok(adopted)
    }

    async fn free(&self) -> Result<Free, Problem> {
        self.node.access.free(&self.node.journal).await
    }

    /// What is free for it on the disk beside the bodies that are on their way; `None` if a balancer was
    /// told that there is room.
    async fn room(&self, free: Free) -> Result<Option<Free>, Problem> {
        if self.caller.is_expected(&self.node) {
            return Ok(None);
        }
        let access = &self.node.access;
        let left = access.incoming.leaves_of(free, &self.node.journal).await?;
        Ok(Some(left))
    }

    async fn course(&self, request: Option<Fingerprint>) -> Result<Course, Problem> {
        if request.is_none() {
            return Ok(Course::Adopt(None));
        }
        let journal = Arc::clone(&self.node.journal);
        web::block(move || Course::of(&journal, request)).await?
    }
}

/// Waits for the promise.
struct Uploader {
    node: web::Data<Node>,
    courier: UnboundedSender<Told>,
    answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<Adopted, AdoptError>;

/// The outcome of one upload, and the one who waits for it.
type Told = (oneshot::Sender<Outcome>, Outcome);

impl Waiter for Uploader {
    fn lead(&self) {
        let node = self.node.clone();
        // Its end is told to the waiters.
        drop(rt::task::spawn_blocking(move || node.journal.lead()));
    }

    fn told(self: Box<Self>, outcome: Outcome) {
        if let Err(unsent) = self.courier.send((self.answer, outcome)) {
            // This node is stopping.
            log::warn!("nobody waits for an upload any more: {:?}", unsent.0.1);
        }
    }
}

/// The way to the uploads of this thread: one task, as each that is woken by another thread costs a
/// system call, and what a thread wakes itself costs none. A whole group is told by a few calls.
fn courier() -> UnboundedSender<Told> {
    thread_local! {
        static COURIER: UnboundedSender<Told> = {
            let (send, mut receive) = unbounded_channel::<Told>();
            // Ends with its thread.
            drop(rt::spawn(async move {
                while let Some((answer, outcome)) = receive.recv().await {
                    if let Err(outcome) = answer.send(outcome) {
                        log::error!("nobody waits for an upload: {outcome:?}");
                    }
                }
            }));
            send
        };
    }
    COURIER.with(Clone::clone)
}
