//! The body of an upload, wherever nginx has left it.

use bytes::Bytes;

use super::{Head, Intake, IntakeError};
use crate::spool::{Received, SpooledBody};

/// The body of an upload.
#[derive(Debug)]
pub enum UploadBody {
    /// It came with its head.
    Inline(Bytes),
    /// nginx spooled it.
    Spooled(SpooledBody),
}

impl UploadBody {
    /// The bytes that the journal does not have yet.
    pub(super) fn new_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => Received::Inline(bytes).length(),
            Self::Spooled(body) => body.new_bytes(),
        }
    }

    /// Returns its bytes.
    pub fn received(&self) -> Received<'_> {
        match self {
            Self::Inline(bytes) => Received::Inline(bytes),
            Self::Spooled(body) => body.into(),
        }
    }
}

impl Intake {
    /// Claims the spool file, if there is one. Blocks.
    pub(super) fn claim(&self, head: &Head) -> Result<Option<SpooledBody>, IntakeError> {
        let mut body = match (head.upload, &head.spooled) {
            (Some(id), _) => self.journal.body_of_upload(id)?,
            (None, Some(spooled)) => self.spool.claim(&spooled.path, spooled.length)?,
            (None, None) => return Ok(None),
        };
        // The log gets the very bytes that are hashed here.
        if self.journal.is_small(body.length())
            && let Err(err) = body.load()
        {
            log::debug!("whoever needs this body meets that, too: {err}");
        }
        Ok(Some(body))
    }

    /// The body of an upload: the bytes that came with its head, or its spool file; without either it has
    /// no bytes. Blocks.
    pub(super) fn body_of(
        &self,
        head: &Head,
        inline: Option<Bytes>,
    ) -> Result<UploadBody, IntakeError> {
        Ok(match inline {
            Some(inline) => UploadBody::Inline(inline),
            None => match self.claim(head)? {
                Some(body) => UploadBody::Spooled(body),
                None => UploadBody::Inline(Bytes::new()),
            },
        })
    }
}
