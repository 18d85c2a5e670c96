//! Opens a log: everything is read and judged, then the end is made durable, and only then the caller
//! may answer.

use std::io;
use std::sync::{Arc, Mutex};

use super::clock::LogClock;
use super::damage::Damage;
use super::error::OpenError;
use super::files::{Files, read_all};
use super::format::{BLOCK, FIRST_GROUP, HEAD_BYTES};
use super::group::{AFTER_TORN, GroupHead};
use super::judge::{Judged, Sink, Unjudged, judge};
use super::queue::Queue;
use super::scan::Depth;
use super::segment::End;
use super::spares::Spares;
use super::start_number::start_number;
use super::write::Writer;
use super::{Segment, Shape, Wal, lock};
use crate::journal::volume::Volume;

/// The findings of a start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The number of frames that were handed out.
    pub frames: u64,
    /// Damage, to be reported to an admin.
    pub damages: Vec<Damage>,
    /// Whether a group at the end was torn, and so was dropped: no caller had been told of it.
    pub is_torn: bool,
    /// Whether [`Wal::stop`] had closed the log.
    pub was_stopped: bool,
    /// The number of torn groups that earlier starts dropped, as far as the log still shows.
    pub dropped: u64,
}

impl Wal {
    /// Opens the log in a volume, or begins one. Each frame that counts is handed to `sink` in order,
    /// before anything is written.
    ///
    /// 1. The heads of all files are read.
    /// 2. The oldest generation is found.
    /// 3. The living segments are read, and their frames handed out.
    /// 4. The log is judged.
    /// 5. The end is written anew and synced, and so is the directory.
    /// 6. Dead files become spares or are removed.
    /// 7. The last group is confirmed.
    ///
    /// # Errors
    /// A newer format, a frame that the caller refuses, the disk's error. In the first two cases
    /// nothing was written.
    pub fn open(volume: Volume, shape: Shape, sink: Sink<'_>) -> Result<(Self, Report), OpenError> {
        let mut files = Files::list(&volume, shape)?; // 1
        let listed = std::mem::take(&mut files.listed);
        let judged = judge(
            listed,
            Depth::Fronts,
            &mut |number| files.open.get(&number).map_or(Ok(Vec::new()), read_all),
            sink,
        ); // 2 to 4
        let mut judged = judged.map_err(|err| match err {
            Unjudged::Refused(refused) => OpenError::Refused(refused.0),
            Unjudged::Disk(number, err) => OpenError::at(volume.path(number))(err),
        })?;
        let unreadable = files.unreadable.iter().copied();
        let lost = unreadable.map(|number| Damage::File { number });
        judged.damages.splice(0..0, lost);
        let report = judged.report();
        let last_number = files.open.keys().next_back().copied();
        let skipped = u64::try_from(files.unreadable.len()).unwrap_or(u64::MAX);
        let newest = judged.living.last().copied();
        let is_sound = judged
            .newest
            .as_ref()
            .is_some_and(|(_, scan)| scan.damages.is_empty() && files.unreadable.is_empty());
        let end = judged
            .newest
            .as_ref()
            .map_or_else(End::default, |(_, scan)| scan.end);
        let segments = files.segments(&judged.living);
        let mut writer = Writer {
            active: None,
            begun: None,
            // The start writes all of it.
            written: usize::MAX,
            group_bytes: 0,
            end,
            generation: newest.map_or(0, |newest| newest.head.seal.generation),
            number: judged.number,
            oldest: judged.oldest,
            flags: if report.is_torn { AFTER_TORN } else { 0 },
        };
        // An unreadable file may be that of the next segment.
        writer.generation += skipped;
        let start = start_number(judged.start.filter(|_| judged.damages.is_empty()))
            .map_err(OpenError::at(volume.path(0)))?;
        let path = |number: u32| volume.path(number);
        if let (Some(newest), Some(segment)) = (newest, segments.values().next_back()) {
            judged
                .finish(&volume, segment, &mut writer, start)
                .map_err(OpenError::at(path(newest.number)))?; // 5
        }
        volume.sync_names().map_err(OpenError::at(path(0)))?;
        if let Some(segment) = segments.values().next_back() {
            if is_sound {
                writer.active = Some(Arc::clone(segment));
            } else {
                segment.sealed.get_or_init(|| end);
            }
        }
        let wal = Self {
            volume,
            shape,
            clock: LogClock::from(judged.clock_ms),
            start,
            queue: Mutex::new(Queue::default()),
            writer: Mutex::new(writer),
            spares: Mutex::new(Spares::new(last_number.map_or(0, |last| last + 1))),
            segments: Mutex::new(segments),
        };
        let (spares, gone) = files.not_living(&judged.dead);
        let given_up = wal.volume.remove(&gone).and_then(|()| wal.give_up(spares));
        given_up.map_err(OpenError::at(wal.volume.path(0)))?; // 6
        wal.confirm(&mut lock(&wal.writer)); // 7
        Ok((wal, report))
    }
}

impl Judged {
    pub(super) fn report(&self) -> Report {
        let newest = self.newest.as_ref().map(|(_, scan)| scan);
        Report {
            frames: self.frames,
            damages: self.damages.clone(),
            is_torn: newest.is_some_and(|scan| scan.is_torn),
            was_stopped: newest.is_some_and(|scan| scan.is_stopped),
            dropped: self.dropped,
        }
    }

    /// Writes the last group again, or the head of a segment without groups, and zeros up to the end of
    /// the segment. A head behind the group may be the only one that states the oldest generation, so
    /// the same write puts another one in its place.
    fn finish(
        &self,
        volume: &Volume,
        segment: &Segment,
        writer: &mut Writer,
        start: u32,
    ) -> io::Result<()> {
        let Some((bytes, scan)) = &self.newest else {
            return Ok(());
        };
        let end = scan.end.place.min(bytes.len());
        let begin = match scan.last {
            Some(place) => place,
            None if end == FIRST_GROUP => 0,
            None => end,
        };
        let heads = segment.head.encode();
        let last = match scan.last {
            None if end == FIRST_GROUP => heads.as_slice(),
            _ => bytes.get(begin..end).unwrap_or_default(),
        };
        let mut behind = vec![0; bytes.len() - end];
        if scan.is_confirmed && behind.len() >= BLOCK {
            writer.number += 1;
            let head = GroupHead {
                number: writer.number,
                bytes: HEAD_BYTES,
                frames: 0,
                confirmed: scan.end.number,
                flags: writer.flags,
                start,
                oldest: self.oldest,
                clock_ms: self.clock_ms,
            };
            let head = head.encode(segment.head.seal, end).unwrap_or_default();
            behind.splice(..head.len(), head);
        }
        volume.write(&segment.file, &[last, &behind], begin)?;
        volume.sync(&segment.file)
    }
}
