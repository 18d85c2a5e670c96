//! Damage: one changed byte at every offset of a log, and whole missing files.

use super::{Stage, TestFrame, append};
use crate::journal::wal::damage::Damage;
use crate::journal::wal::judge::{Judged, Listed, judge};
use crate::journal::wal::position::Position;
use crate::journal::wal::scan::Depth;
use crate::journal::wal::segment::{HeadFound, SegmentHead};

type Files = Vec<(u32, Vec<u8>)>;

/// Three segments, the last of which is active, with groups of one frame and of several.
fn log() -> (Files, Vec<(Position, TestFrame)>) {
    let stage = Stage::new();
    let wal = stage.wal();
    let mut told = Vec::new();
    for number in (0..60).step_by(5) {
        let frames = [
            TestFrame::new(number, &[]),
            TestFrame::new(number + 1, &[30]),
            TestFrame::new(number + 2, &[7, 0, 9]),
        ];
        told.extend(append(&wal, &frames));
        told.extend(append(&wal, &[TestFrame::new(number + 3, &[100])]));
    }
    assert_eq!(wal.generations(), [1, 2, 3, 4, 5, 6]);
    let files = stage.files();
    // The first three frames are alike, so damaging one of them is enough.
    let kept: Files = files.into_iter().skip(3).collect();
    let generation = |at: &Position| at.generation;
    told.retain(|(at, _)| generation(at) >= 4);
    (kept, told)
}

/// The findings of a start, without the segments that the log above leaves out.
fn judged(files: &Files, depth: Depth) -> (Judged, Vec<(Position, TestFrame)>, Vec<u32>) {
    let mut listed = Vec::new();
    let mut unreadable = Vec::new();
    for (number, bytes) in files {
        match SegmentHead::read(bytes) {
            HeadFound::Sound { head, is_damaged } => listed.push(Listed {
                number: *number,
                file_bytes: u64::try_from(bytes.len()).unwrap(),
                head,
                is_head_damaged: is_damaged,
            }),
            HeadFound::Newer(form) => panic!("{form}"),
            HeadFound::Unreadable => unreadable.push(*number),
        }
    }
    let mut read = |number| {
        let mut found = files.iter().filter(|(name, _)| *name == number);
        Ok(found.next().unwrap().1.clone())
    };
    let mut seen = Vec::new();
    let mut judged = judge(listed, depth, &mut read, &mut |found| {
        seen.push((found.position, TestFrame::of(found)));
        Ok(())
    })
    .unwrap();
    let left_out = Damage::Missing { first: 1, last: 3 };
    judged.damages.retain(|damage| *damage != left_out);
    (judged, seen, unreadable)
}

fn is_named(damages: &[Damage], lost: Position) -> bool {
    damages.iter().any(|damage| match damage {
        Damage::Frame { position, .. } => *position == lost,
        Damage::Frames {
            generation,
            place,
            bytes,
        } => {
            let at = usize::try_from(lost.place).unwrap();
            *generation == lost.generation && (*place..place + bytes).contains(&at)
        }
        Damage::File { .. }
        | Damage::Short { .. }
        | Damage::HeadCopy { .. }
        | Damage::Twice { .. }
        | Damage::Missing { .. }
        | Damage::Group { .. } => false,
    })
}

#[test]
fn one_changed_byte_anywhere_loses_one_frame_at_most_and_each_loss_is_named() {
    let (mut files, told) = log();
    assert_eq!(judged(&files, Depth::Bodies).1, told);
    let (mut losses, mut damages) = (0, 0);
    for file in 0..files.len() {
        for place in 0..files[file].1.len() {
            let byte = files[file].1[place];
            // A few of the bytes that were never written are enough.
            if byte == 0 && place % 61 != 0 {
                continue;
            }
            files[file].1[place] ^= 1 << (place % 8);
            for depth in [Depth::Fronts, Depth::Bodies] {
                let (judged, mut seen, unreadable) = judged(&files, depth);
                let case = format!(
                    "file {file}, place {place}, {depth:?}: {:?}",
                    judged.damages
                );
                assert!(unreadable.is_empty(), "{case}");
                let mut expected = told.clone();
                if depth == Depth::Fronts {
                    let all = seen.iter_mut().chain(&mut expected);
                    all.for_each(|(_, seen)| seen.bodies.clear());
                }
                let lost: Vec<_> = expected
                    .iter()
                    .filter(|seen_at| !seen.contains(seen_at))
                    .collect();
                assert_eq!(seen.len() + lost.len(), expected.len(), "{case}");
                assert!(lost.len() <= 1, "{case}");
                for (position, _) in &lost {
                    assert!(is_named(&judged.damages, *position), "{case}");
                }
                assert!(!judged.newest.unwrap().1.is_torn, "{case}");
                losses += lost.len();
                damages += judged.damages.len();
            }
            files[file].1[place] = byte;
        }
    }
    assert!(losses > 1_000 && damages > losses, "{losses} {damages}");
}

#[test]
fn a_lost_block_loses_no_more_than_what_was_in_it() {
    let (mut files, told) = log();
    for file in 0..files.len() {
        for place in (0..files[file].1.len()).step_by(512) {
            let before = files[file].1[place..place + 512].to_vec();
            files[file].1[place..place + 512].fill(0);
            let (judged, seen, unreadable) = judged(&files, Depth::Bodies);
            files[file].1[place..place + 512].copy_from_slice(&before);
            let case = format!("file {file}, place {place}: {:?}", judged.damages);
            assert!(unreadable.is_empty(), "{case}");
            assert!(seen.iter().all(|seen| told.contains(seen)), "{case}");
            let lost = told.iter().filter(|told| !seen.contains(told));
            for (position, _) in lost {
                let begin = usize::try_from(position.place).unwrap();
                let end = begin + usize::try_from(position.bytes).unwrap();
                assert!(begin < place + 512 && place < end, "{case}");
                assert!(!judged.damages.is_empty(), "{case}");
            }
        }
    }
}

#[test]
fn a_segment_that_is_missing_short_or_there_twice_is_named_and_the_others_are_read() {
    let (files, told) = log();
    let others = |generation: u64| {
        let others = told.iter().filter(|(at, _)| at.generation != generation);
        others.cloned().collect::<Vec<_>>()
    };
    let mut missing = files.clone();
    missing.remove(1);
    let (found, seen, _) = judged(&missing, Depth::Bodies);
    assert_eq!(seen, others(5));
    assert_eq!(found.damages, [Damage::Missing { first: 5, last: 5 }]);

    let mut short = files.clone();
    short[1].1.truncate(8_192);
    let (found, seen, _) = judged(&short, Depth::Bodies);
    assert_eq!(seen, others(5));
    let is_short = |damage: &Damage| matches!(damage, Damage::Short { generation: 5, .. });
    assert!(found.damages.iter().any(is_short), "{:?}", found.damages);

    let mut twice = files.clone();
    twice.push((99, files[1].1.clone()));
    let (found, seen, _) = judged(&twice, Depth::Bodies);
    assert_eq!(seen, told);
    let (generation, number) = (5, 99);
    assert_eq!(found.damages, [Damage::Twice { generation, number }]);
}

#[test]
fn damage_is_told_by_a_start_and_by_verify_and_its_bytes_are_kept() {
    let stage = Stage::new();
    let wal = stage.wal();
    let told: Vec<_> = (0..8)
        .flat_map(|number| append(&wal, &[TestFrame::new(number, &[6_000])]))
        .collect();
    // A body, which no start reads, and a record in the newest segment.
    let volume = stage.volume();
    for ((position, seen), skip) in [(&told[0], 150), (&told[7], 70)] {
        let number = u32::try_from(position.generation - 1).unwrap();
        let mut bytes = std::fs::read(volume.path(number)).unwrap();
        let place = usize::try_from(position.place).unwrap();
        assert!(seen.record.len() < 80);
        bytes[place + skip + 64] ^= 1;
        std::fs::write(volume.path(number), bytes).unwrap();
    }
    let [body, record] = [0, 7].map(|at: usize| Damage::Frame {
        id: told[at].1.tag.id,
        position: told[at].0,
        part: if at == 0 {
            super::super::Part::Body(0)
        } else {
            super::super::Part::Front
        },
    });
    assert_eq!(wal.verify().unwrap(), [body.clone(), record.clone()]);
    drop(wal);
    let before = stage.files();
    let (wal, report, seen) = stage.open();
    assert_eq!(report.damages, std::slice::from_ref(&record));
    assert_eq!(seen.len(), 7);
    let [body_read, record_read] =
        [0, 7].map(|at: usize| wal.read_at(told[at].0.number, told[at].0.place));
    assert_eq!(body_read.unwrap().bodies[0].bytes, None);
    assert!(record_read.is_err());
    // The log goes on in another segment.
    let more = append(&wal, &[TestFrame::new(90, &[])]);
    assert_eq!(more[0].0.generation, told[7].0.generation + 1);
    assert_eq!(wal.verify().unwrap(), [body, record]);
    let place = usize::try_from(told[7].0.place).unwrap();
    let (was, is) = (&before[3].1, &stage.files()[3].1);
    assert_eq!(was[place..place + 6_000], is[place..place + 6_000]);
}

#[test]
fn a_file_without_a_readable_head_is_named_kept_and_its_generation_is_not_used_again() {
    let stage = Stage::new();
    let wal = stage.wal();
    let told: Vec<_> = (0..4)
        .flat_map(|number| append(&wal, &[TestFrame::new(number, &[6_000])]))
        .collect();
    drop(wal);
    let volume = stage.volume();
    let mut bytes = std::fs::read(volume.path(1)).unwrap();
    bytes[3] ^= 1;
    bytes[4_099] ^= 1;
    std::fs::write(volume.path(1), &bytes).unwrap();
    for _ in 0..2 {
        let (wal, report, seen) = stage.open();
        assert_eq!(report.damages[0], Damage::File { number: 1 });
        assert_eq!(seen[..2], told[..2]);
        let more = append(&wal, &[TestFrame::new(9, &[])]);
        assert!(more[0].0.generation >= 3);
        assert_eq!(std::fs::read(volume.path(1)).unwrap(), bytes);
    }
}
