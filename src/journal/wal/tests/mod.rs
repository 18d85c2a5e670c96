//! The log on a disk that fails and loses data, and with forged blocks.

mod cuts;
mod faults;
mod flips;
mod forged;
mod groups;
mod recycling;
mod starts;
mod trims;
mod whole;

use std::io;
use std::path::{Path, PathBuf};

use super::{AppendError, FoundFrame, Frame, Position, Report, Shape, Tag, Wal, read_only};
use crate::file::FileId;
use crate::journal::tests::disk::FaultyDisk;
use crate::journal::volume::Volume;

/// The segments are small, so that a few frames fill one.
pub(super) const SHAPE: Shape = Shape {
    segment_bytes: 28 * 1024,
    group_bytes: 12 * 1024,
};

/// A frame as a test wrote or found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestFrame {
    pub(super) tag: Tag,
    pub(super) record: Vec<u8>,
    pub(super) bodies: Vec<Vec<u8>>,
}

impl TestFrame {
    /// Makes another frame for each number.
    pub(super) fn new(number: u8, body_lengths: &[usize]) -> Self {
        let tag = Tag {
            kind: number % 5,
            version: 1,
            flags: 2,
            id: FileId::from_bytes([number; 12]),
            length: 1_000 + u64::from(number),
            time: 77,
        };
        let bodies = body_lengths.iter().map(|length| {
            let byte = |at: usize| number ^ u8::try_from(at % 251).unwrap();
            (0..*length).map(byte).collect()
        });
        Self {
            tag,
            record: format!("the record of {number}, and more of it").into_bytes(),
            bodies: bodies.collect(),
        }
    }

    pub(super) fn of(found: &FoundFrame<'_>) -> Self {
        Self {
            tag: found.tag,
            record: found.record.to_vec(),
            bodies: found
                .bodies
                .with_digests()
                .map(|(body, _)| body.to_vec())
                .collect(),
        }
    }

    pub(super) fn frame(&self) -> Frame {
        let lengths: Vec<_> = self
            .bodies
            .iter()
            .map(|body| u32::try_from(body.len()).unwrap())
            .collect();
        let fill = |into: &mut [u8]| {
            into.copy_from_slice(&self.bodies.concat());
            io::Result::Ok(())
        };
        Frame::build(self.tag, &self.record, &lengths, &[], fill).unwrap()
    }
}

/// A log on a directory of its own.
pub(super) struct Stage {
    scratch: tempfile::TempDir,
    pub(super) disk: FaultyDisk,
}

impl Stage {
    pub(super) fn new() -> Self {
        // This is in memory if possible: no test here needs a real disk.
        let memory = Path::new("/dev/shm");
        let scratch = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        std::fs::create_dir(scratch.path().join("wal")).unwrap();
        let disk = FaultyDisk::new(scratch.path().join("graveyard"));
        Self { scratch, disk }
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.scratch.path().join("wal")
    }

    pub(super) fn volume(&self) -> Volume {
        Volume::new(Box::new(self.disk.clone()), &self.directory())
    }

    /// Opens the log, and returns everything that it holds.
    pub(super) fn open(&self) -> (Wal, Report, Vec<(Position, TestFrame)>) {
        let mut seen = Vec::new();
        let opened = Wal::open(self.volume(), SHAPE, &mut |found| {
            seen.push((found.position, TestFrame::of(found)));
            Ok(())
        });
        let (wal, report) = opened.unwrap();
        (wal, report, seen)
    }

    /// Reads the log as another process does, and returns everything that it holds.
    pub(super) fn look(&self) -> (Report, Vec<(Position, TestFrame)>) {
        let mut seen = Vec::new();
        let looked = read_only(&self.directory(), &mut |found| {
            seen.push((found.position, TestFrame::of(found)));
            Ok(())
        });
        (looked.unwrap(), seen)
    }

    pub(super) fn wal(&self) -> Wal {
        self.open().0
    }

    pub(super) fn cut_power(&self) {
        self.disk.cut_power(&[self.directory()]);
    }

    /// The bytes of all files, by number.
    pub(super) fn files(&self) -> Vec<(u32, Vec<u8>)> {
        let volume = self.volume();
        let numbers = volume.numbers().unwrap().into_iter();
        numbers
            .map(|number| (number, std::fs::read(volume.path(number)).unwrap()))
            .collect()
    }
}

/// Appends frames as one group.
pub(super) fn append_all(
    wal: &Wal,
    frames: &[TestFrame],
) -> Vec<Result<(Position, TestFrame), AppendError>> {
    let tickets: Vec<_> = frames
        .iter()
        .map(|seen| (wal.queue(seen.frame()), seen.clone()))
        .collect();
    tickets
        .into_iter()
        .map(|(ticket, seen)| Ok((wal.wait(&ticket?)?, seen)))
        .collect()
}

/// Does the same; each frame must succeed.
pub(super) fn append(wal: &Wal, frames: &[TestFrame]) -> Vec<(Position, TestFrame)> {
    let appended = append_all(wal, frames).into_iter();
    appended.map(Result::unwrap).collect()
}

/// Checks that each frame is read at its reported position.
pub(super) fn check_reads(wal: &Wal, frames: &[(Position, TestFrame)]) {
    for (position, seen) in frames {
        let content = wal.read_at(position.number, position.place).unwrap();
        let read = TestFrame {
            tag: content.tag,
            record: content.record.to_vec(),
            bodies: content
                .bodies
                .iter()
                .map(|body| body.bytes.as_ref().unwrap().to_vec())
                .collect(),
        };
        assert_eq!(&read, seen);
    }
}
