//! Makes one file of uploads that are parts of it.

use std::ops::ControlFlow::{Break, Continue};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::task::{spawn, spawn_blocking};

use super::append::SHOWN_BYTES;
use super::gather::{PIECE_BYTES, subject_of};
use super::key_claim::Keyed;
use super::upload::{CurrentUpload, NewUpload};
use super::{Intake, IntakeError, Sender, file_type};
use crate::file::FileId;
use crate::journal::{Adopted, Becomes, Draft, OpenUpload, UploadError, UploadState, record_bytes};
use crate::peers::{PartPiece, PartQuestion};

impl Intake {
    /// Promises a file of these complete partial uploads of the caller, one behind the other. They stay
    /// until they expire. Those of other nodes are gathered first, as the module `gather` tells.
    /// Runs to its end, even if the caller stops waiting.
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
        let mut draft = upload.draft_of(&parts)?;
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
        let gathered = match self.gather(&sender, &mut draft, &parts).await? {
            Break(before) => return Ok(before),
            Continue(gathered) => gathered,
        };
        spawn_blocking(move || {
            let _running = running;
            let adopted = self.put_together(&sender, draft, &gathered.parts);
            self.end_copies(gathered.copies.values());
            adopted.map_err(|err| gathered.refusal(err))
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

    /// A piece of a part of this node, for another node. Blocks.
    pub(super) fn read_part(&self, asked: &PartQuestion) -> Result<Option<PartPiece>, IntakeError> {
        let Some(UploadState::Open(open)) = self.journal.upload_state(asked.part)? else {
            return Ok(None);
        };
        let is_whole = open.becomes == Becomes::Part && open.declared == Some(open.offset);
        if !is_whole || subject_of(open.sub.as_deref()) != asked.of {
            return Ok(None);
        }
        let left = open.offset.saturating_sub(asked.offset);
        let length = PIECE_BYTES.min(asked.most).min(left);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        if !bytes.is_empty() {
            let body = self.journal.open_growing(asked.part);
            let read = body.and_then(|body| body.read_exact_at(&mut bytes, asked.offset));
            read.map_err(IntakeError::UnreadableBody)?;
        }
        Ok(Some(PartPiece {
            length: open.offset,
            bytes: bytes.into(),
        }))
    }

    /// Blocks.
    pub(super) fn length_of_part(&self, sender: &Sender, part: FileId) -> Result<u64, IntakeError> {
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
