//! The answers that keys were given.

use super::Keys;
use crate::file::FileId;
use crate::journal::index::Place;
use crate::journal::record::LogTime;
use crate::store::Sha256;

/// A file that answered a request, and where the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The file.
    pub id: FileId,
    /// The base of answers that has it. It counts if no entry has the id any more; else the frames of the
    /// entry do.
    pub retained: Option<Place>,
}

impl Keys {
    /// The files that answered a key, in the order of the answer. To be asked by the one who has the
    /// claim, and within the lock of the index, so that an entry does not leave in between.
    pub fn find(&mut self, key: Sha256, now: LogTime) -> Option<Vec<Known>> {
        self.forget_old(now);
        let slot = self.slots.get(self.number(self.tag(key))?)?;
        let parts = slot.files.parts().iter();
        let known = parts.map(|part| {
            Some(Known {
                id: part.id()?,
                retained: part.place(),
            })
        });
        known.collect()
    }
}
