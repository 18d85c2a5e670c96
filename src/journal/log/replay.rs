//! What a start finds in the log.
//!
//! | found | left by a cut | becomes |
//! |---|---|---|
//! | a group that is not whole, and none behind it | before its fdatasync | ignored: nothing of it was promised |
//! | a whole group at the end | after its fdatasync, or before | written anew and fsynced, then believed |
//! | a frame of an entry that has files | while it was unpacked, or before the note | the files are kept, the frame is noted as gone |
//! | a frame that is noted as gone | after the note | nothing |
//! | any other frame of an upload | after the promise | an entry in `incoming` |
//! | a group or frame that is not whole, with groups behind it | by no cut: a damaged disk | what can be read is kept; the segment gets a second name in `corrupt` |
//! | a head that is not whole, with groups behind it | by no cut | the same, and nothing can be read |

use std::collections::HashMap;
use std::fs;

use super::super::answers::AnswerTo;
use super::super::entry::Record;
use super::super::error::OpenError;
use super::super::layout::{Layout, Room};
use super::super::point;
use super::super::recovery::{Recovered, names};
use super::super::rooms::{Place, Slot};
use super::frame::{self, Frame, HEAD_BYTES, Position, Seal};
use super::{Journal, Live, lock};
use crate::file::FileId;

/// Where a frame is, and the request that its entry answers.
pub(super) type Found = (Position, Option<Box<AnswerTo>>);

/// What can be read of a segment.
#[derive(Debug, Default)]
pub(in crate::journal) struct Contents {
    /// In their order; `None` stands for a note that the frame of this entry means nothing.
    pub(in crate::journal) frames: Vec<(FileId, Option<Found>)>,
    /// Whether something of it was synced once and cannot be read.
    pub(in crate::journal) is_damaged: bool,
    /// Whether it ends in a group that was not synced, as far as one can tell.
    pub(super) is_torn: bool,
    /// Where the last whole group begins.
    last_group: Option<usize>,
}

impl Contents {
    pub(in crate::journal) fn read(generation: u64, segment: &[u8]) -> Self {
        let mut contents = Self::default();
        let Some(seal) = Seal::read(generation, segment) else {
            // The head was synced before anything came behind it.
            contents.is_damaged = segment.len() > HEAD_BYTES;
            return contents;
        };
        let mut place = HEAD_BYTES;
        while place < segment.len() {
            let group = seal.group(place, segment);
            let begin = place + frame::GROUP_HEAD_BYTES;
            let end = group.as_ref().map_or(begin, |group| group.end);
            let (frames, is_whole) = read_frames(generation, begin, end, segment);
            if group.is_some() && is_whole {
                contents.frames.extend(frames);
                contents.last_group = Some(place);
                place = end;
                continue;
            }
            // Each group was synced before the next was written.
            let Some(next) = seal.next_group(place, segment) else {
                let rest = segment.get(place..).unwrap_or_default();
                contents.is_torn = rest.iter().any(|&byte| byte != 0);
                break;
            };
            contents.is_damaged = true;
            contents.frames.extend(frames);
            place = next;
        }
        contents
    }
}

/// The frames from `place` on, up to the first that is not whole.
fn read_frames(
    generation: u64,
    mut place: usize,
    end: usize,
    segment: &[u8],
) -> (Vec<(FileId, Option<Found>)>, bool) {
    let mut frames = Vec::new();
    while place < end {
        let Some((frame, length)) = segment.get(place..end).and_then(frame::decode) else {
            return (frames, false);
        };
        match frame {
            Frame::Gone(id) => frames.push((id, None)),
            Frame::File {
                id, record, body, ..
            } => {
                let position = frame::position(generation, place, record, body);
                let (Some(position), Ok(record)) = (position, Record::decode(id, record)) else {
                    return (frames, false);
                };
                frames.push((id, Some((position, record.answer.map(Box::new)))));
            }
        }
        place += length;
    }
    (frames, place == end)
}

impl Journal {
    /// Brings the entries of the log back into the index, which knows those with files already.
    pub(in crate::journal) fn replay(&self, recovered: &mut Recovered) -> Result<(), OpenError> {
        let names = names(&self.layout.log())?;
        let mut generations: Vec<_> = names
            .iter()
            .filter_map(|name| Layout::generation(name))
            .collect();
        generations.sort_unstable();
        let last = generations.last().copied();
        let mut entries = HashMap::new();
        for generation in generations {
            let path = self.layout.segment(generation);
            let segment = fs::read(&path).map_err(OpenError::at(&path))?;
            lock(&self.log.live).insert(generation, Live::default());
            let contents = Contents::read(generation, &segment);
            if contents.is_damaged {
                log::error!("{}: damaged; kept in corrupt too", path.display());
                self.keep_segment(generation)
                    .map_err(OpenError::at(&path))?;
                recovered.corrupt += 1;
            }
            if contents.is_torn {
                log::warn!("{}: ends in a torn group, ignored", path.display());
            }
            if last == Some(generation) {
                // With what was written behind it by the same call.
                let begin = contents.last_group.unwrap_or(segment.len());
                let group = segment.get(begin..).unwrap_or_default();
                let place = u64::try_from(begin).unwrap_or(u64::MAX);
                self.write_anew(&path, group, place)
                    .map_err(OpenError::at(&path))?;
                point!("open.group-fsynced");
            }
            for (id, found) in contents.frames {
                match found {
                    Some(found) => entries.insert(id, found),
                    None => entries.remove(&id),
                };
            }
        }
        for (id, (position, answer)) in entries {
            self.replay_entry(id, position, answer.as_deref());
        }
        Ok(())
    }

    fn replay_entry(&self, id: FileId, position: Position, answer: Option<&AnswerTo>) {
        let mut index = self.index();
        if index.get(id).is_some() {
            self.log.note_gone(id);
            return;
        }
        let slot = Slot {
            room: Room::Incoming,
            length: position.body().length,
            record_bytes: position.record().length,
            is_begun: true,
            is_keyed: answer.is_some(),
            place: Place::Log(position),
        };
        index.insert(id, slot);
        drop(index);
        self.learn(id, answer);
        if let Some(live) = lock(&self.log.live).get_mut(&position.generation) {
            live.entries += 1;
        }
    }
}
