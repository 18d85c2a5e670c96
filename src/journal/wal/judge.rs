//! Judges the whole log: which segments live, which are missing, and what is in them. It writes
//! nothing.

use std::io;

use super::damage::Damage;
use super::error::Refused;
use super::format::FIRST_GROUP;
use super::found::FoundFrame;
use super::scan::{Depth, Ends, Scan, SegmentBytes};
use super::segment::{HeadFound, SegmentHead};

/// A file with a readable head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) number: u32,
    pub(super) file_bytes: u64,
    pub(super) head: SegmentHead,
    /// Whether one copy of the head is unreadable.
    pub(super) is_head_damaged: bool,
}

impl Listed {
    /// The state of its head.
    pub(super) fn found(&self) -> HeadFound {
        HeadFound::Sound {
            head: self.head,
            is_damaged: self.is_head_damaged,
        }
    }
}

/// The reason why the log cannot be judged.
#[derive(Debug)]
pub(super) enum Unjudged {
    /// This file cannot be read.
    Disk(u32, io::Error),
    Refused(Refused),
}

/// The content of the log.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// In order of their generations.
    pub(super) living: Vec<Listed>,
    /// Files of segments that no longer count.
    pub(super) dead: Vec<Listed>,
    pub(super) damages: Vec<Damage>,
    pub(super) frames: u64,
    pub(super) dropped: u64,
    /// The newest segment's bytes, and what is in it.
    pub(super) newest: Option<(Vec<u8>, Scan)>,
    /// The highest group number in any head.
    pub(super) number: u64,
    pub(super) oldest: u64,
    pub(super) clock_ms: u64,
    /// The number of the last start that wrote a head.
    pub(super) start: Option<u32>,
}

/// Reads the bytes of a file.
pub(super) type Read<'a> = &'a mut dyn FnMut(u32) -> io::Result<Vec<u8>>;

/// Takes a frame, or refuses the log.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&FoundFrame<'_>) -> Result<(), Refused>;

/// Steps 2 to 4 of a start.
pub(super) fn judge(
    mut listed: Vec<Listed>,
    depth: Depth,
    read: Read<'_>,
    sink: Sink<'_>,
) -> Result<Judged, Unjudged> {
    let mut judged = Judged::default();
    listed.sort_unstable_by_key(|segment| (segment.head.seal.generation, segment.number));
    listed.dedup_by(|second, first| {
        let generation = first.head.seal.generation;
        let is_same = second.head.seal.generation == generation;
        if is_same {
            let number = second.number;
            judged.damages.push(Damage::Twice { generation, number });
        }
        is_same
    });
    judged.oldest = oldest(&listed, read)?; // 2
    let generation = |segment: &Listed| segment.head.seal.generation;
    let (dead, living): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|segment| generation(segment) < judged.oldest);
    judged.dead = dead;
    let mut expected = judged.oldest;
    for (at, segment) in living.iter().enumerate() {
        let generation = generation(segment);
        if generation > expected {
            judged.damages.push(Damage::Missing {
                first: expected,
                last: generation - 1,
            });
        }
        expected = generation + 1;
        let ends = ends(&living, at);
        let bytes = read_segment(segment, read)?;
        let mut refused = None;
        let scan = scan(segment, &bytes, ends, depth, &mut |found| {
            if refused.is_none() {
                refused = sink(found).err();
            }
        }); // 3
        if let Some(refused) = refused {
            return Err(Unjudged::Refused(refused));
        }
        judged.add(segment, bytes, scan, ends);
    }
    judged.living = living;
    Ok(judged)
}

/// The oldest generation that counts, by the newest head of a group. A log without such a head begins
/// with the first generation.
fn oldest(listed: &[Listed], read: Read<'_>) -> Result<u64, Unjudged> {
    for (at, segment) in listed.iter().enumerate().rev() {
        let bytes = read_segment(segment, read)?;
        let ends = ends(listed, at);
        let scan = scan(segment, &bytes, ends, Depth::Fronts, &mut |_| {});
        if scan.oldest > 0 {
            return Ok(scan.oldest);
        }
    }
    Ok(1)
}

/// The end of a segment, by the head of the next one.
fn ends(listed: &[Listed], at: usize) -> Ends {
    let generation = |segment: &Listed| segment.head.seal.generation;
    let this = listed.get(at).map(generation);
    match listed.get(at + 1) {
        None => Ends::Open,
        Some(next) if this.map(|this| this + 1) == Some(generation(next)) => {
            Ends::At(next.head.before)
        }
        Some(_) => Ends::Somewhere,
    }
}

fn read_segment(segment: &Listed, read: Read<'_>) -> Result<Vec<u8>, Unjudged> {
    let mut bytes = read(segment.number).map_err(|err| Unjudged::Disk(segment.number, err))?;
    bytes.truncate(usize::try_from(segment.head.bytes).unwrap_or(usize::MAX));
    Ok(bytes)
}

fn scan(
    segment: &Listed,
    bytes: &[u8],
    ends: Ends,
    depth: Depth,
    sink: &mut dyn FnMut(&FoundFrame<'_>),
) -> Scan {
    let head = segment.head;
    SegmentBytes { head, bytes }.scan(ends, depth, sink)
}

impl Judged {
    fn add(&mut self, segment: &Listed, bytes: Vec<u8>, mut scan: Scan, ends: Ends) {
        let number = segment.number;
        let generation = segment.head.seal.generation;
        // A cut at the beginning of a segment leaves one copy of its head.
        let is_empty = ends == Ends::Open && scan.end.place == FIRST_GROUP;
        if segment.is_head_damaged && !is_empty {
            scan.damages.insert(0, Damage::HeadCopy { generation });
        }
        if segment.file_bytes < segment.head.bytes.into() {
            scan.damages.insert(0, Damage::Short { number, generation });
        }
        self.damages.extend(scan.damages.iter().cloned());
        self.frames += scan.frames;
        self.dropped += scan.dropped;
        self.number = self.number.max(scan.number);
        self.clock_ms = self.clock_ms.max(scan.clock_ms);
        self.start = scan.start.or(self.start);
        self.newest = Some((bytes, scan));
    }
}
