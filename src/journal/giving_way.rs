//! An upload gives way to a whole request under its key: its sender has sent all bytes again.
//!
//! 1. The request claims its key ([`Journal::begin_whole`]), and the upload is held beside the claim: no append
//!    grows it. The log's clock passes the time of the upload, as of two answers to a key the later one counts.
//! 2. The request is adopted, as a file, a form or a message: its frame is queued and synced. With it the key is
//!    that of the promise.
//! 3. The upload ends ([`Journal::carried_out`]). If the disk refuses that, it is held as long as it is here, so
//!    that nobody completes it beside the promise.
//! 4. The claim is dropped, and the promise is told.
//!
//! If the request is refused before 2 is done, the upload is as it was.
//!
//! | cut after | leaves | the next start |
//! |---|---|---|
//! | 1, 2 before its frame | the upload, perhaps with a body of nobody | keeps the upload: it goes on, or gives way to the next try |
//! | 2 queued | the upload; or the promise and the upload | the same; or ends the upload before its first word |
//! | 2 | the promise and the upload | ends the upload: its key has a later answer |
//! | 3 queued, 3 | the promise, and the upload or its tombstone | the same |
//!
//! | meanwhile comes | in 1 to 3 | afterwards |
//! |---|---|---|
//! | the request again, or a question by its key | a request is being carried out | the promise |
//! | the rest of a broken body | the same, and nothing is kept | another request has the key |
//! | an append | another append is under way | the upload has ended |
//! | a question for the upload | its offset | it has ended |
//! | its end by its sender, or by its lifetime | it ends; not while it is held | it has ended |
//!
//! Two nodes have no frame in common. When another node asks for the key, to carry the request out itself, the
//! upload ends at once ([`Journal::end_for_another_node`]), before that node has the votes: a cut there leaves
//! neither, and the sender sends all bytes once more. If the upload ended later, a cut could leave it beside the
//! promise of the other node, and it could be completed, too.

use super::idempotency::Running;
use super::record::Answer;
use super::upload::UploadError;
use super::vote::VOTE;
use super::{Journal, JournalError, point};
use crate::file::FileId;

impl Journal {
    /// Step 1 for an upload that is held. Returns false if it takes no more bytes.
    pub(super) fn gives_way(&self, id: FileId) -> Result<bool, JournalError> {
        match self.find_upload(id) {
            Ok(upload) => {
                if let Some(answer) = upload.answer {
                    self.pass(answer.request.at);
                }
                Ok(true)
            }
            Err(UploadError::Journal(err)) => Err(err),
            Err(_) => Ok(false),
        }
    }

    /// Frees the key of a request that is a promise now. If an upload gave way to it, that ends first, which
    /// blocks: steps 3 and 4.
    pub fn carried_out(&self, running: Option<Running>) {
        let earlier = running.and_then(|mut running| Some((running.take_earlier()?, running)));
        if let Some((earlier, _running)) = earlier {
            point!("whole.promised");
            self.end_held(earlier);
        }
    }

    /// Ends the upload that gives way to a request at another node. Blocks.
    ///
    /// # Errors
    /// The disk's error; then the upload is as it was.
    pub fn end_for_another_node(&self, mut running: Running) -> Result<(), JournalError> {
        if let Some(earlier) = running.take_earlier() {
            self.end_upload(earlier.key())?;
            self.state().keys.forget(running.key());
        }
        Ok(())
    }

    /// Ends the uploads that gave way to a promise before a cut. To be called at a start.
    pub(super) fn end_overtaken(&self) {
        let open = self.state().index.keyed_uploads();
        for id in open {
            match self.is_overtaken(id) {
                Ok(false) => {}
                Ok(true) => {
                    if let Ok(held) = self.hold_upload(id) {
                        self.end_held(held);
                    }
                }
                Err(err) => log::error!("{id}: nobody knows whether it gave way: {err}"),
            }
        }
    }

    fn end_held(&self, held: Running<FileId>) {
        let id = held.key();
        if let Err(err) = self.end_upload(id) {
            log::error!("{id}: it gave way to a promise, and stays until the next start: {err}");
            self.keep_while_pending(id, held);
        }
    }

    /// Whether the key of an upload has a later answer. A key that was forgotten meanwhile for its age may
    /// be that of any other request.
    fn is_overtaken(&self, id: FileId) -> Result<bool, JournalError> {
        let answer = self.upload(id)?.and_then(|upload| upload.answer);
        let Some(Answer { request, .. }) = answer else {
            return Ok(false);
        };
        let known = self.state().keys.find(request.key, self.now());
        let first = known.and_then(|known| known.first().copied());
        let Some(first) = first.filter(|first| first.id != id) else {
            return Ok(false);
        };
        let answered = self.answer_of(&first)?;
        let forgotten = request.at.later(self.limits.answer_lifetime);
        Ok(answered.is_some_and(|(answered, _)| {
            let later = answered.answer.request;
            later.content != VOTE && later.at < forgotten
        }))
    }
}
