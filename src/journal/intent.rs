//! Intents. A message's links are made before it is promised, and are undone if it never is.

use std::sync::Arc;

use super::index::{Coming, Refused, Totals};
use super::record::{Entry, Intent};
use super::step::{LaidOut, StepError};
use super::{AdoptError, Announcement, Journal, JournalError, Work, point};
use crate::file::FileId;

/// The approximate bytes of an intent's record, without its files.
const RECORD_BYTES: u64 = 128;

/// A message that is having its links made. If this is dropped without a promise, the links are
/// undone.
#[derive(Debug)]
#[must_use = "the links are undone when it is dropped"]
pub struct Intention {
    journal: Arc<Journal>,
    id: FileId,
}

impl Intention {
    /// Returns the id that the message will have.
    pub fn id(&self) -> FileId {
        self.id
    }
}

impl Drop for Intention {
    fn drop(&mut self) {
        self.journal.abandon(self.id);
    }
}

impl Journal {
    /// Records the files that are about to be linked to a new message.
    ///
    /// 1. Admission.
    /// 2. The intent is decided and queued; its group is synced. Only now links may be made.
    /// 3. The links are made, each by the place that has the file.
    /// 4. [`Journal::adopt_message`] promises the message under this id: its base takes the intent's place.
    /// 5. Or no promise comes: a promise that may be in the log is overwritten, and the work is
    ///    announced ([`Work::Undo`]). The links are undone; `gone` is queued and synced
    ///    ([`Journal::undone`]).
    ///
    /// | cut after | leaves | the next start |
    /// |---|---|---|
    /// | 1 | nothing, or the intent | undoes it; there is nothing to undo |
    /// | 2, 3 | the intent, perhaps with links | undoes them |
    /// | 4 | the message, or the intent as above | keeps it; or undoes the links |
    /// | 5 | the intent, perhaps with links | undoes them; again does no harm |
    ///
    /// # Errors
    /// [`AdoptError`]; then no link may be made.
    pub fn intend(self: &Arc<Self>, mut files: Vec<FileId>) -> Result<Intention, AdoptError> {
        files.sort_unstable();
        files.dedup();
        let of_file = u64::try_from(FileId::BYTES).unwrap_or_default();
        let bytes = RECORD_BYTES + of_file * u64::try_from(files.len()).unwrap_or(u64::MAX);
        let _reserved = self.admit(Totals {
            record_bytes: bytes,
            ..Totals::of(0)
        })?; // 1
        let id = self.free_id();
        let refused = |err| StepError::Refused(Refused::Record(err));
        let coming = Coming::intent(id, Intent { files }).map_err(refused)?;
        let laid_out = LaidOut::new(coming.frame(), &[], |_| Ok(()));
        let laid_out = laid_out.map_err(super::error::at("lay the intent out"))?;
        // From here on a panic undoes the intent.
        let intention = Intention {
            journal: Arc::clone(self),
            id,
        };
        let landing = self.decide(Some(laid_out), None, |index, tail| {
            index.come(&coming, tail)
        })?;
        landing.land().map_err(StepError::from)?; // 2
        point!("intent.noted");
        Ok(intention)
    }

    /// Step 5.
    fn abandon(&self, id: FileId) {
        let is_open = self.known(id).is_some_and(|known| known.is_linking);
        if !is_open {
            return;
        }
        // A start must not find the refused promise after its links were undone. If the log cannot
        // be trimmed, the next start decides between promise and intent.
        if let Err(err) = self.wal.trim(0) {
            log::error!("{id}: its links are undone by the next start: {err}");
            return;
        }
        point!("intent.overtaken");
        if self.state().index.abandon(id) {
            self.memory.announce(Announcement::ToClear(id));
        }
    }

    /// Returns the links of an intent that must be undone.
    pub(super) fn open_intent(&self, id: FileId) -> Result<Work, JournalError> {
        let found = match self.read(id) {
            Err(JournalError::Absent(_)) => return Ok(Work::Nothing),
            found => found?,
        };
        Ok(match found.reading.entry() {
            Entry::Intent(intent) if !found.known.is_linking => Work::Undo {
                files: intent.files.clone(),
            },
            Entry::Intent(_) | Entry::File(_) | Entry::Upload(_) | Entry::Tombstone(_) => {
                Work::Nothing
            }
        })
    }

    /// Records that the links of an intent are undone. Nothing is left of the intent.
    ///
    /// # Errors
    /// The disk's error; then the links are undone once more.
    pub fn undone(&self, id: FileId) -> Result<(), JournalError> {
        match self.step(|index, tail| index.gone(id, tail)) {
            Ok(()) | Err(StepError::Refused(Refused::Absent)) => {}
            Err(err) => return Err(err.of(id, "note that links are undone")),
        }
        self.state().cleared.remove(&id);
        point!("intent.undone");
        Ok(())
    }
}
