//! Lets uploads grow by bodies that arrived whole. [`Intake::salvage`] takes those that broke off.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::upload::CurrentUpload;
use super::{Intake, IntakeError, Sender, SpooledName, StatedDigests, file_type};
use crate::file::FileId;
use crate::journal::{Appended, Becomes, Completion, Ends, OpenUpload, UploadError};
use crate::spool::Received;

/// The bytes of an upload from which its type is told.
pub(super) const SHOWN_BYTES: usize = 8192;

/// An append, as its sender describes it.
#[derive(Debug)]
pub struct Append {
    /// The offset at which its bytes stand.
    pub offset: u64,
    /// The statements about the whole.
    pub completion: Completion,
    /// The digests of these bytes alone.
    pub digests: StatedDigests,
}

/// The bytes of an append.
#[derive(Debug)]
pub enum AppendBody {
    /// They are in a spool file; `None` if there are none.
    Spooled(Option<SpooledName>),
    /// They came with the head.
    Inline(Bytes),
}

impl Intake {
    /// Checks an append before its body comes, and notes it as the last one that was let in. Waits for the
    /// append before it, and for a moment for what is left of a broken one: no bytes can count between
    /// the check and the note.
    /// `length` is that of the body, if it is known; `request` is the name of the request, by which
    /// [`Intake::salvage`] knows it again.
    ///
    /// # Errors
    /// When the append cannot count, or there is no room for it.
    pub async fn admit_append(
        self: &Arc<Self>,
        sender: &Sender,
        id: FileId,
        append: &Append,
        length: Option<u64>,
        request: &str,
    ) -> Result<(), IntakeError> {
        let length = length.unwrap_or_default();
        let _turn = self.in_order.rest(id).await;
        match self.upload_now(sender, id).await? {
            None => return Err(UploadError::Absent.into()),
            // An empty append asks for the last answer again.
            Some(CurrentUpload::Complete(_) | CurrentUpload::Made(_)) if length == 0 => {}
            Some(CurrentUpload::Made(made)) => {
                return Err(UploadError::Made(Box::new(made)).into());
            }
            Some(CurrentUpload::Complete(adopted)) => {
                return Err(UploadError::Complete(Box::new(adopted)).into());
            }
            Some(CurrentUpload::Open(open)) => {
                let end = self.check_append(sender, &open, append, length)?;
                if open.declared.is_none() {
                    self.check_quota(sender, length)?;
                    self.check_room(end - append.offset, false).await?;
                }
            }
        }
        self.in_order.admit(id, request);
        Ok(())
    }

    /// Appends a body to an upload, when the appends before it are done. Runs to its end as soon as its
    /// turn has come, even if the caller stops waiting.
    ///
    /// # Errors
    /// When it did not count; when too many others wait.
    pub async fn append(
        self: &Arc<Self>,
        sender: Sender,
        id: FileId,
        append: Append,
        body: AppendBody,
    ) -> Result<Appended, IntakeError> {
        let turn = self.in_order.wait(id).await?;
        let intake = Arc::clone(self);
        spawn_blocking(move || {
            let _turn = turn;
            match body {
                AppendBody::Inline(bytes) => {
                    intake.grow(&sender, id, &append, Received::Inline(&bytes))
                }
                AppendBody::Spooled(name) => {
                    let body = name.map(|name| intake.spool.claim(&name.path, name.length));
                    let body = body.transpose()?;
                    intake.grow(&sender, id, &append, Received::from(body.as_ref()))
                }
            }
        })
        .await?
    }

    /// Blocks.
    pub(super) fn grow(
        &self,
        sender: &Sender,
        id: FileId,
        append: &Append,
        body: Received<'_>,
    ) -> Result<Appended, IntakeError> {
        let open = match self.current(sender, id)? {
            CurrentUpload::Open(open) => open,
            CurrentUpload::Complete(adopted) => {
                return Err(UploadError::Complete(Box::new(adopted)).into());
            }
            CurrentUpload::Made(made) => return Err(UploadError::Made(Box::new(made)).into()),
        };
        let end = self.check_append(sender, &open, append, body.length())?;
        append.digests.compare(body)?;
        let completion = append.completion;
        let is_whole = match completion.ends {
            Ends::Now => true,
            Ends::AtLength => open.declared.or(completion.declared) == Some(end),
            Ends::Later => false,
        };
        let shown = if is_whole && open.becomes == Becomes::File {
            file_type::shown_by(
                sender,
                &open.content_type,
                &self.head_of(id, open.offset, body)?,
            )?
        } else {
            None
        };
        let more = if open.declared.is_none() {
            Some(self.reserve_for(sender, body.length(), 0)?)
        } else {
            None
        };
        let appended = self
            .journal
            .append_as(id, append.offset, body, completion, shown)?;
        if let Some(more) = more {
            more.keep_all(&self.journal, id);
        }
        if let Appended::Complete(adopted) = &appended {
            self.in_order.forget(id);
            self.tell_file(adopted, None);
        }
        Ok(appended)
    }

    /// Checks an append of this length. Returns the offset behind it.
    fn check_append(
        &self,
        sender: &Sender,
        open: &OpenUpload,
        append: &Append,
        length: u64,
    ) -> Result<u64, IntakeError> {
        if open.becomes.is_made() && append.completion.ends == Ends::AtLength {
            // Its sender would take it for complete as soon as all bytes are there.
            return Err(UploadError::Absent.into());
        }
        if open.offset != append.offset {
            return Err(UploadError::Offset(open.offset).into());
        }
        let end = append.offset.saturating_add(length);
        let told = append.completion.declared;
        let declared = open.declared.or(told);
        if let Some(declared) = declared.filter(|&declared| end > declared) {
            return Err(UploadError::TooLong { declared }.into());
        }
        match (open.declared, told) {
            (Some(declared), Some(told)) if declared != told => {
                return Err(UploadError::LengthDiffers { declared }.into());
            }
            _ => {}
        }
        self.check_length(sender, declared.unwrap_or(end))?;
        Ok(end)
    }

    /// The first bytes of an upload with this body at its end.
    fn head_of(&self, id: FileId, offset: u64, body: Received<'_>) -> Result<Vec<u8>, IntakeError> {
        let bytes = |length| {
            usize::try_from(length)
                .unwrap_or(SHOWN_BYTES)
                .min(SHOWN_BYTES)
        };
        let kept = bytes(offset);
        let more = bytes(body.length()).min(SHOWN_BYTES - kept);
        let mut head = vec![0; kept + more];
        let (before, behind) = head.split_at_mut(kept);
        let read = self.journal.read_upload(id, before);
        read.and_then(|()| body.read_exact_at(behind, 0))
            .map_err(IntakeError::UnreadableBody)?;
        Ok(head)
    }
}
