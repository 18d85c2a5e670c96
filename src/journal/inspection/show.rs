//! One entry, with all frames that speak of it.

use super::Inspection;
use super::contents::files_of;
use crate::file::FileId;
use crate::journal::record::{Base, Change, Entry, Record, RecordError};
use crate::journal::tag::found_frame;
use crate::journal::wal::{Damage, OpenError, Position, read_only};

/// The log's knowledge of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The frames, in order. A form counts as the base of each of its files.
    pub frames: Vec<(Position, Result<Record, RecordError>)>,
    /// Their fold; `None` if nothing is left of the entry.
    pub entry: Option<Entry>,
    /// The damage in the log: frames of the entry may be lost.
    pub damages: Vec<Damage>,
}

impl Inspection {
    /// Reads all frames of an entry.
    ///
    /// # Errors
    /// When the log has a newer format; the disk's error.
    pub fn show(&self, id: FileId) -> Result<Shown, OpenError> {
        let mut shown = Shown::default();
        let report = read_only(&self.wal(), &mut |found| {
            let frame = found_frame(found);
            let file = files_of(&frame).into_iter().find(|(file, _)| *file == id);
            let record = match file {
                Some((_, file)) => Ok(Record::Base(Base::Entry(Entry::File(file)))),
                None if frame.id != id => return Ok(()),
                None => match frame.read() {
                    Ok(Some(record)) => Ok(record),
                    Ok(None) => return Ok(()),
                    Err(err) => Err(err),
                },
            };
            shown.add(found.position, record);
            Ok(())
        })?;
        shown.damages = report.damages;
        Ok(shown)
    }
}

impl Shown {
    fn add(&mut self, position: Position, record: Result<Record, RecordError>) {
        match &record {
            Ok(Record::Base(Base::Entry(entry))) => self.entry = Some(entry.clone()),
            Ok(Record::Change(Change::Gone)) => self.entry = None,
            Ok(Record::Change(change)) => {
                let folded = self.entry.clone().map(|entry| entry.fold(change));
                if let Some(Ok(folded)) = folded {
                    self.entry = folded;
                }
            }
            Ok(Record::Base(Base::Form(_) | Base::Answers(_))) | Err(_) => {}
        }
        self.frames.push((position, record));
    }
}
