//! Reads one segment: which groups were synced, which frames are whole, and what is torn or damaged. It
//! touches no disk.

use std::ops::Range;

use super::damage::Damage;
use super::format::{BLOCK, FIRST_GROUP, HEAD_BYTES, to_block};
use super::found::FoundFrame;
use super::group::{AFTER_TORN, GroupHead, STOPPED};
use super::segment::{End, SegmentHead};

/// The end of a segment, as far as it is known before the segment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// It is the newest segment; its last group may be torn.
    Open,
    /// The next segment or the writer states the end: everything before it was synced.
    At(End),
    /// A newer segment exists, so all of it was synced; the segment that states the end is missing.
    Somewhere,
}

/// The parts of each frame that are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Head and front.
    Fronts,
    /// The bodies too.
    Bodies,
}

/// The content of a segment.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) damages: Vec<Damage>,
    /// The number of frames that were handed out.
    pub(super) frames: u64,
    /// The end of the last group that counts.
    pub(super) end: End,
    /// The offset of the last group that counts, if its head is sound.
    pub(super) last: Option<usize>,
    /// Whether a sound head stands at the end, which confirms that the last group was synced.
    pub(super) is_confirmed: bool,
    /// Whether a group at the end was not whole.
    pub(super) is_torn: bool,
    /// Whether the log was closed at the end.
    pub(super) is_stopped: bool,
    /// The number of torn groups that starts dropped.
    pub(super) dropped: u64,
    /// The highest group number in any sound head.
    pub(super) number: u64,
    pub(super) oldest: u64,
    pub(super) clock_ms: u64,
    /// The start number in the last head that states one.
    pub(super) start: Option<u32>,
}

/// A stretch of blocks: a group, or blocks without a sound head.
#[derive(Debug)]
struct Stretch {
    blocks: Range<usize>,
    head: Option<GroupHead>,
}

/// The last group in a stretch, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synced {
    /// Nothing: it may be torn.
    Perhaps,
    /// It was synced.
    Surely,
    /// It was synced, and has this number.
    As(u64),
}

/// A segment in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentBytes<'a> {
    pub(super) head: SegmentHead,
    pub(super) bytes: &'a [u8],
}

impl SegmentBytes<'_> {
    /// Hands out all frames that count, in order.
    pub(super) fn scan(
        self,
        ends: Ends,
        depth: Depth,
        sink: &mut dyn FnMut(&FoundFrame<'_>),
    ) -> Scan {
        let mut scan = Scan {
            end: End {
                place: FIRST_GROUP,
                number: self.head.before.number,
            },
            ..Scan::default()
        };
        scan.number = scan.end.number;
        let (stretches, last) = self.stretches(ends, &mut scan);
        let next = stretches.iter().skip(1).map(|next| match next.head {
            Some(head) => Synced::As(head.confirmed),
            None => Synced::Surely,
        });
        let synced: Vec<_> = next.chain([last]).collect();
        let first = stretches.first().and_then(|first| first.head);
        let before = first.map(|head| head.confirmed).or(match last {
            Synced::As(number) if stretches.is_empty() => Some(number),
            Synced::As(_) | Synced::Surely | Synced::Perhaps => None,
        });
        if before.is_some_and(|number| number != scan.end.number) {
            // A group stood before it and is missing.
            scan.damages.push(self.damaged_group(FIRST_GROUP));
        }
        for (stretch, synced) in stretches.iter().zip(synced) {
            self.read(stretch, synced, depth, &mut scan, sink);
        }
        scan
    }

    /// Walks from head to head. Returns the stretches between the first group and the end, and what is
    /// known about the last group.
    fn stretches(self, ends: Ends, scan: &mut Scan) -> (Vec<Stretch>, Synced) {
        let limit = match ends {
            Ends::At(end) => end.place.min(self.bytes.len()),
            Ends::Open | Ends::Somewhere => self.bytes.len(),
        };
        let mut stretches = Vec::new();
        let mut begin = FIRST_GROUP; // of what is not explained yet
        let mut search = begin;
        let mut waiting: Option<(usize, GroupHead)> = None; // a head without frames
        let mut number = scan.number;
        while let Some((place, head)) = self.next_head(search, limit, number) {
            number = head.number;
            scan.learn(&head);
            let end = place.saturating_add(to_block(head.bytes));
            if head.frames == 0 || end > limit {
                waiting = (head.frames == 0).then_some((place, head));
                search = place + BLOCK;
                continue;
            }
            waiting = None;
            let gap = (begin < place).then_some(begin..place);
            stretches.extend(gap.map(|blocks| Stretch { blocks, head: None }));
            let blocks = place..end;
            let head = Some(head);
            stretches.push(Stretch { blocks, head });
            (begin, search) = (end, end);
        }
        let (end, synced) = match (ends, waiting) {
            (Ends::At(end), _) => {
                if let Some((_, head)) = self.next_head(limit, limit.saturating_add(BLOCK), number)
                {
                    // This is the segment's last head, as it was when the next segment began.
                    scan.learn(&head);
                }
                (limit, Synced::As(end.number))
            }
            (Ends::Open | Ends::Somewhere, Some((place, head))) => {
                scan.is_confirmed = true;
                scan.is_stopped = head.flags & STOPPED != 0;
                (place, Synced::As(head.confirmed))
            }
            (Ends::Somewhere, None) => (begin, Synced::Surely),
            (Ends::Open, None) => (begin, Synced::Perhaps),
        };
        let gap = (begin < end).then_some(begin..end);
        stretches.extend(gap.map(|blocks| Stretch { blocks, head: None }));
        (stretches, synced)
    }

    fn next_head(self, place: usize, limit: usize, number: u64) -> Option<(usize, GroupHead)> {
        GroupHead::next(self.head.seal, place, limit, number, self.bytes)
    }

    /// Hands out the frames of a stretch, and notes its damage.
    fn read(
        self,
        stretch: &Stretch,
        synced: Synced,
        depth: Depth,
        scan: &mut Scan,
        sink: &mut dyn FnMut(&FoundFrame<'_>),
    ) {
        let begin = stretch.blocks.start;
        let mut hand_out = |found: &FoundFrame<'_>| {
            scan.frames += 1;
            sink(found);
        };
        let (number, damages) = match (stretch.head, synced) {
            (Some(head), Synced::Perhaps) => {
                let frames = begin + HEAD_BYTES..begin + head.bytes;
                let mut count = 0;
                let all = frames.clone();
                let damages =
                    self.frames(all, head.number, true, Depth::Bodies, &mut |_| count += 1);
                if !damages.is_empty() || count != head.frames {
                    scan.is_torn = true;
                    scan.is_confirmed = true; // what is before it
                    return;
                }
                let damages = self.frames(frames, head.number, true, depth, &mut hand_out);
                (head.number, damages)
            }
            (Some(head), Synced::Surely) => {
                let frames = begin + HEAD_BYTES..begin + head.bytes;
                let damages = self.frames(frames, head.number, true, depth, &mut hand_out);
                (head.number, damages)
            }
            (Some(head), Synced::As(number)) if head.number == number => {
                let frames = begin + HEAD_BYTES..begin + head.bytes;
                let damages = self.frames(frames, number, true, depth, &mut hand_out);
                (number, damages)
            }
            (_, Synced::As(number)) => {
                let frames = begin + HEAD_BYTES..stretch.blocks.end;
                let mut damages = vec![self.damaged_group(begin)];
                damages.extend(self.frames(frames, number, false, depth, &mut hand_out));
                (number, damages)
            }
            (None, Synced::Perhaps | Synced::Surely) => {
                (scan.end.number, vec![self.damaged_group(begin)])
            }
        };
        scan.damages.extend(damages);
        scan.last = stretch.head.map(|_| begin);
        scan.end = End {
            place: stretch.blocks.end,
            number,
        };
    }

    fn damaged_group(self, place: usize) -> Damage {
        Damage::Group {
            generation: self.head.seal.generation,
            place,
        }
    }
}

impl Scan {
    /// Takes the statements of a sound head. They hold even if its group is torn: they were true when
    /// the head was written.
    fn learn(&mut self, head: &GroupHead) {
        self.number = self.number.max(head.number);
        self.oldest = self.oldest.max(head.oldest);
        self.clock_ms = self.clock_ms.max(head.clock_ms);
        self.start = Some(head.start).filter(|&start| start > 0).or(self.start);
        self.dropped += u64::from(head.flags & AFTER_TORN != 0);
    }
}
