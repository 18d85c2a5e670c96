//! Keeps what nginx has written of a body that broke off.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::upload::{CurrentUpload, NewUpload, Opened};
use super::{Append, Intake, IntakeError, Sender, SpooledName, StatedDigests};
use crate::file::FileId;
use crate::journal::{Appended, Completion, Ends, UploadError};
use crate::spool::{Received, SpooledBody};

/// Bytes of a body that are compared, or appended, at once.
const PIECE_BYTES: u64 = 1024 * 1024;

impl Intake {
    /// Appends what nginx has written of a body that broke off. It counts only if no other append was
    /// let in since, and none of its digests is stated: the sender may be at work already.
    ///
    /// # Errors
    /// When it does not count.
    pub async fn salvage(
        self: &Arc<Self>,
        sender: Sender,
        id: FileId,
        append: Append,
        body: SpooledName,
        request: &str,
    ) -> Result<Appended, IntakeError> {
        let turn = self.in_order.wait(id).await?;
        if !self.in_order.is_last(id, request) || !append.digests.are_none() {
            return Err(UploadError::Busy.into());
        }
        let intake = Arc::clone(self);
        spawn_blocking(move || {
            let _turn = turn;
            let body: SpooledBody = intake.spool.claim(&body.path, None)?;
            // The bytes that would complete it may be missing. By tus they do so if they are there; by the
            // draft, a request that broke off completes nothing (§4.4).
            let completion = Completion {
                stated: append.completion.stated,
                ends: match append.completion.ends {
                    Ends::AtLength => Ends::AtLength,
                    Ends::Now | Ends::Later => Ends::Later,
                },
                ..Completion::default()
            };
            let append = Append {
                completion,
                ..append
            };
            intake.grow(&sender, id, &append, Received::from(&body))
        })
        .await?
    }

    /// Keeps what nginx has written of the first body of an upload, or of a whole file that was sent
    /// under a key. The sender finds it again under that key. It counts as far as the upload has fewer
    /// bytes, and all of them are the same: of two bodies that broke off, the longer one counts. `ends`
    /// says whether the upload is complete if all of its bytes are there. Returns `None` if there is
    /// nothing to keep.
    ///
    /// The sender may have sent the request again already. If that is being carried out, or has brought
    /// a file, the key is taken. If it comes later, a whole file takes the place of these bytes.
    ///
    /// # Errors
    /// When nothing of it is kept, except perhaps an upload without bytes.
    pub async fn salvage_beginning(
        self: &Arc<Self>,
        upload: NewUpload,
        ends: Ends,
        body: SpooledName,
    ) -> Result<Option<(FileId, Appended)>, IntakeError> {
        let (intake, sender) = (Arc::clone(self), upload.sender.clone());
        let claimed = spawn_blocking(move || intake.spool.claim(&body.path, None));
        let body = claimed.await??;
        if body.length() == 0 {
            return Ok(None);
        }
        let opened = Arc::clone(self).open(upload).await?;
        let Opened {
            id,
            current,
            running,
        } = opened;
        let from = match &current {
            CurrentUpload::Open(open) if open.offset < body.length() => open.offset,
            CurrentUpload::Open(_) | CurrentUpload::Complete(_) | CurrentUpload::Made(_) => {
                return Ok(None);
            }
        };
        // Another node adds no bytes to its upload that come this way.
        if self.is_elsewhere(id) {
            return Ok(None);
        }
        // Nobody finds it by its key before its bytes count.
        let turn = self.in_order.wait(id).await?;
        if self.in_order.has_admitted(id) {
            return Err(UploadError::Busy.into());
        }
        let intake = Arc::clone(self);
        let appended = spawn_blocking(move || {
            let _held = (turn, running);
            if from == 0 {
                intake.grow(&sender, id, &piece(from, ends), Received::from(&body))
            } else {
                intake.add_rest(&sender, id, (from, ends), &body)
            }
        });
        Ok(Some((id, appended.await??)))
    }

    /// Appends the bytes of a body from this offset on to an upload that has those before it. Blocks.
    fn add_rest(
        &self,
        sender: &Sender,
        id: FileId,
        (from, ends): (u64, Ends),
        body: &SpooledBody,
    ) -> Result<Appended, IntakeError> {
        let kept = self.journal.open_growing(id);
        let kept = kept.map_err(IntakeError::UnreadableBody)?;
        let (mut before, mut block) = (Vec::new(), Vec::new());
        let mut offset = 0;
        while offset < from {
            let length = PIECE_BYTES.min(from - offset);
            fill(&mut block, Received::from(body), offset, length)?;
            before.resize(block.len(), 0);
            let read = kept.read_exact_at(&mut before, offset);
            read.map_err(IntakeError::UnreadableBody)?;
            if before != block {
                return Err(IntakeError::KeyOfAnother);
            }
            offset += length;
        }
        loop {
            let length = PIECE_BYTES.min(body.length() - offset);
            fill(&mut block, Received::from(body), offset, length)?;
            let bytes = Received::Inline(&block);
            let appended = self.grow(sender, id, &piece(offset, ends), bytes)?;
            offset += length;
            if offset == body.length() {
                return Ok(appended);
            }
        }
    }
}

/// An append at this offset that states nothing.
pub(super) fn piece(offset: u64, ends: Ends) -> Append {
    Append {
        offset,
        completion: Completion {
            ends,
            ..Completion::default()
        },
        digests: StatedDigests::default(),
    }
}

/// Fills a block with so many bytes of a body.
fn fill(
    block: &mut Vec<u8>,
    body: Received<'_>,
    offset: u64,
    length: u64,
) -> Result<(), IntakeError> {
    block.resize(usize::try_from(length).unwrap_or_default(), 0);
    let read = body.read_exact_at(block, offset);
    read.map_err(IntakeError::UnreadableBody)
}
