//! Looks up the answers of keys.

use std::collections::BTreeSet;
use std::fmt;

use super::Keys;
use super::slot::{Files, Part};
use super::tree::Key;
use crate::file::FileId;
use crate::journal::index::Place;
use crate::journal::record::{Answered, LogTime, Subject};
use crate::store::Sha256;

/// A file that answered a request, and the place of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The file.
    pub id: FileId,
    /// The base of answers that contains it. It counts only if no entry has the id any more; otherwise
    /// the frames of the entry count.
    pub retained: Option<Place>,
}

/// The place of an answer in the order of senders and ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerPlace(Key);

/// The character between the parts of a place.
const BETWEEN: char = '-';

impl fmt::Display for AnswerPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sender, (at, first)) = self.0;
        write!(formatter, "{}{BETWEEN}{}{BETWEEN}", sender.0, at.0)?;
        first.map_or(Ok(()), |first| first.fmt(formatter))
    }
}

impl AnswerPlace {
    /// Reads what `Display` writes; `None` if it is anything else.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, BETWEEN);
        let sender = Subject(parts.next()?.parse().ok()?);
        let at = LogTime(parts.next()?.parse().ok()?);
        let first = match parts.next()? {
            "" => None,
            id => Some(id.parse().ok()?),
        };
        Some(Self((sender, (at, first))))
    }
}

impl Keys {
    /// The places of all answers whose entries have left.
    pub fn places(&self) -> BTreeSet<Place> {
        let slots = (0..).map_while(|number| self.slots.get(number));
        let places = slots.flat_map(|slot| slot.files.parts().iter().filter_map(Part::place));
        places.collect()
    }

    /// The files that answered a key, in the order of the answer. To be called by the holder of the
    /// claim, and under the lock of the index, so that no entry leaves in between.
    pub fn find(&mut self, key: Sha256, now: LogTime) -> Option<Vec<Known>> {
        self.forget_old(now);
        known(&self.slots.get(self.number(self.tag(key))?)?.files)
    }

    /// Whether some files of another node's answer to a key are here, and the others are still to come. `node` is the
    /// number of this node, whose own answers come whole.
    pub fn is_coming(&self, key: Sha256, node: u16) -> bool {
        let slot = self.number(self.tag(key));
        let slot = slot.and_then(|number| self.slots.get(number));
        slot.is_some_and(|slot| {
            let first = slot.files.first();
            known(&slot.files).is_none() && first.is_some_and(|first| first.node() != node)
        })
    }

    /// The time of the answer to a key, if it is the one with this first file. It may have come in part.
    pub fn answered_at(&self, key: Sha256, first: FileId) -> Option<LogTime> {
        let slot = self.slots.get(self.number(self.tag(key))?)?;
        (slot.files.first() == Some(first)).then_some(slot.at)
    }

    /// Whether the answer of an entry must be retained before the entry leaves: it is remembered, and
    /// no base of answers has it in its present state.
    pub fn needs(&self, answered: &Answered) -> bool {
        self.part(answered).is_some() && self.lacks(answered)
    }

    /// Whether no base of answers has this answer in its present state.
    pub fn lacks(&self, answered: &Answered) -> bool {
        self.part(answered).is_none_or(|part| {
            part.place().is_none() || (answered.is_deleted && !part.is_deleted())
        })
    }

    /// The next answer behind a place in the order of senders and ages; `None` is before all. Answers that are
    /// not whole are left out. An answer that comes meanwhile may be in front of the place.
    pub fn next(&self, mut behind: Option<AnswerPlace>) -> Option<(AnswerPlace, Vec<Known>)> {
        loop {
            let (key, number) = self
                .senders
                .next(&self.slots, behind.map(|place| place.0))?;
            behind = Some(AnswerPlace(key));
            if let Some(files) = known(&self.slots.get(number)?.files) {
                return Some((AnswerPlace(key), files));
            }
        }
    }
}

fn known(files: &Files) -> Option<Vec<Known>> {
    let known = files.parts().iter().map(|part| {
        Some(Known {
            id: part.id()?,
            retained: part.place(),
        })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is_a_place() {
        let id = FileId::from_bytes([7; FileId::BYTES]);
        for first in [None, Some(id)] {
            let place = AnswerPlace((Subject(u64::MAX), (LogTime(5), first)));
            assert_eq!(AnswerPlace::read(&place.to_string()), Some(place));
        }
        for text in ["", "begin", "end", "1-2", "1-2-x", "x-2-", "1-x-", "1-2--"] {
            assert_eq!(AnswerPlace::read(text), None, "{text}");
        }
    }
}
