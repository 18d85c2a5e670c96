//! Keeps what nginx has written of a body that broke off.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::upload::{CurrentUpload, NewUpload, Opened};
use super::{Append, Intake, IntakeError, Sender, SpooledName, StatedDigests};
use crate::file::FileId;
use crate::journal::{Appended, Completion, Ends, UploadError};
use crate::spool::{Received, SpooledBody};

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
    /// under a key. The sender finds it again under that key. It counts only if the upload has no bytes
    /// yet. Returns `None` if there is nothing to keep.
    ///
    /// The sender may have sent the request again already. If that is being carried out, or has brought
    /// a file, the key is taken. If it comes later, a whole file takes the place of these bytes.
    ///
    /// # Errors
    /// When nothing of it is kept, except perhaps an upload without bytes.
    pub async fn salvage_beginning(
        self: &Arc<Self>,
        upload: NewUpload,
        body: SpooledName,
    ) -> Result<Option<(FileId, Appended)>, IntakeError> {
        let (intake, sender) = (Arc::clone(self), upload.sender.clone());
        let opened = spawn_blocking(move || {
            let body = intake.spool.claim(&body.path, None)?;
            if body.length() == 0 {
                return Ok(None);
            }
            let opened = intake.open(upload)?;
            let is_empty = matches!(&opened.current, CurrentUpload::Open(open) if open.offset == 0);
            Ok::<_, IntakeError>(is_empty.then_some((opened, body)))
        });
        // Nobody finds it by its key before its bytes count.
        let Some((Opened { id, running, .. }, body)) = opened.await?? else {
            return Ok(None);
        };
        let turn = self.in_order.wait(id).await?;
        if self.in_order.has_admitted(id) {
            return Err(UploadError::Busy.into());
        }
        let intake = Arc::clone(self);
        let appended = spawn_blocking(move || {
            let _held = (turn, running);
            let append = Append {
                offset: 0,
                completion: Completion::default(),
                digests: StatedDigests::default(),
            };
            intake.grow(&sender, id, &append, Received::from(&body))
        });
        Ok(Some((id, appended.await??)))
    }
}
