//! Opening a log: everything is read and judged, then the end is made durable, and only then the
//! caller may speak.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, OnceLock};

use super::clock::LogClock;
use super::damage::Damage;
use super::error::OpenError;
use super::form::{BLOCK, FIRST_GROUP, HEAD_BYTES};
use super::group::{AFTER_TORN, GroupHead};
use super::judge::{Judged, Listed, Sink, Unjudged, judge};
use super::queue::Queue;
use super::scan::Depth;
use super::segment::End;
use super::segment::{HeadFound, SegmentHead};
use super::spares::{Spare, Spares};
use super::start_number::start_number;
use super::write::Writer;
use super::{Segment, Shape, Wal, lock};
use crate::journal::volume::Volume;

/// What a start found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many frames were handed out.
    pub frames: u64,
    /// What cannot be read though it was written. To be told to an admin.
    pub damages: Vec<Damage>,
    /// Whether a group at the end was not whole, and so was dropped: nobody had been told of it.
    pub is_torn: bool,
    /// Whether the log had been closed by [`Wal::stop`].
    pub was_stopped: bool,
    /// How often an earlier start dropped a torn group, as far as the log still tells.
    pub dropped: u64,
}

/// The files of a log.
#[derive(Debug, Default)]
struct Files {
    open: BTreeMap<u32, File>,
    listed: Vec<Listed>,
    unreadable: Vec<u32>,
    /// All zeros, and of the size of a new segment.
    blank: Vec<u32>,
    /// All zeros, and of another size.
    unmade: Vec<u32>,
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
    /// A newer form, a frame that the caller refuses, what the disk says. In the first two cases nothing
    /// was written.
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
            // A start writes all of it.
            written: usize::MAX,
            end,
            generation: newest.map_or(0, |newest| newest.head.seal.generation),
            number: judged.number,
            oldest: judged.oldest,
            flags: if report.is_torn { AFTER_TORN } else { 0 },
        };
        // A segment that cannot be read may be one that comes next.
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
            lost: report.damages.clone(),
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

    /// Writes the last group anew, or the head of a segment that has none, and zeros up to the end of
    /// the segment. A head that stood behind the group may be the only one that tells the oldest
    /// generation, so another one takes its place in the same write.
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

impl Files {
    fn list(volume: &Volume, shape: Shape) -> Result<Self, OpenError> {
        let mut files = Self::default();
        let numbers = volume.numbers().map_err(OpenError::at(volume.path(0)))?;
        for number in numbers {
            let path = volume.path(number);
            let file = volume.open(number).map_err(OpenError::at(&path))?;
            let read = || -> io::Result<(u64, Vec<u8>)> {
                let mut head = vec![0; FIRST_GROUP];
                let length = read_up_to(&file, &mut head, 0)?;
                head.truncate(length);
                Ok((file.metadata()?.len(), head))
            };
            let (file_bytes, head) = read().map_err(OpenError::at(&path))?;
            match SegmentHead::read(&head) {
                HeadFound::Newer(form) => return Err(OpenError::NewerForm { path, form }),
                HeadFound::Sound { head, is_damaged } => files.listed.push(Listed {
                    number,
                    file_bytes,
                    head,
                    is_head_damaged: is_damaged,
                }),
                HeadFound::Unreadable => {
                    let bytes = read_all(&file).map_err(OpenError::at(&path))?;
                    let list = if bytes.iter().any(|&byte| byte != 0) {
                        &mut files.unreadable
                    } else if file_bytes == u64::from(shape.segment_bytes) {
                        &mut files.blank
                    } else {
                        &mut files.unmade
                    };
                    list.push(number);
                }
            }
            files.open.insert(number, file);
        }
        Ok(files)
    }

    /// Takes the files of the living segments.
    fn segments(&mut self, living: &[Listed]) -> BTreeMap<u64, Arc<Segment>> {
        let segments = living.iter().enumerate().filter_map(|(at, listed)| {
            let head = listed.head;
            let next = living.get(at + 1).map(|next| next.head);
            let follows = next.filter(|next| next.seal.generation == head.seal.generation + 1);
            let sealed = follows.map_or_else(OnceLock::new, |next| next.before.into());
            let segment = Segment {
                number: listed.number,
                file: Arc::new(self.open.remove(&listed.number)?),
                head,
                sealed,
            };
            Some((head.seal.generation, Arc::new(segment)))
        });
        segments.collect()
    }

    /// Takes the files that segments may begin in, those of zeros first; and tells those that must go.
    fn not_living(&mut self, dead: &[Listed]) -> (Vec<Spare>, Vec<u32>) {
        let (damaged, dead): (Vec<&Listed>, Vec<&Listed>) =
            dead.iter().partition(|listed| listed.is_head_damaged);
        let dead = dead.into_iter().map(|listed| (listed.number, false));
        let blank = self.blank.drain(..).map(|number| (number, true));
        let numbers = blank.chain(dead);
        let spare = |(number, is_blank)| {
            let file = Arc::new(self.open.remove(&number)?);
            Some(Spare {
                number,
                file,
                is_blank,
            })
        };
        let spares = numbers.filter_map(spare).collect();
        let damaged = damaged.into_iter().map(|listed| listed.number);
        (spares, damaged.chain(self.unmade.drain(..)).collect())
    }
}

/// Reads a whole file.
pub(super) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let length = read_up_to(file, &mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Fills a buffer, or as much of it as the file has.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], mut place: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, place) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                place += u64::try_from(read).map_err(io::Error::other)?;
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}
