//! Copies of parts that other nodes have: steps 3 and 6 of [`gather`](super::gather).

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::key_claim::{KeyClaim, Keyed};
use super::upload::CurrentUpload;
use super::{Intake, IntakeError, Sender, fingerprint};
use crate::file::{FileId, MediaType, Metadata};
use crate::journal::{Becomes, Draft, UploadDraft, UploadError};

impl Intake {
    /// The copy of a part, and the number of its bytes that are there.
    pub(super) async fn open_copy(
        self: &Arc<Self>,
        sender: &Sender,
        part: FileId,
        length: u64,
    ) -> Result<(FileId, u64), IntakeError> {
        let request = fingerprint::of_copy(sender, part);
        let claim = self.claim_key(Some(Keyed::of_node(request))).await?;
        let (intake, sender) = (Arc::clone(self), sender.clone());
        spawn_blocking(move || {
            let (id, current) = match claim {
                KeyClaim::New(running) => {
                    let upload = UploadDraft {
                        draft: Draft {
                            request: Some(request),
                            ..sender.draft(MediaType::octet_stream(), None, Metadata::default())
                        },
                        declared: Some(length),
                        becomes: Becomes::Part,
                        sha512: None,
                    };
                    let opened = intake.open_new(&sender, upload)?;
                    drop(running);
                    opened
                }
                KeyClaim::Open(id, _) => (id, intake.current(&sender, id)?),
                KeyClaim::Answered(_) => return Err(UploadError::Busy.into()),
            };
            match current {
                CurrentUpload::Open(open) => Ok((id, open.offset)),
                CurrentUpload::Complete(_) | CurrentUpload::Made(_) => {
                    Err(UploadError::Busy.into())
                }
            }
        })
        .await?
    }

    /// Ends copies, also those of a request that was refused. Blocks.
    pub(super) fn end_copies<'a>(&self, copies: impl Iterator<Item = &'a FileId>) {
        for &copy in copies {
            if let Err(err) = self.journal.end_upload(copy) {
                log::debug!("{copy} stays until it expires: {err}");
            }
        }
    }
}
