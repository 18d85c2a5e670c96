//! A keyed request, and its claim on its key.

use std::ops::ControlFlow;

use crate::file::FileId;
use crate::journal::{Adopted, Claim, Fingerprint, Journal, JournalError, OpenUpload, Running};

use super::IntakeError;
use super::fingerprint::key_of_made;

/// A keyed request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed {
    /// Its fingerprint.
    pub(super) whole: Fingerprint,
    /// The fingerprint of an upload that gives way to it.
    pub(super) opened: Option<Fingerprint>,
    /// Whether only this node can get it: it is made of an upload here.
    pub(super) is_of_node: bool,
}

/// The claim of a request on its idempotency key, if it has one.
#[derive(Debug)]
pub(super) enum KeyClaim {
    /// The request is new: carry it out. With a key, hold this until then, so that no other takes the key.
    New(Option<Running>),
    /// The request was carried out before; these are its files.
    Answered(Vec<Adopted>),
    /// The request opened this upload. Its state comes along if it is at another node.
    Open(FileId, Option<Box<OpenUpload>>),
}

impl From<Fingerprint> for Keyed {
    fn from(whole: Fingerprint) -> Self {
        Self {
            whole,
            opened: None,
            is_of_node: false,
        }
    }
}

impl Keyed {
    /// The claim of a request that only this node can get.
    pub(super) fn of_node(whole: Fingerprint) -> Self {
        Self {
            is_of_node: true,
            ..Self::from(whole)
        }
    }

    /// The claim of a request with this fingerprint, whose body may be that of an upload. An upload with the
    /// other fingerprint gives way to it, if it has the same key: a message may have one of its own.
    pub(super) fn of(
        upload: Option<FileId>,
        whole: Option<Fingerprint>,
        opened: Option<Fingerprint>,
    ) -> Option<Self> {
        let whole = whole?;
        Some(Self {
            whole,
            opened: opened.filter(|opened| opened.key == whole.key),
            is_of_node: upload.map(key_of_made) == Some(whole.key),
        })
    }

    /// Claims its key at this node. Blocks.
    pub(super) fn begin(self, journal: &Journal) -> Result<Claim<Vec<Adopted>>, JournalError> {
        match self.opened {
            None => journal.begin(self.whole),
            Some(opened) => journal.begin_whole(self.whole, opened),
        }
    }
}

impl KeyClaim {
    /// The claim of a request that makes files and opens no upload: the first answer, or the right to make
    /// them.
    pub(super) fn of_files(
        self,
    ) -> Result<ControlFlow<Vec<Adopted>, Option<Running>>, IntakeError> {
        match self {
            Self::New(running) => Ok(ControlFlow::Continue(running)),
            Self::Answered(answer) => Ok(ControlFlow::Break(answer)),
            Self::Open(..) => Err(IntakeError::StillRunning),
        }
    }
}
