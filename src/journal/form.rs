//! Adopting a form: one spool file, several entries, all promised or none.

use std::io;

use super::adopt::{Adopted, Draft};
use super::error::at;
use super::index::{Coming, Totals};
use super::memory::News;
use super::place::Placed;
use super::record::{Body, Form, LogTime, Part};
use super::step::{LaidOut, StepError};
use super::{AdoptError, Journal, point};
use crate::file::{FileId, UnixMillis, Window};
use crate::spool::{Received, SpooledBody};
use crate::store::Sha256;

impl Journal {
    /// Adopts parts of a spool file, each as an entry of its own. A single part is adopted like
    /// [`Journal::adopt`] does. The bodies of a small form are inline in its frame. Otherwise each body
    /// is a further name of the same spool file, so no byte is written again.
    ///
    /// 1. Admission of every part, and of the whole body.
    /// 2. The body gets its names among the bodies.
    /// 3. The file is fsynced, and so is the directory of bodies.
    /// 4. One frame holds all parts, and states once what they have in common. It is decided and
    ///    queued; its group is synced: this is the promise.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 to 3 | perhaps bodies without a frame | removes them |
    /// | 4 | the frame, whole or not at all | keeps all entries, or removes their bodies |
    ///
    /// Once begun it runs to its end.
    ///
    /// # Errors
    /// [`AdoptError`]; then nothing of the form is kept.
    pub fn adopt_form(
        &self,
        body: &SpooledBody,
        mut parts: Vec<(Window, Draft)>,
    ) -> Result<Vec<Adopted>, AdoptError> {
        if parts.len() == 1
            && let Some((window, draft)) = parts.pop()
        {
            let coming = Totals {
                bytes: window.length.min(body.new_bytes()),
                ..draft.totals(window.length)
            };
            let _reserved = self.admit(coming)?;
            return Ok(vec![self.adopt_linked(body.into(), window, draft)?]);
        }
        let mut coming = Totals::default();
        for (window, draft) in &parts {
            coming += draft.totals(window.length);
        }
        coming.bytes = body.new_bytes();
        let _reserved = self.admit(coming)?; // 1
        let mut placed = Vec::new();
        let known: Vec<_> = parts.iter().map(|(_, draft)| draft.sha256).collect();
        let form = if self.is_small(body.length()) {
            body.mark_taken().map_err(at("mark the spool file"))?;
            let ids = parts.iter().map(|_| self.free_id()).collect();
            form(self.now(), body, ids, parts, |_| Body::Inline)
        } else {
            for _ in &parts {
                placed.push(self.place_body(Received::from(body))?); // 2
            }
            point!("form.bodies-placed");
            if let Some(last) = placed.last() {
                self.sync_placed(last)?; // 3
            }
            let ids = placed.iter().map(|placed| placed.id).collect();
            form(self.now(), body, ids, parts, |window| Body::Linked {
                offset: window.offset,
            })
        };
        let is_inline = placed.is_empty();
        let (form, windows) = form;
        self.promise_form(&form, &known, &mut placed, |into| {
            if is_inline {
                read_windows(body, &windows, into)
            } else {
                Ok(())
            }
        }) // 4
    }

    /// Does step 4 of a form and of a message. `fill` writes all inline bodies, one behind the
    /// other.
    pub(super) fn promise_form(
        &self,
        form: &Form,
        known: &[Option<Sha256>],
        placed: &mut [Placed<'_>],
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> Result<Vec<Adopted>, AdoptError> {
        let coming =
            Coming::form(form).map_err(|err| at("lay the form out")(io::Error::other(err)))?;
        let laid_out = LaidOut::new(coming.frame(), known, fill).map_err(at("read the body"))?;
        placed.iter_mut().for_each(Placed::spoken_of);
        let news = News::Learn(
            form.files()
                .filter_map(|(id, file)| Some((id, file.answer?)))
                .collect(),
        );
        let landing = self.decide(Some(laid_out), Some(news), |index, tail| {
            index.come(&coming, tail)
        })?;
        landing.land().map_err(StepError::from)?;
        placed.iter_mut().for_each(Placed::keep);
        point!("form.promised");
        let files = form.files();
        Ok(files
            .map(|(id, file)| Adopted::new(id, file.meta))
            .collect())
    }
}

/// Reads parts of a body, one behind the other.
pub(super) fn read_windows(
    body: &SpooledBody,
    windows: &[Window],
    mut into: &mut [u8],
) -> io::Result<()> {
    for window in windows {
        let length = usize::try_from(window.length).map_err(io::Error::other)?;
        let split = into.split_at_mut_checked(length);
        let (one, after) = split.ok_or(io::ErrorKind::InvalidInput)?;
        Received::from(body).read_exact_at(one, window.offset)?;
        into = after;
    }
    Ok(())
}

/// The form for its frame, and the ranges of its parts in the body.
fn form(
    now: LogTime,
    body: &SpooledBody,
    ids: Vec<FileId>,
    parts: Vec<(Window, Draft)>,
    place: impl Fn(Window) -> Body,
) -> (Form, Vec<Window>) {
    let first = parts.first().map(|(_, draft)| draft.clone());
    let windows = parts.iter().map(|(window, _)| *window).collect();
    let metadata = first.as_ref().map(|first| first.metadata.clone());
    let metadata = metadata.unwrap_or_default();
    let parts = ids.into_iter().zip(parts);
    let parts = parts.map(|(id, (window, draft))| Part {
        id,
        filename: draft.name_of(id),
        content_type: draft.content_type,
        length: window.length,
        body: place(window),
        stated: draft.stated,
        metadata: Some(draft.metadata).filter(|own| *own != metadata),
    });
    let parts = parts.collect();
    let form = Form {
        metadata,
        uploaded: UnixMillis::from_system_time(body.modified()),
        subject: first
            .as_ref()
            .map(|first| first.subject)
            .unwrap_or_default(),
        request: first
            .as_ref()
            .and_then(|first| Some(first.request?.answered(now))),
        sub: first.and_then(|first| first.sub),
        message: None,
        parts,
    };
    (form, windows)
}
