//! A simulated log: groups are queued, written, and synced. A cut takes unsynced data, and may leave
//! any part of the last group.

use super::lots::Lots;
use crate::journal::index::{LogTail, NotQueued, Place, Ticket};
use crate::journal::record::Frame;

/// The frames in a segment. A group that does not fit begins the next segment.
const SEGMENT_FRAMES: usize = 7;

/// A frame that has landed.
#[derive(Debug, Clone)]
pub(in crate::journal) struct Landed {
    pub(in crate::journal) ticket: Ticket,
    pub(in crate::journal) segment: u64,
    pub(in crate::journal) place: Place,
    pub(in crate::journal) frame: Frame,
}

#[derive(Debug, Clone)]
struct Group {
    number: u64,
    segment: u64,
    oldest: u64,
    frames: Vec<Landed>,
}

#[derive(Debug, Default)]
pub(in crate::journal) struct Log {
    queued: Vec<(Ticket, Frame)>,
    /// The segment takes no more frames.
    pub(in crate::journal) is_full: bool,
    number: u64,
    segment: u64,
    used: usize,
    /// The frame that is only in the page cache: one that is being written, or that a start has
    /// found.
    written: Option<Group>,
    synced: Vec<Group>,
    /// Groups in free segments: a power cut may bring them back.
    freed: Vec<Group>,
    /// All frames that were ever in segments that became free.
    pub(in crate::journal) frames_freed: usize,
}

impl LogTail for Log {
    fn push(&mut self, frame: &Frame, ticket: Ticket) -> Result<(), NotQueued> {
        if self.is_full {
            return Err(NotQueued);
        }
        self.queued.push((ticket, frame.clone()));
        Ok(())
    }
}

impl Log {
    pub(in crate::journal) fn is_writing(&self) -> bool {
        self.written.is_some()
    }

    /// Closes the queued group, with the statements of its head, and writes it.
    pub(in crate::journal) fn write(&mut self, oldest: u64) {
        assert!(self.written.is_none(), "one group is written at a time");
        let frames = std::mem::take(&mut self.queued);
        if self.used > 0 && self.used + frames.len() > SEGMENT_FRAMES {
            self.segment += 1;
            self.used = 0;
        }
        let (number, segment, used) = (self.number, self.segment, self.used);
        self.used += frames.len();
        self.number += 1;
        let frames = frames.into_iter().enumerate();
        let frames = frames.map(|(at, (ticket, frame))| Landed {
            ticket,
            segment,
            place: Place::new(number, u32::try_from(used + at).unwrap() * 64).unwrap(),
            frame,
        });
        self.written = Some(Group {
            number,
            segment,
            oldest,
            frames: frames.collect(),
        });
    }

    /// Makes the written group durable. Segments that its head gives up are free then.
    pub(in crate::journal) fn sync(&mut self) -> Vec<Landed> {
        let Some(group) = self.written.take() else {
            return Vec::new();
        };
        let (oldest, frames) = (group.oldest, group.frames.clone());
        self.synced.push(group);
        let synced = std::mem::take(&mut self.synced).into_iter();
        let (freed, rest): (Vec<_>, Vec<_>) = synced.partition(|group| group.segment < oldest);
        self.frames_freed += freed.iter().map(|group| group.frames.len()).sum::<usize>();
        self.freed.extend(freed);
        self.synced = rest;
        frames
    }

    /// Fails to write the group.
    pub(in crate::journal) fn fail(&mut self) -> Vec<Ticket> {
        self.number += 1;
        let queued = std::mem::take(&mut self.queued).into_iter();
        queued.map(|(ticket, _)| ticket).collect()
    }

    /// Overwrites a free segment: nothing brings its frames back.
    pub(in crate::journal) fn recycle(&mut self) {
        if let Some(first) = self.freed.first().map(|group| group.segment) {
            self.freed.retain(|group| group.segment != first);
        }
    }

    /// Kills the process: the kernel keeps everything that was written.
    pub(in crate::journal) fn kill(&mut self) {
        self.queued.clear();
        self.number += 1;
    }

    /// Cuts the power. Any part of the unsynced data may survive, and freed segments may be as they
    /// were.
    pub(in crate::journal) fn cut(&mut self, lots: &mut Lots) {
        self.kill();
        if lots.draw(4) == 0 {
            self.written = None;
        }
        if let Some(group) = &mut self.written
            && lots.draw(4) != 0
        {
            group.frames.retain(|_| lots.draw(2) == 0);
        }
        for group in std::mem::take(&mut self.freed) {
            if lots.draw(2) == 0 {
                self.synced.push(group);
            }
        }
        self.synced.sort_by_key(|group| group.number);
    }

    /// Returns the frames that a start finds: those of all groups that are not below the largest
    /// `oldest`.
    pub(in crate::journal) fn found(&self) -> Vec<Landed> {
        let all = self.synced.iter().chain(&self.written);
        let oldest = all.clone().map(|group| group.oldest).max().unwrap_or(0);
        let found = all.filter(|group| group.segment >= oldest);
        found.flat_map(|group| group.frames.clone()).collect()
    }

    /// Returns everything that a segment has durably.
    pub(in crate::journal) fn in_segment(&self, segment: u64) -> Vec<Landed> {
        let groups = self.synced.iter().filter(|group| group.segment == segment);
        groups.flat_map(|group| group.frames.clone()).collect()
    }

    pub(in crate::journal) fn read(&self, place: Place) -> Option<&Frame> {
        let groups = self.synced.iter().chain(&self.written);
        let mut frames = groups.flat_map(|group| &group.frames);
        let landed = frames.find(|landed| landed.place == place);
        landed.map(|landed| &landed.frame)
    }
}
