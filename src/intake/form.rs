//! Takes in a form: a spooled body becomes promises, all of them or none.
//!
//! The memory of a form depends on the number of its files and on the texts that each of them keeps.
//! Small forms are read side by side. A form that turns out to be large gives its place up, waits for
//! one of a few other places, and is read again there. So the memory of all forms together is bounded.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{spawn, spawn_blocking};

use super::fingerprint::{self, Shape};
use super::key_claim::Keyed;
use super::quota::Reservation;
use super::upload::request_of;
use super::{
    ClaimedType, Head, Intake, IntakeError, NewUpload, Promised, Sender, StatedDigests, digest,
    file_type,
};
use crate::file::{FileName, Metadata, Window};
use crate::form::MOST_PARTS;
use crate::journal::{Adopted, Draft, record_bytes};
use crate::spool::{Received, SpooledBody};

/// Small forms that are read and adopted at the same time.
const SMALL_AT_ONCE: usize = 32;

/// Large forms at the same time.
const LARGE_AT_ONCE: usize = 2;

/// The most files in a small form.
const MOST_FILES_OF_SMALL: usize = 64;

/// The most bytes of texts in a small form, counted once for each of its files.
const MOST_TEXT_OF_SMALL: u64 = 128 * 1024;

/// The most bytes of texts in any form, counted once for each of its files.
const MOST_TEXT: u64 = 2 * 1024 * 1024;

/// An upload of a form.
#[derive(Debug)]
pub struct FormUpload {
    /// Its sender.
    pub sender: Sender,
    /// The statements about the body.
    pub head: Head,
    /// The upload as which its first bytes are kept if it breaks off.
    pub broken: Option<NewUpload>,
}

/// The contents of a form.
#[derive(Debug)]
pub struct FormContent {
    /// Its files, in their order.
    pub files: Vec<FilePart>,
    /// Its texts.
    pub metadata: Metadata,
}

/// A file in a form.
#[derive(Debug)]
pub struct FilePart {
    /// The name that its sender gave.
    pub filename: Option<FileName>,
    /// The type that its sender claimed.
    pub content_type: ClaimedType,
    /// Its range in the body.
    pub window: Window,
}

/// A form that was taken in.
#[derive(Debug)]
pub struct TakenForm {
    /// Its files, in their order.
    pub adopted: Vec<Adopted>,
    /// The place of a large form, until its answer has been sent.
    pub place: Option<OwnedSemaphorePermit>,
}

/// A form that was read, and is not promised yet.
#[derive(Debug)]
struct ReadForm {
    subject: String,
    body: SpooledBody,
    drafts: Vec<(Window, Draft)>,
    room: Reservation,
    keyed: Option<Keyed>,
}

/// The places for reading forms.
#[derive(Debug)]
pub(super) struct FormPlaces {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Default for FormPlaces {
    fn default() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL_AT_ONCE)),
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
        }
    }
}

impl FormPlaces {
    /// Waits for a place, in the order of arrival.
    pub(super) async fn take(&self, size: Size) -> Result<OwnedSemaphorePermit, IntakeError> {
        let places = match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        };
        let place = Arc::clone(places).acquire_owned().await;
        // The semaphores are never closed.
        place.map_err(|_| IntakeError::Lost)
    }
}

/// The body that was compared with the digests in its head: a form that turns out to be large is
/// claimed twice, and hashed once.
#[derive(Debug, Default)]
struct Checked(Option<(SystemTime, u64)>);

impl Checked {
    /// Returns whether the head states any digest of this body. All stated digests are right then.
    fn is_stated(
        &mut self,
        digests: &StatedDigests,
        body: &SpooledBody,
    ) -> Result<bool, IntakeError> {
        let this = Some((body.modified(), body.length()));
        if self.0 != this && digests.check(body.into())?.is_some() {
            self.0 = this;
        }
        Ok(self.0 == this)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

impl Intake {
    /// Takes a form in. Runs to its end, even if the caller stops waiting. `read` reads the form in
    /// a body and adds the form's texts to the given metadata; it returns `None` if the form has
    /// more files than the given number. It is called a second time for a large form.
    ///
    /// # Errors
    /// When nothing of it is kept.
    pub async fn take_form<E, R>(
        self: &Arc<Self>,
        upload: FormUpload,
        read: R,
    ) -> Result<TakenForm, E>
    where
        E: From<IntakeError> + Send + 'static,
        R: Fn(&SpooledBody, &Metadata, usize) -> Result<Option<FormContent>, E> + Send + 'static,
    {
        let taken = spawn(Arc::clone(self).take_form_in_its_place(upload, read));
        taken.await.map_err(IntakeError::from)?
    }

    async fn take_form_in_its_place<E, R>(
        self: Arc<Self>,
        upload: FormUpload,
        read: R,
    ) -> Result<TakenForm, E>
    where
        E: From<IntakeError> + Send + 'static,
        R: Fn(&SpooledBody, &Metadata, usize) -> Result<Option<FormContent>, E> + Send + 'static,
    {
        let mut reading = (upload, Checked::default(), read);
        for size in [Size::Small, Size::Large] {
            let place = self.places.take(size).await?;
            let intake = Arc::clone(&self);
            let done = spawn_blocking(move || {
                let (upload, checked, read) = &mut reading;
                let form = intake.read_form(upload, checked, read, size)?;
                Ok::<_, E>((form, reading))
            });
            let form;
            (form, reading) = done.await.map_err(IntakeError::from)??;
            if let Some(form) = form {
                return Ok(TakenForm {
                    adopted: self.adopt_form(form).await?,
                    place: (size == Size::Large).then_some(place),
                });
            }
        }
        Err(IntakeError::Lost.into())
    }

    /// Step 4 of a form: adopts all its files, or none.
    async fn adopt_form(self: Arc<Self>, form: ReadForm) -> Result<Vec<Adopted>, IntakeError> {
        let running = match self.claim_key(form.keyed).await?.of_files()? {
            Break(answer) => return Ok(answer),
            Continue(running) => running,
        };
        spawn_blocking(move || {
            let adopted = self.adopt_parts(form)?;
            self.journal.carried_out(running);
            Ok(adopted)
        })
        .await?
    }

    /// Reads a form, and reserves quota for it; `None` if it is too large for its place. Blocks on the
    /// disk.
    fn read_form<E: From<IntakeError>>(
        &self,
        FormUpload {
            sender,
            head,
            broken,
        }: &FormUpload,
        checked: &mut Checked,
        read: &impl Fn(&SpooledBody, &Metadata, usize) -> Result<Option<FormContent>, E>,
        size: Size,
    ) -> Result<Option<ReadForm>, E> {
        let body = self.claim(head)?.ok_or(IntakeError::NoFile)?;
        let received = Received::from(&body);
        let is_stated = checked.is_stated(&head.digests, &body)?;
        let (most_files, most_text) = match size {
            Size::Small => (MOST_FILES_OF_SMALL, MOST_TEXT_OF_SMALL),
            Size::Large => (MOST_PARTS, MOST_TEXT),
        };
        let Some(form) = read(&body, &head.metadata, most_files)? else {
            return Ok(None);
        };
        let metadata = sender.forced(form.metadata)?;
        let files = u64::try_from(form.files.len()).unwrap_or(u64::MAX);
        let text = metadata.weight().saturating_mul(files);
        if text > MOST_TEXT {
            return Err(IntakeError::TooMuchMetadata.into());
        } else if text > most_text {
            return Ok(None);
        }
        let sub = sender.sub();
        let drafts = form.files.into_iter().map(|file| {
            let (claimed, window) = (file.content_type, file.window);
            let mut metadata = metadata.clone();
            let content_type = file_type::decide(sender, claimed, received, window, &mut metadata)?;
            // The stated digest is that of the whole form, boundaries included. The commit needs
            // the digests of the files, so their bytes are hashed once more.
            let stated = is_stated.then(|| digest::of_part(received, window));
            let stated = stated.transpose()?;
            let draft = Draft {
                content_type,
                filename: file.filename,
                metadata,
                request: None,
                subject: sender.number(),
                sub: sub.clone(),
                stated,
                sha256: stated,
            };
            Ok((window, draft))
        });
        let drafts = drafts.collect::<Result<Vec<_>, IntakeError>>()?;
        Ok(Some(self.recognise(
            sender,
            (head, broken.as_ref()),
            body,
            drafts,
        )?))
    }

    /// Step 3 of a form.
    fn recognise(
        &self,
        sender: &Sender,
        (head, broken): (&Head, Option<&NewUpload>),
        body: SpooledBody,
        mut drafts: Vec<(Window, Draft)>,
    ) -> Result<ReadForm, IntakeError> {
        let records = drafts
            .iter()
            .map(|(_, draft)| record_bytes(&draft.metadata));
        let records = records.sum();
        self.check_length(sender, body.length())?;
        let key = head.request_key(sender);
        let received = Received::from(&body);
        let request = fingerprint::of(key, sender, Shape::Form, received, &mut drafts)?;
        let keyed = Keyed::of(head.upload, request, request_of(broken)?);
        // The parts keep the whole body on the disk.
        let room = self.reserve_beside(sender, body.new_bytes(), records, keyed)?;
        for (_, draft) in &mut drafts {
            draft.request = request;
        }
        Ok(ReadForm {
            subject: sender.subject.clone(),
            body,
            drafts,
            room,
            keyed,
        })
    }

    /// Blocks on the disk.
    fn adopt_parts(&self, form: ReadForm) -> Result<Vec<Adopted>, IntakeError> {
        let ReadForm {
            subject,
            body,
            drafts,
            mut room,
            ..
        } = form;
        // The first file was counted when the form was admitted.
        self.quotas.count_more(&subject, drafts.len() - 1)?;
        let adopted = self.journal.adopt_form(&body, drafts)?;
        let promised = adopted.iter().map(|adopted| Promised {
            adopted,
            is_whole_body: false,
            content: None,
        });
        self.enter(&mut room, promised.collect());
        Ok(adopted)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::spool::Spool;

    #[test]
    fn a_form_that_is_claimed_twice_is_held_against_its_digests_once() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("0000000001");
        let write = |text: &str, modified| {
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(modified).unwrap();
        };
        let spool = Spool::open(scratch.path()).unwrap();
        let digests = StatedDigests {
            sha256: vec![Sha256::digest("a form").to_vec()],
            ..StatedDigests::default()
        };
        let (first, second) = (SystemTime::UNIX_EPOCH, SystemTime::now());
        write("a form", first);
        let mut checked = Checked::default();
        for _ in 0..2 {
            let body = spool.claim(b"0000000001", None).unwrap();
            assert!(checked.is_stated(&digests, &body).unwrap());
            // It has the same length and time, so nothing tells them apart.
            write("b form", first);
        }
        write("b form", second);
        let body = spool.claim(b"0000000001", None).unwrap();
        checked.is_stated(&digests, &body).unwrap_err();
        let none = StatedDigests::default();
        assert!(!Checked::default().is_stated(&none, &body).unwrap());
    }
}
