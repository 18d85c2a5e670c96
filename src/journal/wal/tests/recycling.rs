//! Segments that begin in the files of dead ones.

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::trims::{full, living};
use super::{Position, SHAPE, TestFrame, append, check_reads};
use crate::journal::volume::LocalDisk;
use crate::journal::wal::{OpenError, ReadError, Shape, Wal, lock, read_only};

#[test]
fn a_segment_begins_in_the_file_of_a_dead_one_and_its_end_is_synced_before_a_byte_is_written() {
    let (stage, wal, told) = full();
    stage.disk.heal();
    wal.trim(5).unwrap();
    assert_eq!(stage.disk.calls(), ["write_at", "sync_bytes"]);
    let dead = told.iter().filter(|(at, _)| at.generation < 5);
    let dead: Vec<Position> = dead.map(|(at, _)| *at).collect();
    let mut told = living(&told, 5);
    stage.disk.heal();
    let next = append(&wal, &[TestFrame::new(20, &[6_000])]);
    let calls = [
        "write_at",
        "sync_bytes",
        "write_at",
        "sync_bytes",
        "write_at",
    ];
    assert_eq!(stage.disk.calls(), calls, "heads, group, confirmation");
    told.extend(next);
    for number in 21..28 {
        told.extend(append(&wal, &[TestFrame::new(number, &[6_000])]));
    }
    assert_eq!(wal.generations(), [5, 6, 7, 8, 9, 10]);
    assert_eq!(stage.volume().numbers().unwrap(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(wal.verify().unwrap(), []);
    check_reads(&wal, &told);
    for at in dead {
        let gone = wal.read_at(at.number, at.place).unwrap_err();
        assert!(matches!(gone, ReadError::Gone), "{gone}");
    }
    let (_, report, seen) = stage.open();
    assert_eq!((seen, report.damages), (told, Vec::new()));
}

#[test]
fn however_often_files_are_used_again_only_what_lives_is_found() {
    let (stage, wal, mut told) = full();
    for round in 0..60_u8 {
        let lengths = [usize::from(round) * 90, usize::from(round % 7)];
        told.extend(append(&wal, &[TestFrame::new(round, &lengths)]));
        let newest = wal.generations()[wal.generations().len() - 1];
        wal.trim(newest.saturating_sub(u64::from(round % 3)))
            .unwrap();
        told = living(&told, wal.generations()[0]);
        check_reads(&wal, &told);
        let (report, seen) = stage.look();
        assert_eq!(
            (seen, report.damages),
            (told.clone(), Vec::new()),
            "{round}"
        );
        assert!(stage.volume().numbers().unwrap().len() <= 7);
    }
}

#[test]
fn a_file_that_has_a_second_name_is_never_written_again() {
    let (stage, wal, _) = full();
    let kept = stage.directory().join("kept");
    wal.keep(2, &kept).unwrap();
    let before = fs::read(&kept).unwrap();
    wal.trim(6).unwrap();
    assert_eq!(stage.volume().numbers().unwrap(), [0, 2, 3, 4, 5]);
    for number in 20..40 {
        append(&wal, &[TestFrame::new(number, &[6_000])]);
        wal.trim(u64::MAX).unwrap();
    }
    assert_eq!(fs::read(&kept).unwrap(), before);
    let late = wal.keep(2, &kept).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotFound);
}

#[test]
fn no_more_files_stay_than_are_soon_needed_and_on_a_full_disk_none_but_the_reserve() {
    let (stage, wal, _) = full();
    for number in 20..40 {
        append(&wal, &[TestFrame::new(number, &[6_000])]);
    }
    wal.reserve(1).unwrap();
    wal.trim(u64::MAX).unwrap();
    assert_eq!(stage.volume().numbers().unwrap().len(), 1 + 1 + 4);
    wal.shrink().unwrap();
    assert_eq!(stage.volume().numbers().unwrap().len(), 1 + 1);
    assert!(wal.has_reserve());
    // The file in reserve may have been written to before, or not.
    stage.disk.set_full(true);
    for number in 40..42 {
        append(&wal, &[TestFrame::new(number, &[6_000])]);
    }
    assert!(!wal.has_reserve());
}

#[test]
fn a_start_makes_dead_files_of_its_own_shape_ready_again() {
    let (stage, wal, told) = full();
    let before = stage.files();
    wal.trim(6).unwrap();
    drop(wal);
    let volume = stage.volume();
    for (number, bytes) in &before[..4] {
        fs::write(volume.path(*number), bytes).unwrap();
    }
    // One has a damaged head, and one has another size.
    let mut damaged = before[1].1.clone();
    damaged[20] ^= 1;
    fs::write(volume.path(1), damaged).unwrap();
    fs::write(volume.path(2), &before[2].1[..20_000]).unwrap();
    let (wal, report, mut seen) = stage.open();
    assert_eq!(report.damages, []);
    assert_eq!(volume.numbers().unwrap(), [0, 3, 5]);
    for number in 20..26 {
        seen.extend(append(&wal, &[TestFrame::new(number, &[6_000])]));
    }
    assert_eq!(volume.numbers().unwrap(), [0, 3, 5, 6]);
    assert_eq!(stage.open().2, seen);
    assert_eq!(seen[..2], living(&told, 6));
    // A program with larger segments uses none of these.
    let shape = Shape {
        segment_bytes: SHAPE.segment_bytes + 4_096,
        ..SHAPE
    };
    wal.trim(u64::MAX).unwrap();
    drop(wal);
    let (larger, _) = Wal::open(stage.volume(), shape, &mut |_| Ok(())).unwrap();
    assert_eq!(stage.volume().numbers().unwrap().len(), 1);
    drop(larger);
}

#[test]
fn a_reader_whose_segment_became_another_one_is_given_nothing_of_it() {
    let (stage, wal, told) = full();
    let old = told[0].0;
    let segment = lock(&wal.segments).get(&old.generation).cloned().unwrap();
    assert_eq!(
        segment
            .read_at(&LocalDisk, old.number, old.place)
            .unwrap()
            .bodies[0]
            .length,
        6_000
    );
    wal.trim(u64::MAX).unwrap();
    // The same frame at the same place, in another segment.
    for _ in 0..12 {
        append(&wal, &[told[0].1.clone()]);
    }
    let damaged = segment
        .read_at(&LocalDisk, old.number, old.place)
        .unwrap_err();
    assert!(matches!(damaged, ReadError::Damaged), "{damaged}");
    drop(stage);
}

#[test]
fn readers_beside_trims_see_what_was_written_or_that_it_is_gone() {
    let (stage, wal, told) = full();
    let is_over = AtomicBool::new(false);
    let reader = || {
        let mut reads = 0;
        while !is_over.load(Ordering::Relaxed) || reads == 0 {
            for (at, seen) in &told {
                match wal.read_at(at.number, at.place) {
                    Ok(content) => assert_eq!(content.record, seen.record),
                    Err(ReadError::Gone | ReadError::Damaged) => {}
                    Err(err) => panic!("{err}"),
                }
                reads += 1;
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(reader);
        for number in 20..120 {
            append(&wal, &[TestFrame::new(number, &[6_000])]);
            wal.trim(u64::MAX).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    drop(stage);
}

#[test]
fn a_look_meanwhile_says_that_it_counts_for_nothing() {
    let (stage, wal, told) = full();
    let mut begun = false;
    let looked = read_only(&stage.directory(), &mut |_| {
        if !begun {
            begun = true;
            wal.trim(5).unwrap();
            for number in 20..24 {
                append(&wal, &[TestFrame::new(number, &[6_000])]);
            }
        }
        Ok(())
    });
    let err = looked.unwrap_err();
    assert!(
        matches!(&err, OpenError::Disk { source, .. } if source.kind() == ErrorKind::NotFound),
        "{err}"
    );
    assert_eq!(stage.look().1[..4], living(&told, 5));
}
