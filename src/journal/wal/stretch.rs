//! Reads the frames of one group, or of a part of it.

use std::ops::Range;

use super::damage::{Damage, Part};
use super::format::FRAME_STEP;
use super::found::FoundFrame;
use super::frame::FrameHead;
use super::position::Position;
use super::scan::{Depth, SegmentBytes};

impl SegmentBytes<'_> {
    /// Hands out the sound frames of a group, and returns the damage of the others. An *exact* range
    /// contains frames only; any other range may contain zeros too.
    pub(super) fn frames(
        self,
        range: Range<usize>,
        number: u64,
        is_exact: bool,
        depth: Depth,
        sink: &mut dyn FnMut(&FoundFrame<'_>),
    ) -> Vec<Damage> {
        let mut damages = Vec::new();
        let mut place = range.start;
        while place < range.end {
            if let Some((head, position)) = self.frame_head(place, range.end, number) {
                let frame = self.bytes.get(place..).unwrap_or_default();
                let opened = head.open(self.head.seal, position, frame);
                let whole = opened.and_then(|found| match depth {
                    Depth::Fronts => Ok(found),
                    Depth::Bodies => match found.bodies.damaged() {
                        Some(body) => Err(Part::Body(body)),
                        None => Ok(found),
                    },
                });
                match whole {
                    Ok(found) => sink(&found),
                    Err(part) => damages.push(Damage::Frame {
                        id: head.tag.id,
                        position,
                        part,
                    }),
                }
                place += head.total().next_multiple_of(FRAME_STEP);
                continue;
            }
            let later = (place + FRAME_STEP..range.end).step_by(FRAME_STEP);
            let next = later
                .into_iter()
                .find(|&later| self.frame_head(later, range.end, number).is_some());
            let end = next.unwrap_or(range.end);
            let hole = self.bytes.get(place..end).unwrap_or_default();
            if is_exact || hole.iter().any(|&byte| byte != 0) {
                damages.push(Damage::Frames {
                    generation: self.head.seal.generation,
                    place,
                    bytes: end - place,
                });
            }
            place = end;
        }
        damages
    }

    /// A sound head of a frame that ends within a range.
    fn frame_head(self, place: usize, end: usize, number: u64) -> Option<(FrameHead, Position)> {
        let frame = self.bytes.get(place..end)?;
        let head = FrameHead::read(self.head.seal, number, place, frame)?;
        let position = Position {
            generation: self.head.seal.generation,
            number,
            place: u32::try_from(place).ok()?,
            bytes: u32::try_from(head.total()).ok()?,
        };
        (head.total() <= frame.len()).then_some((head, position))
    }
}
