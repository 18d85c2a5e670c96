//! Adopting a form: one spool file, several entries, all promised or none.

use std::fs::File;

use super::adopt::{Adopted, Draft, Placed, at, record_bytes};
use super::answers::Seat;
use super::entry::{check_line, checked_line};
use super::error::AdoptError;
use super::layout::Room;
use super::rooms::{Place, Totals};
use super::volume::if_there;
use super::{Journal, point};
use crate::file::{FileId, Window};
use crate::spool::SpooledBody;

impl Journal {
    /// Takes parts of a spool file over, each as an entry of its own whose body is a name of its
    /// own of that same file: no byte is written again. One part alone needs no more than
    /// [`Journal::adopt`] does.
    ///
    /// 1. Admission of every part, with its record, and of the whole body.
    /// 2. The body gets its names among the bodies.
    /// 3. A list of the ids is written into `tmp`, and fsynced with its name: from now on, a start
    ///    that finds the list removes everything that it names.
    /// 4. The records are written into `tmp`.
    /// 5. The body is fsynced, then each record, then the directory of bodies.
    /// 6. The records move into `incoming`, and that is fsynced.
    /// 7. The list is unlinked.
    /// 8. `tmp` is fsynced: this is the promise.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1, 2 | bodies without records, perhaps | removes them |
    /// | 3 to 6 | the list; some of what it names, or all | removes all of it |
    /// | 7 | the list, or all entries | removes all, or keeps all: nobody was told of them |
    /// | 8 | all entries | keeps them |
    ///
    /// Runs to its end once begun.
    ///
    /// # Errors
    /// [`AdoptError`]; nothing of the form is kept then, unless it is the last fsync that fails:
    /// after a restart all of it is there then, or nothing.
    pub fn adopt_form(
        &self,
        body: &SpooledBody,
        mut parts: Vec<(Window, Draft)>,
    ) -> Result<Vec<Adopted>, AdoptError> {
        if parts.len() == 1
            && let Some((window, draft)) = parts.pop()
        {
            let _reserved = self.admit(Totals::of(window.length))?;
            return Ok(vec![self.adopt_admitted(body.into(), window, draft)?]);
        }
        let records = parts.iter().map(|(_, draft)| record_bytes(&draft.metadata));
        let _reserved = self.admit(Totals {
            entries: u64::try_from(parts.len()).unwrap_or(u64::MAX),
            bytes: body.length(),
            record_bytes: records.sum(),
        })?; // 1
        let mut form = FormInWriting {
            journal: self,
            ids: Vec::new(),
            is_complete: false,
        };
        self.promise_form(body, parts, &mut form)
    }

    fn promise_form(
        &self,
        body: &SpooledBody,
        parts: Vec<(Window, Draft)>,
        form: &mut FormInWriting<'_>,
    ) -> Result<Vec<Adopted>, AdoptError> {
        let mut placed = Vec::new();
        for _ in &parts {
            let one = self.place_body(body.into())?; // 2
            form.ids.push(one.id);
            placed.push(one);
        }
        point!("form.bodies-placed");
        self.write_list(&form.ids)?; // 3
        point!("form.list-fsynced");
        let records = placed
            .iter()
            .zip(Seat::row(&form.ids))
            .zip(parts)
            .map(|((placed, seat), (window, draft))| {
                Ok(self.write_record(placed, seat, window, draft)?.0)
            })
            .collect::<Result<Vec<_>, AdoptError>>()?; // 4
        point!("form.records-written");
        self.sync_form(body, &placed)?; // 5
        point!("form.all-fsynced");
        for &id in &form.ids {
            self.move_into_incoming(id)?;
            point!("form.record-moved");
        }
        self.sync_directory(&self.layout.room(Room::Incoming))
            .map_err(at("fsync incoming"))?; // 6
        point!("form.moves-fsynced");
        self.disk
            .unlink(&self.layout.form_in_writing(list_id(&form.ids)))
            .map_err(at("unlink the form's list"))?; // 7
        point!("form.list-unlinked");
        form.is_complete = true;
        self.sync_directory(&self.layout.tmp())
            .map_err(at("fsync tmp"))?; // 8
        point!("form.promised");
        // The kernel may have told another thread of a lost page that was ours.
        self.check_poison()?;
        Ok(records
            .into_iter()
            .map(|written| self.enter(written.record, written.bytes, Place::Files))
            .collect())
    }

    /// Step 3.
    fn write_list(&self, ids: &[FileId]) -> Result<(), AdoptError> {
        let path = self.layout.form_in_writing(list_id(ids));
        let list = self
            .disk
            .create(&path, &encode(ids))
            .map_err(at("write the form's list"))?;
        self.sync_file(&list).map_err(at("fsync the form's list"))?;
        self.sync_directory(&self.layout.tmp())
            .map_err(at("fsync tmp"))
    }

    /// Step 5. The records were closed in between: a form may have more than a process may open.
    fn sync_form(&self, body: &SpooledBody, placed: &[Placed<'_>]) -> Result<(), AdoptError> {
        self.sync_file(body.file()).map_err(at("fsync the body"))?;
        for one in placed {
            File::open(self.layout.record_in_writing(one.id))
                .and_then(|record| self.sync_file(&record))
                .map_err(at("fsync a record of a form"))?;
        }
        placed
            .last()
            .map_or(Ok(()), |last| self.sync_bodies(last.changed))
    }

    /// Takes back what a form without a promise left. The list goes last, when nothing that it
    /// names can come back; if that fails it stays for the next start.
    fn undo_form(&self, ids: &[FileId]) {
        let undone = self.remove_from_incoming(ids).and_then(|_| {
            for &id in ids {
                if_there(self.disk.unlink(&self.layout.record_in_writing(id)))?;
                if_there(self.disk.unlink(&self.layout.body(id)))?;
            }
            if_there(self.disk.unlink(&self.layout.form_in_writing(list_id(ids))))
        });
        if let Err(err) = undone {
            log::error!("a form that was not taken cannot be removed: {err}");
        }
    }

    /// Removes the records of a form from `incoming`, for good; how many there were.
    fn remove_from_incoming(&self, ids: &[FileId]) -> std::io::Result<usize> {
        let mut removed = 0;
        for &id in ids {
            let record = self.layout.record(Room::Incoming, id);
            removed += usize::from(if_there(self.disk.unlink(&record))?.is_some());
        }
        if removed > 0 {
            self.sync_directory(&self.layout.room(Room::Incoming))?;
        }
        Ok(removed)
    }

    /// Removes what the list of a form in `tmp` names; how many records there were. A list that is
    /// not whole was never fsynced, and nothing that it names was moved.
    pub(super) fn undo_listed(&self, list: &[u8]) -> std::io::Result<usize> {
        decode(list).map_or(Ok(0), |ids| self.remove_from_incoming(&ids))
    }
}

/// A form on its way, for the case that it does not arrive, by an error or a panic: it is taken back
/// then.
struct FormInWriting<'a> {
    journal: &'a Journal,
    ids: Vec<FileId>,
    /// Whether all of it is in `incoming` and its list is gone: to be kept as a whole.
    is_complete: bool,
}

impl Drop for FormInWriting<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            self.journal.undo_form(&self.ids);
        }
    }
}

/// The id that a form's list is named by.
fn list_id(ids: &[FileId]) -> FileId {
    ids.first().copied().unwrap_or(FileId::from_bytes([0; 12]))
}

fn encode(ids: &[FileId]) -> Vec<u8> {
    let texts: Vec<_> = ids.iter().map(FileId::to_string).collect();
    let line = texts.join(" ");
    let check = check_line(line.as_bytes());
    [line, check].concat().into_bytes()
}

/// `None` for anything but what [`encode`] wrote.
fn decode(list: &[u8]) -> Option<Vec<FileId>> {
    let line = str::from_utf8(checked_line(list).ok()?).ok()?;
    line.split(' ').map(|text| text.parse().ok()).collect()
}
