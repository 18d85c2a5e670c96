//! The files in `answered`: records behind each other, as they stand in the rooms.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::entry::Record;
use super::super::error::{JournalError, OpenError};
use super::super::layout::Layout;
use super::super::point;
use super::super::recovery::names;
use super::super::settle::at;
use super::super::volume::if_there;
use super::{Journal, lock};
use crate::file::FileId;

/// How long a file grows before the next one begins, in bytes.
const SEGMENT_BYTES: u64 = if cfg!(test) { 1500 } else { 1024 * 1024 };

/// For what part of the time that answers are kept a file grows, at most: so much longer is a record
/// on the disk.
const PARTS_OF_LIFETIME: u32 = 4;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    generation: u64,
    file: File,
    length: u64,
    begun: Instant,
}

/// Where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) generation: u64,
    offset: u32,
    bytes: u32,
}

impl Journal {
    /// Writes records behind those that are kept, and returns when they will survive a power cut.
    /// Those that are not remembered, or are kept already, are passed over.
    ///
    /// # Errors
    /// What the disk says; none of them counts as kept then.
    pub(super) fn keep(&self, records: &[Record]) -> io::Result<()> {
        let mut active = lock(&self.answers.active);
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for record in records {
            if let Some(answer) = record.answer
                && lock(&self.answers.memory).needs(&answer)
            {
                bytes.extend(record.encode()?);
                ends.push((answer, bytes.len()));
            }
        }
        if ends.is_empty() {
            return Ok(());
        }
        if self.answers.is_closed.load(Ordering::Relaxed) {
            return Err(io::Error::other(
                "answers end in what could not be taken back",
            ));
        }
        let mut segment = match active.take() {
            Some(segment) if !self.is_full(&segment) => segment,
            _ => self.new_answers()?,
        };
        let begin = segment.length;
        let unkept = Unkept {
            journal: self,
            segment: &segment,
            is_kept: false,
        };
        // After a failure it is written no more: what is torn must be its end.
        self.disk.write_at(&segment.file, &[&bytes], begin)?;
        point!("answers.written");
        self.disk
            .sync_bytes(&segment.file)
            .inspect_err(|err| self.set_poison("answers", err))?;
        point!("answers.fsynced");
        unkept.keep();
        let mut memory = lock(&self.answers.memory);
        let mut from = 0;
        for (answer, end) in ends {
            let position = Position {
                generation: segment.generation,
                offset: u32::try_from(begin).map_err(io::Error::other)?
                    + u32::try_from(from).map_err(io::Error::other)?,
                bytes: u32::try_from(end - from).map_err(io::Error::other)?,
            };
            memory.keep(&answer, position);
            from = end;
        }
        segment.length += u64::try_from(bytes.len()).map_err(io::Error::other)?;
        *active = Some(segment);
        Ok(())
    }

    fn is_full(&self, segment: &Segment) -> bool {
        let longest = self.limits.answer_lifetime / PARTS_OF_LIFETIME;
        segment.length >= SEGMENT_BYTES || segment.begun.elapsed() >= longest
    }

    /// Begins a file. Its name is synced before anything is in it.
    fn new_answers(&self) -> io::Result<Segment> {
        let last = lock(&self.answers.memory).last_segment();
        let generation = last.map_or(1, |last| last + 1);
        let path = self.layout.answers(generation);
        let file = self.disk.create(&path, &[]).inspect_err(|_| {
            // A disk that is full may leave the name: in the way of the next attempt.
            if let Err(err) = if_there(self.disk.unlink(&path)) {
                log::error!("{}: cannot be removed: {err}", path.display());
            }
        })?;
        lock(&self.answers.memory).add_segment(generation);
        point!("answers.file-made");
        self.sync_directory(&self.layout.answered())?;
        Ok(Segment {
            generation,
            file,
            length: 0,
            begun: Instant::now(),
        })
    }

    /// Removes the files in which nothing is remembered any more. One that a power cut brings back
    /// goes again.
    ///
    /// # Errors
    /// What the disk says; the rest is left for the next time.
    pub(in crate::journal) fn forget_answers(&self) -> Result<(), JournalError> {
        let mut active = lock(&self.answers.active);
        let dead = self.remembered().dead_segments();
        active.take_if(|segment| dead.contains(&segment.generation));
        for generation in dead {
            if_there(self.disk.unlink(&self.layout.answers(generation)))
                .map_err(at(FileId::from_bytes([0; 12]), "remove old answers"))?;
            lock(&self.answers.memory).remove_segment(generation);
        }
        Ok(())
    }

    /// Reads a record that is kept; `None` if it is there no more.
    pub(super) fn kept_record(
        &self,
        id: FileId,
        position: Position,
    ) -> Result<Option<Record>, JournalError> {
        let read = || -> io::Result<Vec<u8>> {
            let file = File::open(self.layout.answers(position.generation))?;
            let mut bytes = vec![0; usize::try_from(position.bytes).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, position.offset.into())?;
            Ok(bytes)
        };
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
        match read() {
            Ok(bytes) => Ok(Record::decode(id, &bytes).ok()),
            Err(err) if gone.contains(&err.kind()) => Ok(None),
            Err(err) => Err(at(id, "read an answer")(err)),
        }
    }

    /// Remembers all that is kept, and makes it last.
    pub(in crate::journal) fn read_answers(&self) -> Result<(), OpenError> {
        let names = names(&self.layout.answered())?;
        let generations = names
            .iter()
            .filter_map(|name| Layout::answers_generation(name));
        let last = generations.clone().max();
        for generation in generations {
            let path = self.layout.answers(generation);
            let bytes = fs::read(&path).map_err(OpenError::at(&path))?;
            lock(&self.answers.memory).add_segment(generation);
            let mut begin = 0;
            while let Some(found) = bytes.get(begin..).filter(|rest| !rest.is_empty()) {
                let Some((record, length)) = first_record(found) else {
                    log::warn!("{}: ends in a torn record, ignored", path.display());
                    break;
                };
                let position = u32::try_from(begin).ok().zip(u32::try_from(length).ok());
                if let Some(answer) = &record.answer
                    && let Some((offset, bytes)) = position
                {
                    self.learn(record.id, Some(answer));
                    let position = Position {
                        generation,
                        offset,
                        bytes,
                    };
                    lock(&self.answers.memory).keep(answer, position);
                }
                begin += length;
            }
            if last == Some(generation) {
                // Where the last records of it begin is nowhere noted.
                let sound = bytes.get(..begin).unwrap_or_default();
                self.write_anew(&path, sound, 0)
                    .map_err(OpenError::at(&path))?;
            }
        }
        Ok(())
    }
}

/// Records that are written and do not count as kept yet, behind those that are. They are taken back if
/// that comes to nothing, by an error or a panic: a start would believe them.
struct Unkept<'a> {
    journal: &'a Journal,
    segment: &'a Segment,
    is_kept: bool,
}

impl Unkept<'_> {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Unkept<'_> {
    fn drop(&mut self) {
        let Segment { file, length, .. } = self.segment;
        if !self.is_kept
            && let Err(err) = self.journal.disk.truncate(file, *length)
        {
            log::error!("answers that were not kept stay, and no more are until a restart: {err}");
            self.journal
                .answers
                .is_closed
                .store(true, Ordering::Relaxed);
        }
    }
}

/// The record that these bytes begin with, and how long it is.
fn first_record(bytes: &[u8]) -> Option<(Record, usize)> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let length = lines.next()?.len() + lines.next()?.len();
    let record = Record::decode_any(bytes.get(..length)?).ok()?;
    Some((record, length))
}
