//! Rules that the reader of the log must obey for any bytes on the disk. Not part of the product: tests
//! and fuzzers (`scripts/fuzz`) call this, with the bytes of one case.

use sha2::{Digest as _, Sha256};

use super::format::{BLOCK, FIRST_GROUP, HEAD_BYTES};
use super::found::FoundFrame;
use super::frame::{Frame, FrameHead};
use super::group::GroupHead;
use super::position::Tag;
use super::scan::{Depth, Ends, SegmentBytes};
use super::seal::{Seal, first_bytes};
use super::segment::End;
use super::segment::{HeadFound, SegmentHead};
use crate::file::FileId;

/// A seal that depends on the bytes of a case, so that they cannot contain it. With any other seal a
/// fuzzer that watches comparisons would forge frames.
fn seal_for(bytes: &[u8]) -> Seal {
    Seal {
        salt: first_bytes(Sha256::new().chain_update(bytes)),
        generation: 3,
    }
}

/// Reads three segments: one that is changed as the bytes say, one that has the bytes as a group, and
/// one that has a frame with a sound head made of the bytes. No frame may be read that was not written.
///
/// # Panics
/// When such a frame is read.
pub fn wal(bytes: &[u8]) {
    let seal = seal_for(bytes);
    changed(seal, bytes);
    let (front, rest) = bytes.split_at(bytes.len().min(48));
    let place = FIRST_GROUP + HEAD_BYTES;
    let mut sealed = front.to_vec();
    sealed.resize(48, 0);
    let check = seal.check(1, place, &sealed);
    sealed.extend_from_slice(&check);
    sealed.extend_from_slice(rest);
    for inner in [bytes, &sealed] {
        let head = group_head(seal, 1, 0, HEAD_BYTES + inner.len(), 1);
        let mut segment = [segment_head(seal).encode(), head, inner.to_vec()].concat();
        segment.resize(segment.len().next_multiple_of(BLOCK) + BLOCK, 0);
        for ends in ends(segment.len() - BLOCK) {
            let mut count = 0;
            read(seal, &segment, ends, &mut |_| count += 1);
            assert_eq!(count, 0, "nobody knew the key of its front");
        }
    }
    let found = SegmentHead::read(bytes);
    assert!(!matches!(found, HeadFound::Sound { head, .. } if head.seal == seal));
    let head = FrameHead::read(seal, 1, place, bytes);
    assert!(head.is_none_or(|head| head.total() >= HEAD_BYTES));
}

/// Changes a sound segment: each three bytes are an offset and the change at that offset.
fn changed(seal: Seal, bytes: &[u8]) {
    let (mut segment, written, end) = sound(seal);
    for change in bytes.chunks_exact(3) {
        let [low, high, byte] = *change else { continue };
        let place = usize::from(u16::from_le_bytes([low, high])) % segment.len();
        if let Some(there) = segment.get_mut(place) {
            *there ^= byte;
        }
    }
    for ends in ends(end) {
        read(seal, &segment, ends, &mut |found| {
            let mut frames = written.iter();
            assert!(frames.any(|frame| is_same(frame, found)), "{found:?}");
        });
    }
}

/// The offset of a frame, and its content.
type Written = (usize, Tag, Vec<u8>);

fn is_same(written: &Written, found: &FoundFrame<'_>) -> bool {
    let (place, tag, record) = written;
    usize::try_from(found.position.place) == Ok(*place)
        && found.tag == *tag
        && found.record == record.as_slice()
}

fn ends(place: usize) -> [Ends; 3] {
    let end = Ends::At(End { place, number: 2 });
    [Ends::Open, end, Ends::Somewhere]
}

fn read(seal: Seal, bytes: &[u8], ends: Ends, sink: &mut dyn FnMut(&FoundFrame<'_>)) {
    let head = segment_head(seal);
    for depth in [Depth::Fronts, Depth::Bodies] {
        let scan = SegmentBytes { head, bytes }.scan(ends, depth, sink);
        assert!(scan.end.place <= bytes.len().max(FIRST_GROUP));
    }
}

fn segment_head(seal: Seal) -> SegmentHead {
    SegmentHead {
        seal,
        bytes: 1 << 20,
        before: End::default(),
    }
}

fn group_head(seal: Seal, number: u64, confirmed: u64, bytes: usize, frames: u32) -> Vec<u8> {
    let place = FIRST_GROUP + BLOCK * usize::from(number > 1) * 2;
    let head = GroupHead {
        number,
        bytes,
        frames,
        confirmed,
        flags: 0,
        start: 1,
        oldest: 1,
        clock_ms: 5,
    };
    head.encode(seal, place).unwrap_or_default()
}

/// A segment with two groups: one of two frames in two blocks, and one of one frame. Also the offsets
/// and contents of the frames, and the end of the groups.
fn sound(seal: Seal) -> (Vec<u8>, Vec<Written>, usize) {
    let mut segment = segment_head(seal).encode();
    let mut written = Vec::new();
    for (number, bodies) in [(1, vec![3_000, 2_000]), (2, vec![50])] {
        let place = segment.len();
        let mut frames = Vec::new();
        for length in bodies {
            let at = place + HEAD_BYTES + frames.len();
            let tag = Tag {
                kind: 1,
                version: 1,
                flags: 0,
                id: FileId::from_bytes([7; 12]),
                length: length.into(),
                time: number,
            };
            let record = format!("at {at}").into_bytes();
            if let Ok(mut frame) = Frame::build(tag, &record, &[length], &[], |_| Ok(())) {
                frame.seal(seal, number, at);
                frames.extend_from_slice(frame.bytes());
                written.push((at, tag, record));
            }
        }
        let count = if number == 1 { 2 } else { 1 };
        segment.extend(group_head(
            seal,
            number,
            number - 1,
            HEAD_BYTES + frames.len(),
            count,
        ));
        segment.extend(frames);
        segment.resize(segment.len().next_multiple_of(BLOCK), 0);
    }
    let end = segment.len();
    segment.resize(end + BLOCK, 0);
    (segment, written, end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::testing::{cases, mutant};

    #[test]
    fn what_is_changed_here_is_read_before() {
        let seal = super::seal_for(&[]);
        let (segment, written, end) = super::sound(seal);
        for ends in super::ends(end) {
            let mut count = 0;
            super::read(seal, &segment, ends, &mut |_| count += 1);
            assert_eq!(count, 2 * written.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..cases() })]

        #[test]
        fn mutants_of_the_wal_are_read_or_refused(bytes in mutant("wal")) {
            super::wal(&bytes);
        }
    }
}
