//! Makes one file of uploads that are parts of it.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use tokio::task::{spawn, spawn_blocking};

use super::append::SHOWN_BYTES;
use super::key_claim::Keyed;
use super::upload::{CurrentUpload, NewUpload};
use super::{Intake, IntakeError, Sender, file_type};
use crate::file::FileId;
use crate::journal::{Adopted, Becomes, Draft, OpenUpload, UploadError, record_bytes};

impl Intake {
    /// Promises a file of these complete partial uploads of the caller, one behind the other. They stay
    /// until they expire. Runs to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// When nothing of the file is kept.
    pub async fn concatenate(
        self: &Arc<Self>,
        upload: NewUpload,
        parts: Vec<FileId>,
    ) -> Result<Adopted, IntakeError> {
        spawn(Arc::clone(self).claim_and_put_together(upload, parts)).await?
    }

    async fn claim_and_put_together(
        self: Arc<Self>,
        upload: NewUpload,
        parts: Vec<FileId>,
    ) -> Result<Adopted, IntakeError> {
        // The parts may have ended since the key was answered. Their ids tell their bytes.
        let draft = upload.draft_of(&parts)?;
        let sender = upload.sender;
        let running = match self
            .claim_key(draft.request.map(Keyed::from))
            .await?
            .of_files()?
        {
            Break(answer) => {
                let before = answer.into_iter().next();
                return Ok(before.ok_or(UploadError::Absent)?);
            }
            Continue(running) => running,
        };
        spawn_blocking(move || {
            let _running = running;
            self.put_together(&sender, draft, &parts)
        })
        .await?
    }

    /// Blocks.
    fn put_together(
        &self,
        sender: &Sender,
        mut draft: Draft,
        parts: &[FileId],
    ) -> Result<Adopted, IntakeError> {
        let lengths: Vec<_> = parts
            .iter()
            .map(|&part| self.length_of_part(sender, part))
            .collect::<Result<_, _>>()?;
        let length = lengths.iter().copied().fold(0, u64::saturating_add);
        let mut room = self.reserve(sender, length, record_bytes(&draft.metadata))?;
        let head = self.head_of_parts(parts, &lengths)?;
        if let Some(shown) = file_type::shown_by(sender, &draft.content_type, &head)? {
            draft.content_type = shown;
        }
        let adopted = self.journal.concatenate(parts, draft)?;
        self.enter_file(&mut room, &adopted, None);
        Ok(adopted)
    }

    fn head_of_parts(&self, parts: &[FileId], lengths: &[u64]) -> Result<Vec<u8>, IntakeError> {
        let mut head = Vec::new();
        for (&part, &length) in parts.iter().zip(lengths) {
            let from = head.len();
            let more = usize::try_from(length).unwrap_or(SHOWN_BYTES);
            head.resize(from + more.min(SHOWN_BYTES - from), 0);
            let bytes = head.get_mut(from..).unwrap_or_default();
            let read = self.journal.read_upload(part, bytes);
            read.map_err(IntakeError::UnreadableBody)?;
        }
        Ok(head)
    }

    fn length_of_part(&self, sender: &Sender, part: FileId) -> Result<u64, IntakeError> {
        match self.current(sender, part) {
            Ok(CurrentUpload::Open(OpenUpload {
                offset,
                declared,
                becomes: Becomes::Part,
                ..
            })) if declared == Some(offset) => Ok(offset),
            Ok(CurrentUpload::Open(_) | CurrentUpload::Complete(_) | CurrentUpload::Made(_))
            | Err(IntakeError::Upload(UploadError::Absent | UploadError::Ended)) => {
                Err(UploadError::Part(part).into())
            }
            Err(err) => Err(err),
        }
    }
}
