//! Dead segments.

use std::fs;

use super::{Position, Stage, TestFrame, append, check_reads};
use crate::journal::wal::{ReadError, Wal};

/// A log of several segments.
pub(super) fn full() -> (Stage, Wal, Vec<(Position, TestFrame)>) {
    let stage = Stage::new();
    let wal = stage.wal();
    let told: Vec<_> = (0..12)
        .flat_map(|number| append(&wal, &[TestFrame::new(number, &[6_000])]))
        .collect();
    assert_eq!(wal.generations(), [1, 2, 3, 4, 5, 6]);
    (stage, wal, told)
}

pub(super) fn living(told: &[(Position, TestFrame)], oldest: u64) -> Vec<(Position, TestFrame)> {
    let living = told.iter().filter(|(at, _)| at.generation >= oldest);
    living.cloned().collect()
}

#[test]
fn a_trimmed_segment_is_removed_when_its_end_is_synced_and_not_before() {
    let (stage, wal, told) = full();
    // No file is used again.
    for number in 0..6 {
        let path = stage.volume().path(number);
        fs::hard_link(&path, path.with_extension("kept")).unwrap();
    }
    stage.disk.heal();
    wal.trim(4).unwrap();
    let calls = [
        "write_at",
        "sync_bytes",
        "unlink",
        "unlink",
        "unlink",
        "sync_directory",
    ];
    assert_eq!(stage.disk.calls(), calls);
    assert_eq!(wal.generations(), [4, 5, 6]);
    assert_eq!(wal.verify().unwrap(), []);
    let gone = wal.read_at(told[0].0.number, told[0].0.place).unwrap_err();
    assert!(matches!(gone, ReadError::Gone), "{gone}");
    let told = living(&told, 4);
    check_reads(&wal, &told);
    let (_, report, seen) = stage.open();
    assert_eq!((seen, report.damages), (told, Vec::new()));
}

#[test]
fn the_newest_segment_is_never_trimmed_and_nothing_is_trimmed_twice() {
    let (stage, wal, told) = full();
    wal.trim(u64::MAX).unwrap();
    wal.trim(2).unwrap();
    assert_eq!(wal.generations(), [6]);
    let mut told = living(&told, 6);
    told.extend(append(&wal, &[TestFrame::new(50, &[6_000])]));
    let (_, report, seen) = stage.open();
    assert_eq!((seen, report.damages), (told, Vec::new()));
}

#[test]
fn a_trimmed_segment_that_a_power_cut_brings_back_means_nothing() {
    let (stage, wal, told) = full();
    let before = stage.files();
    wal.trim(4).unwrap();
    let told = living(&told, 4);
    drop(wal);
    let volume = stage.volume();
    for times in 0..3 {
        for (number, bytes) in &before[..3] {
            fs::write(volume.path(*number), bytes).unwrap();
        }
        // Damage in a dead segment does not matter either.
        fs::write(volume.path(2), b"gs-wal\r\n").unwrap();
        if times == 2 {
            fs::remove_file(volume.path(2)).unwrap();
        }
        if times != 2 {
            fs::write(volume.path(2), &before[2].1[..9_000]).unwrap();
        }
        let (_, report, seen) = stage.open();
        assert_eq!((seen, report.damages), (told.clone(), Vec::new()));
        assert_eq!(volume.numbers().unwrap(), [0, 1, 3, 4, 5]);
    }
}

#[test]
fn the_oldest_generation_is_known_though_the_next_group_is_torn_or_a_segment_is_new() {
    for tear in 0..40 {
        let (stage, wal, told) = full();
        wal.trim(6).unwrap();
        let told = living(&told, 6);
        // The next group does not fit, so a segment begins too.
        let calls = stage.disk.calls().len();
        stage.disk.stop_then(calls + 1 + tear % 8);
        drop(wal.append(TestFrame::new(60, &[9_000]).frame()));
        stage.disk.heal();
        let tear = crate::journal::tests::unsynced::Tear::Sectors(u64::try_from(tear).unwrap());
        stage.disk.set_tear(tear);
        stage.cut_power();
        for _ in 0..2 {
            let (_, report, seen) = stage.open();
            assert_eq!(report.damages, [], "{tear:?}");
            assert!(seen == told || seen.len() == told.len() + 1, "{tear:?}");
            stage.cut_power();
        }
    }
}

#[test]
fn a_log_that_was_closed_says_so_until_it_is_written_to() {
    let (stage, wal, told) = full();
    wal.stop().unwrap();
    stage.cut_power();
    let (wal, report, seen) = stage.open();
    assert!(report.was_stopped);
    assert_eq!(seen, told);
    append(&wal, &[TestFrame::new(70, &[])]);
    assert!(!stage.open().1.was_stopped);
}
