//! Old blocks, blocks from elsewhere and blocks of a refused group: none of them is ever believed.

use super::{SHAPE, Stage, TestFrame, append};
use crate::journal::wal::format::{BLOCK, FIRST_GROUP, HEAD_BYTES, to_block};
use crate::journal::wal::frame::Frame;
use crate::journal::wal::group::GroupHead;
use crate::journal::wal::scan::{Depth, Ends, Scan, SegmentBytes};
use crate::journal::wal::seal::Seal;
use crate::journal::wal::segment::End;
use crate::journal::wal::segment::SegmentHead;

const SECTOR: usize = 512;

fn head(salt: u8, generation: u64) -> SegmentHead {
    SegmentHead {
        seal: Seal {
            salt: [salt; 16],
            generation,
        },
        bytes: SHAPE.segment_bytes,
        before: End::default(),
    }
}

/// Makes the bytes of a group, as they are written at a place.
fn group(seal: Seal, number: u64, confirmed: u64, place: usize, frames: &[TestFrame]) -> Vec<u8> {
    let mut frames: Vec<Frame> = frames.iter().map(TestFrame::frame).collect();
    let mut at = place + HEAD_BYTES;
    for frame in &mut frames {
        frame.seal(seal, number, at);
        at += frame.bytes().len();
    }
    let head = GroupHead {
        number,
        bytes: at - place,
        frames: u32::try_from(frames.len()).unwrap(),
        confirmed,
        flags: 0,
        start: 1,
        oldest: 1,
        clock_ms: 0,
    };
    let mut bytes = head.encode(seal, place).unwrap();
    bytes.extend(frames.iter().flat_map(Frame::bytes));
    bytes.resize(to_block(bytes.len()), 0);
    bytes
}

/// Makes a segment with such groups, numbered from 1; also returns where each begins.
fn segment(head: SegmentHead, groups: &[Vec<TestFrame>]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = head.encode();
    let mut places = Vec::new();
    for (number, frames) in (1..).zip(groups) {
        let place = bytes.len();
        places.push(place);
        bytes.extend(group(head.seal, number, number - 1, place, frames));
    }
    places.push(bytes.len());
    bytes.resize(usize::try_from(head.bytes).unwrap(), 0);
    (bytes, places)
}

fn scan(head: SegmentHead, bytes: &[u8]) -> (Scan, Vec<TestFrame>) {
    let mut seen = Vec::new();
    let scan = SegmentBytes { head, bytes };
    let scan = scan.scan(Ends::Open, Depth::Fronts, &mut |found| {
        seen.push(TestFrame::of(found));
    });
    (scan, seen)
}

fn groups(first: u8) -> Vec<Vec<TestFrame>> {
    vec![
        vec![
            TestFrame::new(first, &[40]),
            TestFrame::new(first + 1, &[900]),
        ],
        vec![TestFrame::new(first + 2, &[3_000])],
        vec![
            TestFrame::new(first + 3, &[10]),
            TestFrame::new(first + 4, &[4_200]),
        ],
    ]
}

/// Returns every way to take each sector of a stretch from one of two versions.
fn mixtures(count: usize) -> impl Iterator<Item = Vec<bool>> {
    // All ways if they are few; otherwise enough of them.
    let all = 1_usize << count.min(10);
    (0..all).map(move |mixture| {
        let spread = mixture.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bit = |at: usize| {
            if count <= 10 {
                mixture >> at
            } else {
                spread >> (at % 60) ^ mixture >> (at % 10)
            }
        };
        (0..count).map(|at| bit(at) & 1 == 1).collect()
    })
}

#[test]
fn nothing_of_a_segments_earlier_lives_is_believed() {
    let old = head(1, 3);
    let (mut bytes, _) = segment(old, &groups(0));
    assert_eq!(scan(old, &bytes).1, groups(0).concat());
    for new in [head(2, 9), head(1, 9), head(2, 3)] {
        bytes[..FIRST_GROUP].copy_from_slice(&new.encode());
        let (found, seen) = scan(new, &bytes);
        assert_eq!((found.damages, seen), (Vec::new(), Vec::new()));
        assert!(!found.is_torn && found.oldest == 0 && found.number == 0);
    }
}

#[test]
fn a_group_that_is_shorn_over_an_earlier_life_is_whole_or_torn() {
    let (old, _) = segment(head(1, 3), &groups(0));
    let new = head(2, 9);
    let written = groups(100);
    let (mut bytes, places) = segment(new, &written);
    bytes[places[3]..].copy_from_slice(&old[places[3]..]);
    let last = places[2]..places[3];
    let (mut whole, mut torn) = (0, 0);
    for mixture in mixtures(last.len() / SECTOR) {
        let mut bytes = bytes.clone();
        let mut is_lost = false;
        for (sector, is_old) in mixture.iter().enumerate() {
            let place = last.start + sector * SECTOR;
            let (now, was) = (place..place + SECTOR, &old[place..place + SECTOR]);
            if *is_old && bytes[now.clone()] != *was {
                // The padding of the last block does not count.
                let end = last.start
                    + HEAD_BYTES
                    + written[2]
                        .iter()
                        .map(|seen| seen.frame().bytes().len())
                        .sum::<usize>();
                is_lost |= place < end;
                bytes[now].copy_from_slice(was);
            }
        }
        let (found, seen) = scan(new, &bytes);
        assert_eq!(found.damages, [], "{mixture:?}");
        let expected = if is_lost { 2 } else { 3 };
        assert_eq!(seen, written[..expected].concat(), "{mixture:?}");
        whole += usize::from(!is_lost);
        torn += usize::from(is_lost);
    }
    assert!(whole > 0 && torn > 100, "{whole} {torn}");
}

#[test]
fn blocks_of_a_group_that_was_refused_never_mend_the_one_that_came_in_its_place() {
    let seal_of = head(4, 1);
    let (mut bytes, places) = segment(seal_of, &groups(0)[..2]);
    let place = places[2];
    // These have the same lengths and other bytes; the refused group has a number of its own.
    let refused = group(
        seal_of.seal,
        3,
        2,
        place,
        &[TestFrame::new(50, &[2_000]), TestFrame::new(51, &[1_500])],
    );
    let promised = [TestFrame::new(60, &[2_000]), TestFrame::new(61, &[1_500])];
    let next = group(seal_of.seal, 4, 2, place, &promised);
    assert_eq!(refused.len(), next.len());
    let confirming = group(seal_of.seal, 5, 4, place + next.len(), &[]);
    for mixture in mixtures(next.len() / SECTOR) {
        let mut mixed = next.clone();
        for (sector, is_old) in mixture.iter().enumerate() {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            if *is_old {
                mixed[range.clone()].copy_from_slice(&refused[range]);
            }
        }
        for is_confirmed in [false, true] {
            bytes[place..].fill(0);
            bytes[place..place + mixed.len()].copy_from_slice(&mixed);
            if is_confirmed {
                let behind = place + mixed.len();
                bytes[behind..behind + BLOCK].copy_from_slice(&confirming);
            }
            let (found, seen) = scan(seal_of, &bytes);
            let (before, rest) = seen.split_at(3);
            assert_eq!(before, groups(0)[..2].concat());
            if is_confirmed {
                // All whole promised frames are found, and all others are reported.
                let bodies_aside = |seen: &TestFrame| (seen.tag, seen.record.clone());
                let promised: Vec<_> = promised.iter().map(bodies_aside).collect();
                assert!(
                    rest.iter()
                        .all(|seen| promised.contains(&bodies_aside(seen)))
                );
                assert!(rest.len() == 2 || !found.damages.is_empty(), "{mixture:?}");
            } else if !rest.is_empty() {
                // No caller was told of either group.
                let is_one = *rest == promised || rest[0].tag.id.bytes() == [50; 12];
                assert!(is_one, "{mixture:?}");
                assert_eq!(rest.len(), 2);
            }
        }
    }
}

#[test]
fn a_body_that_holds_a_copy_of_the_log_adds_nothing_to_it() {
    let stage = Stage::new();
    let wal = stage.wal();
    append(&wal, &[TestFrame::new(1, &[50])]);
    let bytes = stage.files().remove(0).1;
    let mut sender = TestFrame::new(2, &[]);
    // These copies are at each place that a frame could have, and the head of their group is
    // damaged.
    sender.bodies = vec![bytes[8_192..12_288].to_vec(), bytes[8_256..8_700].to_vec()];
    append(&wal, std::slice::from_ref(&sender));
    drop(wal);
    let volume = stage.volume();
    let mut bytes = std::fs::read(volume.path(0)).unwrap();
    bytes[12_300] ^= 1;
    std::fs::write(volume.path(0), bytes).unwrap();
    let (_, report, seen) = stage.open();
    let seen: Vec<_> = seen.into_iter().map(|(_, seen)| seen).collect();
    assert_eq!(seen, [TestFrame::new(1, &[50]), sender]);
    assert_eq!(report.damages.len(), 1);
}
