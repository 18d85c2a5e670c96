//! Describes files for messages that refer to them. A file is in the journal, in the store, or on
//! the node that made its id.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};

use super::{Delivery, DeliveryError};
use crate::file::{FileId, Sha256};
use crate::journal::Lookup;
use crate::message::{Part, Stated};
use crate::peers::{Carried, Unreachable};
use crate::store::{StoreError, StoredPart};

/// A file that a message may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// Its descriptor, without a name and a statement.
    pub part: Part,
    /// The subject of the token that it was uploaded with.
    pub sub: Option<String>,
}

/// The files that a sender may refer to. A file is not read before this is known to include it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usable {
    /// Any file.
    Any,
    /// The files of the subject with this digest.
    Of(Sha256),
}

impl Usable {
    /// Includes the files of this subject.
    pub fn of(subject: &str) -> Self {
        Self::Of(Sha256(Hasher::digest(subject).into()))
    }

    fn includes(self, sub: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Of(_) => sub.is_some_and(|sub| Self::of(sub) == self),
        }
    }
}

/// This node's answer about a file.
#[derive(Debug)]
pub enum OutlineHere {
    /// This node has it.
    Found(Box<Outline>),
    /// This node deleted it, or has it and the message may not refer to it.
    Unusable,
    /// This node knows nothing of it.
    Absent,
}

impl Delivery {
    /// Describes a file, here or elsewhere. Returns `None` if there is none, or if the message may
    /// not refer to it.
    ///
    /// # Errors
    /// An error, if the place that has to be asked does not answer.
    pub async fn outline(
        &self,
        id: FileId,
        usable: Usable,
    ) -> Result<Option<Outline>, DeliveryError> {
        let found = self.outline_of_any(id, usable).await?;
        Ok(found.filter(|outline| usable.includes(outline.sub.as_deref())))
    }

    async fn outline_of_any(
        &self,
        id: FileId,
        usable: Usable,
    ) -> Result<Option<Outline>, DeliveryError> {
        match self.outline_in_journal(id, usable).await? {
            OutlineHere::Found(outline) => return Ok(Some(*outline)),
            OutlineHere::Unusable => return Ok(None),
            OutlineHere::Absent => {}
        }
        let Some(owner) = self.peers.find_owner(id).await? else {
            return Ok(self.stored_outline(id).await?);
        };
        let stored = self.before_owner(self.stored_outline(id)).await?;
        if stored.is_some() {
            return Ok(stored);
        }
        let of = match usable {
            Usable::Any => None,
            Usable::Of(subject) => Some(subject),
        };
        match self.peers.ask_for_outline(owner, id, of).await? {
            Carried::There(text) => {
                let outline: Result<Outline, _> = serde_json::from_str(&text);
                let outline = outline.ok().filter(|outline| outline.part.file == id);
                let outline = outline.ok_or_else(|| {
                    Unreachable::new(owner, "describes a file in words that are not known")
                });
                Ok(Some(outline?))
            }
            Carried::Deleted => Ok(None),
            // It may have been committed meanwhile.
            Carried::Absent => Ok(self.stored_outline(id).await?),
        }
    }

    /// Describes a file from the journal.
    ///
    /// # Errors
    /// An error, if the journal cannot be read.
    pub async fn outline_in_journal(
        &self,
        id: FileId,
        usable: Usable,
    ) -> Result<OutlineHere, DeliveryError> {
        if matches!(self.journal.try_lookup(id), Ok(None)) {
            return Ok(OutlineHere::Absent);
        }
        let looked = self.on_disk(move |journal| {
            let mut is_usable = true;
            let outline = journal.outline(id, |sub| {
                is_usable = usable.includes(sub);
                is_usable
            })?;
            Ok(match outline {
                Some(found) => Ok(found),
                None if !is_usable => Err(true),
                None => Err(matches!(journal.lookup(id)?, Lookup::Deleted)),
            })
        });
        Ok(match looked.await? {
            Ok(found) => OutlineHere::Found(Box::new(Outline {
                part: Part {
                    file: id,
                    name: None,
                    filename: found.meta.filename,
                    content_type: found.meta.content_type,
                    length: found.meta.length,
                    sha256: found.sha256,
                    stated: Stated::default(),
                },
                sub: found.sub.as_deref().map(str::to_owned),
            })),
            Err(true) => OutlineHere::Unusable,
            Err(false) => OutlineHere::Absent,
        })
    }

    async fn stored_outline(&self, id: FileId) -> Result<Option<Outline>, StoreError> {
        self.check_store()?;
        let Some(StoredPart { file, sub }) = self.messages.part(id).await? else {
            return Ok(None);
        };
        let sub: Option<Arc<str>> = sub;
        // Each file that this program wrote has a digest.
        Ok(file.sha256.map(|sha256| Outline {
            part: Part {
                file: id,
                name: None,
                filename: file.meta.filename,
                content_type: file.meta.content_type,
                length: file.meta.length,
                sha256,
                stated: Stated::default(),
            },
            sub: sub.as_deref().map(str::to_owned),
        }))
    }
}
