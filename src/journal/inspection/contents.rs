//! The entries of a journal, folded from its log.

use std::ops::ControlFlow;

use super::{Anomaly, Inspection};
use crate::file::FileId;
use crate::journal::index::{Index, Known, Listing, Phase, Place};
use crate::journal::record::{Base, Body, Entry, File, Frame, Record};
use crate::journal::room::{Room, room_of};
use crate::journal::tag::found_frame;
use crate::journal::wal::{FoundFrame, OpenError, Position, read_only};

/// Entries in a page: listing each page visits the whole index.
const PAGE: usize = 65_536;

/// The contents of a journal.
#[derive(Debug)]
pub struct Contents {
    pub(super) index: Index,
    /// The faults of the log.
    pub(super) anomalies: Vec<Anomaly>,
    /// Whether its last group was torn: no caller had been told of it.
    pub is_torn: bool,
    /// Whether it was closed in order.
    pub was_stopped: bool,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryInfo {
    /// Its id.
    pub id: FileId,
    /// Its state in the index.
    pub known: Known,
}

impl EntryInfo {
    /// The name of its state.
    pub fn state(&self) -> &'static str {
        self.room().map_or("growing", Room::name)
    }

    /// Its room; `None` for an upload that is not complete.
    pub fn room(&self) -> Option<Room> {
        room_of(self.known.phase)
    }
}

/// The bytes of a file, as far as its frame has them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bytes<'a> {
    Inline(&'a [u8]),
    /// Inline in the frame at this position, and damaged.
    Damaged(Position),
    /// In files of their own.
    Elsewhere,
}

impl Contents {
    /// An entry; `None` if there is no such entry.
    pub fn entry(&self, id: FileId) -> Option<EntryInfo> {
        let known = self.index.get(id)?;
        Some(EntryInfo { id, known })
    }

    /// The faults of the log.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// All entries, in the order of their ids.
    pub fn entries(&self) -> Vec<EntryInfo> {
        self.some(None, usize::MAX)
    }

    /// The next entries behind an id, in the order of their ids.
    pub fn page(&self, after: Option<FileId>) -> Vec<EntryInfo> {
        self.some(after, PAGE)
    }

    fn some(&self, after: Option<FileId>, most: usize) -> Vec<EntryInfo> {
        let mut listing = Listing::new(&Phase::ALL, after, most);
        let ids = loop {
            if let ControlFlow::Break(ids) = self.index.list(&mut listing) {
                break ids;
            }
        };
        let entries = ids.into_iter().filter_map(|id| self.entry(id));
        entries.collect()
    }
}

impl Inspection {
    /// Reads the whole log.
    ///
    /// # Errors
    /// When the log has a newer format; the disk's error.
    pub fn list(&self) -> Result<Contents, OpenError> {
        let mut index = Index::default();
        let mut anomalies = Vec::new();
        let report = read_only(&self.wal(), &mut |found| {
            let replayed = place(found).map(|place| {
                let segment = found.position.generation;
                index.replay(&found_frame(found), segment, place)
            });
            if let Some(Err(err)) = replayed {
                anomalies.push(Anomaly::Record {
                    id: found.tag.id,
                    err,
                });
            }
            Ok(())
        })?;
        let damages = report.damages.into_iter().map(Anomaly::Damage);
        let lost = index.lost().iter().copied().map(Anomaly::NoBase);
        Ok(Contents {
            anomalies: damages.chain(anomalies).chain(lost).collect(),
            index,
            is_torn: report.is_torn,
            was_stopped: report.was_stopped,
        })
    }

    /// Hands out each file with a base in the log, together with its bytes.
    pub(super) fn each_file(
        &self,
        contents: &Contents,
        sink: &mut dyn FnMut(FileId, Known, &File, Bytes<'_>),
    ) -> Result<(), OpenError> {
        read_only(&self.wal(), &mut |found| {
            let mut bodies = found.bodies.sound();
            for (id, file) in files_of(&found_frame(found)) {
                let bytes = match file.body {
                    Body::Inline => bodies
                        .next()
                        .flatten()
                        .map_or(Bytes::Damaged(found.position), Bytes::Inline),
                    Body::Linked { .. } => Bytes::Elsewhere,
                };
                let known = place(found).and_then(|place| contents.index.based_at(id, place));
                if let Some(known) = known {
                    sink(id, known, &file, bytes);
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Returns the files that have this frame as their base.
pub(super) fn files_of(frame: &Frame) -> Vec<(FileId, File)> {
    match frame.read() {
        Ok(Some(Record::Base(Base::Entry(Entry::File(file))))) => vec![(frame.id, file)],
        Ok(Some(Record::Base(Base::Form(form)))) => form.files().collect(),
        _ => Vec::new(),
    }
}

pub(super) fn place(found: &FoundFrame<'_>) -> Option<Place> {
    Place::new(found.position.number, found.position.place)
}
