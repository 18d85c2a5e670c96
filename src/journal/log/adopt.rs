//! Adopting into the log.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::SystemTime;

use super::super::adopt::{Adopted, Draft, at};
use super::super::answers::Seat;
use super::super::error::AdoptError;
use super::super::index::Place;
use super::{Journal, frame};
use crate::file::{FileId, Window};
use crate::spool::SpooledBody;

impl Journal {
    /// Whether an upload of so many bytes goes into the log.
    pub(in crate::journal) fn is_small(&self, length: u64) -> bool {
        let limit = self.limits.log_body_bytes;
        limit > 0 && length <= limit.into()
    }

    /// Takes a small spool file over that was admitted; nginx unlinks it as it does any other.
    ///
    /// 1. Record and body are put into a frame, in memory.
    /// 2. The frame is written to the log, with all that wait.
    /// 3. The log is fsynced: this is the promise.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 | nothing | nothing to do |
    /// | 2 | a group, torn perhaps | keeps it whole, or ignores all of it: nobody was told of it |
    /// | 3 | the entry | keeps it |
    ///
    /// # Errors
    /// [`AdoptError`]; nothing of the upload is kept then, unless the log can neither be fsynced
    /// nor cut back.
    pub(in crate::journal) fn adopt_into_log(
        &self,
        spooled: Option<&SpooledBody>,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        if let Some(body) = spooled {
            // It gets no second name, by which another claim would know it.
            body.mark_taken().map_err(at("mark the spool file"))?;
        }
        let id = self.free_id();
        let modified = spooled.map_or_else(SystemTime::now, SpooledBody::modified);
        let window = Window::whole(spooled.map_or(0, SpooledBody::length));
        let record = draft.record(Seat::alone(id), id, window, modified);
        let encode = || -> io::Result<_> {
            let length = u32::try_from(window.length).map_err(io::Error::other)?;
            frame::encode_file(id, &record.encode()?, length, |into| match spooled {
                Some(body) => body.file().read_exact_at(into, 0),
                None => Ok(()),
            })
        };
        let (frame, position) = encode().map_err(at("read the body"))?; // 1
        let (generation, place) = self.append(&frame, 1).map_err(at("write to the log"))?; // 2, 3
        // The kernel may have told another thread of a lost page that was ours.
        self.check_poison()?;
        let place = Place::Log(position.placed(generation, place));
        Ok(self.enter(record, place))
    }

    fn free_id(&self) -> FileId {
        loop {
            let id = self.ids.next(SystemTime::now());
            if self.index().get(id).is_none() {
                return id;
            }
        }
    }
}
