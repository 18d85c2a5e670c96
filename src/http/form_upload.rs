//! POST of a form: from a head and a body to promises, all of them or none.
//!
//! The memory that a form takes follows from its files and from the texts that each of them keeps. Small
//! forms are read side by side. One that turns out to be large leaves its place, waits for one of a few
//! others, and is read again there: so the memory of all forms together is bounded.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::Caller;
use super::created;
use super::idempotency::{Course, Shape, subject_of};
use super::prefer::Preferences;
use super::upload::{Head, enter, forced, type_of};
use super::{Node, Problem, digest, form, whole};
use crate::form::MOST_PARTS;
use crate::journal::{Adopted, Draft, record_bytes};
use crate::spool::Received;

/// Small forms that are read and adopted at once.
const SMALL_AT_ONCE: usize = 32;

/// The same of large ones.
const LARGE_AT_ONCE: usize = 2;

/// Files that a small form has at most.
const MOST_FILES_OF_SMALL: usize = 64;

/// The most that the texts of a small form weigh, counted for each of its files.
const MOST_TEXT_OF_SMALL: u64 = 128 * 1024;

/// The same of any form.
const MOST_TEXT: u64 = 2 * 1024 * 1024;

/// The places at which forms are read.
#[derive(Debug)]
pub struct FormPlaces {
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
    /// Waits for a place, first come, first served.
    async fn take(&self, size: Size) -> Result<OwnedSemaphorePermit, Problem> {
        let places = match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        };
        let place = Arc::clone(places).acquire_owned().await;
        // They are never closed.
        place.map_err(|_| Problem::internal())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

/// A form that is being uploaded, and by whom.
pub(super) struct FormUpload {
    pub(super) node: Arc<Node>,
    pub(super) caller: Caller,
    pub(super) head: Head,
    pub(super) boundary: Vec<u8>,
}

/// Takes a form over to its end, and answers it. A large one is answered at once, whatever its sender
/// prefers: what it is answered with is not kept in memory for so long.
pub(super) async fn take(
    upload: FormUpload,
    preferences: Preferences,
) -> Result<HttpResponse, Problem> {
    let node = Arc::clone(&upload.node);
    let place = node.form_places.take(Size::Small).await?;
    let small = web::block(move || {
        // Kept to the end, whether or not somebody still waits.
        let _place = place;
        let adopted = upload.adopt(Size::Small)?;
        Ok::<_, Problem>((adopted, upload))
    });
    let (adopted, upload) = small.await??;
    if let Some(adopted) = adopted {
        return created::answer(node, preferences, adopted, Shape::Form).await;
    }
    let place = node.form_places.take(Size::Large).await?;
    let large = web::block(move || Ok::<_, Problem>((upload.adopt(Size::Large)?, place)));
    let (adopted, _place) = large.await??;
    let adopted = adopted.ok_or_else(Problem::internal)?;
    let preferences = Preferences {
        wait_seconds: None,
        ..preferences
    };
    created::answer(node, preferences, adopted, Shape::Form).await
}

impl FormUpload {
    /// Adopts all files of the form, or none; `None` if it is larger than it should be. Blocks on the
    /// disk.
    fn adopt(&self, size: Size) -> Result<Option<Vec<Adopted>>, Problem> {
        let Self {
            node, caller, head, ..
        } = self;
        let body = head.claim(node)?.ok_or_else(Problem::no_file_in_form)?;
        let received = Received::from(&body);
        let is_checked = head.digests.check(received)?.is_some();
        let (most_files, most_text) = match size {
            Size::Small => (MOST_FILES_OF_SMALL, MOST_TEXT_OF_SMALL),
            Size::Large => (MOST_PARTS, MOST_TEXT),
        };
        let read = form::read(&body, &self.boundary, &head.metadata, most_files)?;
        let Some(form) = read else {
            return Ok(None);
        };
        whole::check_fields(form.metadata.pairs())?;
        let metadata = forced(caller, form.metadata)?;
        let files = u64::try_from(form.files.len()).unwrap_or(u64::MAX);
        let text = metadata.weight().saturating_mul(files);
        if text > MOST_TEXT {
            return Err(Problem::too_much_metadata_for_so_many());
        } else if text > most_text {
            return Ok(None);
        }
        let drafts = form.files.into_iter().map(|file| {
            let mut metadata = metadata.clone();
            let claimed = file.content_type;
            let draft = Draft {
                content_type: type_of(caller, claimed, received, file.window, &mut metadata)?,
                filename: file.filename,
                metadata,
                request: None,
                subject: subject_of(caller),
                stated: is_checked
                    .then(|| digest::of_part(received, file.window))
                    .transpose()?,
            };
            Ok((file.window, draft))
        });
        let mut drafts = drafts.collect::<Result<Vec<_>, Problem>>()?;
        let records = drafts
            .iter()
            .map(|(_, draft)| record_bytes(&draft.metadata));
        // The parts keep the whole body on the disk.
        let mut room = caller.check_body(node, body.length(), records.sum())?;
        let request = head.key.request(caller, Shape::Form, received, &drafts)?;
        for (_, draft) in &mut drafts {
            draft.request = request;
        }
        let _running = match Course::of(&node.journal, request)? {
            Course::Answered(answer) => return Ok(Some(answer)),
            Course::Adopt(running) => running,
        };
        // The first was counted when the form was let in.
        caller.count_more(node, drafts.len() - 1)?;
        let adopted = node.journal.adopt_form(&body, drafts)?;
        for part in &adopted {
            node.delivery.learn(part, false, None);
        }
        enter(node, &mut room, &adopted);
        Ok(Some(adopted))
    }
}
