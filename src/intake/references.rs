//! The parts of a message that exist already. Each is linked to the message before the promise, and
//! loses that link if the message is never promised.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::task::spawn_blocking;

use super::form::Size;
use super::message::{OpenMessage, TakenMessage};
use super::{Intake, IntakeError};
use crate::file::FileId;
use crate::journal::Intention;
use crate::message::links::Linked;
use crate::message::{Part, PartRequest, Source};
use crate::token::Grant;

/// The most links that are made at the same time for one message.
const AT_ONCE: usize = 8;

impl Intake {
    /// 1. The files are found, as far as the sender may use them.
    /// 2. An intent records the links that are about to be made.
    /// 3. The links are made.
    /// 4. The message is promised. If anything is refused, the intent is dropped, which undoes all
    ///    links.
    pub(super) async fn link_and_adopt<E, F>(
        self: Arc<Self>,
        mut open: OpenMessage,
        find: F,
    ) -> Result<TakenMessage, E>
    where
        E: From<IntakeError>,
        F: FnOnce(Grant, Vec<Source>) -> BoxFuture<'static, Result<Vec<Part>, E>>,
    {
        let sources = open.references.iter().map(|(_, part)| part.source);
        let found = find(open.sender.grant.clone(), sources.collect()).await?; // 1
        let mut files = BTreeSet::new();
        for ((place, asked), part) in std::mem::take(&mut open.references).into_iter().zip(found) {
            if !open.sender.grant.takes_type(&part.content_type) {
                return Err(IntakeError::TypeNotAllowed.into());
            }
            files.insert(part.file);
            open.draft.linked.push((place, with_words_of(part, asked)));
        }
        let files: Vec<_> = files.into_iter().collect();
        let (journal, intended) = (Arc::clone(&self.journal), files.clone());
        let intention = spawn_blocking(move || journal.intend(intended)).await;
        let intention = intention.map_err(IntakeError::from)?;
        let intention = intention.map_err(IntakeError::from)?; // 2
        if let Err(err) = self.link_all(&files, intention.id()).await {
            let dropped = spawn_blocking(move || drop(intention)).await;
            dropped.map_err(IntakeError::from)?;
            return Err(err.into());
        } // 3
        open.draft.id = Some(intention.id());
        Ok(self.adopt_linked(open, intention).await?) // 4
    }

    async fn link_all(&self, files: &[FileId], message: FileId) -> Result<(), IntakeError> {
        let links = files.iter().map(|&file| self.link(file, message).boxed());
        let links: Vec<_> = links.collect();
        stream::iter(links)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn link(&self, file: FileId, message: FileId) -> Result<(), IntakeError> {
        match self.links.link(file, message).await? {
            Linked::Linked => Ok(()),
            Linked::Full => Err(IntakeError::TooManyLinks),
            Linked::Gone | Linked::Absent => Err(IntakeError::PartGone),
        }
    }

    async fn adopt_linked(
        self: &Arc<Self>,
        open: OpenMessage,
        intention: Intention,
    ) -> Result<TakenMessage, IntakeError> {
        let place = self.places.take(Size::Small).await?;
        let intake = Arc::clone(self);
        let taken = spawn_blocking(move || {
            let _place = place;
            let taken = intake.adopt_message(open);
            drop(intention);
            taken
        });
        taken.await?
    }
}

/// Returns a part with the name and the statements of the sender that refers to it, each where the
/// sender gives it.
fn with_words_of(part: Part, asked: PartRequest) -> Part {
    Part {
        name: asked.name.or(part.name),
        stated: asked.stated.over(part.stated),
        ..part
    }
}
