//! Adopting into the log.

use std::io;
use std::time::SystemTime;

use super::super::admission::Free;
use super::super::adopt::{Adopted, Draft, at};
use super::super::answers::Seat;
use super::super::entry::Record;
use super::super::error::AdoptError;
use super::super::rooms::{Place, Totals};
use super::queue::{Queued, Waiter};
use super::{Journal, Position, frame};
use crate::file::{FileId, Window};
use crate::spool::Received;

/// An upload in the form that the log has it in.
struct Framed {
    record: Record,
    frame: Vec<u8>,
    /// Where in the frame record and body are.
    position: Position,
}

impl Journal {
    /// Whether an upload of so many bytes goes into the log.
    pub fn is_small(&self, length: u64) -> bool {
        let limit = self.limits.log_body_bytes;
        limit > 0 && length <= limit.into()
    }

    /// Takes a small body over that was admitted; nginx unlinks its spool file, if it has one, as any
    /// other.
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
        body: Received<'_>,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        if let Received::Spooled(body) = body {
            // It gets no second name, by which another claim would know it.
            body.mark_taken().map_err(at("mark the spool file"))?;
        }
        let Framed {
            record,
            frame,
            position,
        } = self.frame(body, draft)?; // 1
        let (generation, place) = self.append(frame, 1).map_err(at("write to the log"))?; // 2, 3
        // The kernel may have told another thread of a lost page that was ours.
        self.check_poison()?;
        let record_bytes = position.record().length;
        let place = Place::Log(position.placed(generation, place));
        Ok(self.enter(record, record_bytes, place))
    }

    /// The same for a small body that came with its head, in steps that wait for nothing: the
    /// waiter is told when it is a promise, or that it is none. `free` was found a moment ago.
    ///
    /// Runs to its end once begun, whether or not somebody still waits for the answer.
    ///
    /// # Errors
    /// [`AdoptError`]; nothing of the upload is kept then, and the waiter is told nothing.
    pub fn adopt_soon(
        &self,
        body: &[u8],
        draft: Draft,
        free: Free,
        waiter: Box<dyn Waiter>,
    ) -> Result<(), AdoptError> {
        let body = Received::Passed(body);
        let reserved = self.admit_into(free, Totals::of(body.length()))?;
        let framed = self.frame(body, draft)?;
        let queued = Queued {
            record: framed.record,
            position: framed.position,
            waiter,
        };
        self.enqueue(framed.frame, queued)?;
        reserved.leave();
        Ok(())
    }

    /// Step 1.
    fn frame(&self, body: Received<'_>, draft: Draft) -> Result<Framed, AdoptError> {
        let id = self.free_id();
        let window = Window::whole(body.length());
        let record = draft.record(Seat::alone(id), id, window, body.modified());
        let encode = || -> io::Result<_> {
            let length = u32::try_from(window.length).map_err(io::Error::other)?;
            frame::encode_file(id, &record.encode()?, length, |into| body.read_exact(into))
        };
        let (frame, position) = encode().map_err(at("read the body"))?;
        Ok(Framed {
            record,
            frame,
            position,
        })
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
