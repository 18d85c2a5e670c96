//! Makes files and messages of uploads that have come whole: their bodies are read as those of one-shot
//! requests, under a key that is the same each time.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::fingerprint::key_of_made;
use super::{
    FormContent, FormUpload, Head, Intake, IntakeError, MessageContent, MessageUpload, Sender,
    StatedDigests, TakenForm, TakenMessage, UploadBody,
};
use crate::file::{FileId, Metadata};
use crate::journal::{Adopted, MadeFiles, OpenUpload};
use crate::message::{Part, Source};
use crate::spool::SpooledBody;
use crate::store::Sha256;
use crate::token::Grant;

impl Intake {
    /// Takes the form in that a whole upload is, as [`Intake::take_form`] does. Runs to its end, even if
    /// the caller stops waiting.
    ///
    /// # Errors
    /// When nothing of it is kept, or a retry has to note its end. The upload is open as before.
    pub async fn make_files<E, R>(
        self: &Arc<Self>,
        sender: Sender,
        (id, open): (FileId, OpenUpload),
        read: R,
    ) -> Result<TakenForm, E>
    where
        E: From<IntakeError> + Send + 'static,
        R: Fn(&SpooledBody, &Metadata, usize) -> Result<Option<FormContent>, E> + Send + 'static,
    {
        let intake = Arc::clone(self);
        let made = tokio::spawn(async move {
            let _held = intake.journal.hold_upload(id).map_err(IntakeError::from)?;
            let upload = FormUpload {
                sender,
                head: head_of(id, open),
                broken: None,
            };
            let taken = intake.take_form(upload, read).await?;
            intake
                .note_made(id, key_of_made(id), taken.adopted.last())
                .await?;
            Ok(taken)
        });
        made.await.map_err(IntakeError::from)?
    }

    /// Takes the message in that a whole upload is, as [`Intake::take_message`] does. Runs to its end,
    /// even if the caller stops waiting.
    ///
    /// # Errors
    /// As [`Intake::make_files`].
    pub async fn make_message<E, R, F>(
        self: &Arc<Self>,
        sender: Sender,
        (id, open): (FileId, OpenUpload),
        read: R,
        find: F,
    ) -> Result<TakenMessage, E>
    where
        E: From<IntakeError> + Send + 'static,
        R: FnOnce(&UploadBody) -> Result<MessageContent, E> + Send + 'static,
        F: FnOnce(Grant, Vec<Source>) -> BoxFuture<'static, Result<Vec<Part>, E>> + Send + 'static,
    {
        let intake = Arc::clone(self);
        let made = tokio::spawn(async move {
            let _held = intake.journal.hold_upload(id).map_err(IntakeError::from)?;
            let upload = MessageUpload {
                sender,
                head: head_of(id, open),
                broken: None,
            };
            let taken = intake.take_message(upload, None, true, read, find).await?;
            let key = taken.key.unwrap_or_else(|| key_of_made(id));
            intake.note_made(id, key, taken.files.last()).await?;
            Ok(taken)
        });
        made.await.map_err(IntakeError::from)?
    }

    /// The files that an upload has become, the package of a message first; `None` if the journal has
    /// forgotten the answer.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn files_of_made(
        self: &Arc<Self>,
        files: MadeFiles,
    ) -> Result<Option<Vec<Adopted>>, IntakeError> {
        let intake = Arc::clone(self);
        match files {
            MadeFiles::Under(key) => {
                Ok(spawn_blocking(move || intake.journal.answer_to(key)).await??)
            }
            MadeFiles::These(files) => Ok(Some(files)),
        }
    }

    async fn note_made(
        self: &Arc<Self>,
        id: FileId,
        key: Sha256,
        last: Option<&Adopted>,
    ) -> Result<(), IntakeError> {
        let (intake, last) = (Arc::clone(self), last.map(Adopted::id));
        spawn_blocking(move || intake.journal.made(id, key, last)).await??;
        self.in_order.forget(id);
        Ok(())
    }
}

impl TakenMessage {
    /// A message that was promised before, of which these are the files.
    pub fn before(files: Vec<Adopted>) -> Self {
        Self {
            files,
            message: None,
            key: None,
        }
    }
}

/// The statements about the body of an upload. Its digests were checked with its last append.
fn head_of(id: FileId, open: OpenUpload) -> Head {
    Head {
        spooled: None,
        digests: StatedDigests::default(),
        metadata: open.metadata,
        key: None,
        upload: Some(id),
    }
}
