//! The rules of a start: nothing is written before the log is judged, and the end is durable before the
//! first answer.

use sha2::{Digest as _, Sha256};

use super::{SHAPE, Stage, TestFrame, append};
use crate::journal::tests::fault::Fault;
use crate::journal::tests::unsynced::Tear;
use crate::journal::wal::format::{BLOCK, to_block};
use crate::journal::wal::{OpenError, Refused, Wal};

/// A log of some groups in two segments.
fn some() -> Stage {
    let stage = Stage::new();
    let wal = stage.wal();
    for number in 0..3 {
        append(&wal, &[TestFrame::new(number, &[6_000])]);
    }
    stage
}

#[test]
fn a_refused_start_has_written_nothing() {
    let stage = some();
    let before = stage.files();
    stage.disk.heal();
    for at in 0..3 {
        let mut count = 0;
        let opened = Wal::open(stage.volume(), SHAPE, &mut |_| {
            count += 1;
            (count <= at)
                .then_some(())
                .ok_or_else(|| Refused("unknown".to_owned()))
        });
        let err = opened.unwrap_err();
        assert!(
            matches!(&err, OpenError::Refused(why) if why == "unknown"),
            "{err}"
        );
        assert_eq!(count, at + 1);
    }
    // One of the heads of a segment has a newer format.
    for place in [0, 4_096] {
        let mut newer = before[1].1.clone();
        newer[place + 8] += 1;
        let check: [u8; 32] = Sha256::digest(&newer[place..place + 52]).into();
        newer[place + 52..place + 68].copy_from_slice(&check[..16]);
        std::fs::write(stage.volume().path(1), &newer).unwrap();
        let opened = Wal::open(stage.volume(), SHAPE, &mut |_| Ok(()));
        let err = opened.unwrap_err();
        assert!(
            matches!(err, OpenError::NewerFormat { form: 2, .. }),
            "{err}"
        );
        std::fs::write(stage.volume().path(1), &before[1].1).unwrap();
    }
    // This file cannot be read.
    std::fs::create_dir(stage.volume().path(7)).unwrap();
    let opened = Wal::open(stage.volume(), SHAPE, &mut |_| Ok(()));
    assert!(matches!(opened.unwrap_err(), OpenError::Disk { .. }));
    std::fs::remove_dir(stage.volume().path(7)).unwrap();
    assert_eq!(stage.disk.calls(), Vec::<&str>::new());
    assert_eq!(stage.files(), before);
}

#[test]
fn what_a_killed_process_wrote_and_did_not_sync_is_durable_before_the_first_word() {
    for seed in 0..60 {
        let stage = some();
        let wal = stage.wal();
        if seed % 2 == 0 {
            stage.disk.set_forgetful();
        }
        stage.disk.stop_at(1);
        // The frame is written and not synced, and the process is killed before it can take
        // anything back. In every other case the fsync failed, and only a new write reaches the
        // disk.
        wal.append(TestFrame::new(9, &[2_000]).frame()).unwrap_err();
        drop(wal);
        stage.disk.heal();
        let (wal, _, seen) = stage.open();
        assert_eq!(seen.len(), 4);
        drop(wal);
        stage.disk.set_tear(Tear::Sectors(seed));
        stage.cut_power();
        let (_, report, again) = stage.open();
        assert_eq!((again, report.damages), (seen, Vec::new()), "{seed}");
    }
}

#[test]
fn a_torn_end_is_dropped_zeroed_and_noted_in_the_next_head() {
    let mut torn = 0;
    for seed in 0..60 {
        let stage = some();
        let wal = stage.wal();
        stage.disk.stop_at(1);
        wal.append(TestFrame::new(9, &[6_000]).frame()).unwrap_err();
        drop(wal);
        stage.disk.heal();
        stage.disk.set_tear(Tear::Sectors(seed));
        stage.cut_power();
        let (wal, report, seen) = stage.open();
        assert_eq!(report.damages, []);
        assert!(seen.len() == 3 || seen.len() == 4);
        torn += usize::from(report.is_torn);
        let last = seen[seen.len() - 1].0;
        let end = to_block(usize::try_from(last.place + last.bytes).unwrap()) + BLOCK;
        let newest = &stage.files()[usize::try_from(last.generation - 1).unwrap()].1;
        assert!(newest[end..].iter().all(|&byte| byte == 0), "{seed}");
        let dropped = u64::from(report.is_torn);
        for number in 20..22 {
            append(&wal, &[TestFrame::new(number, &[])]);
            let (_, report, again) = stage.open();
            assert!(!report.is_torn);
            assert_eq!(report.dropped, dropped);
            assert_eq!(again[..seen.len()], seen);
            assert!(again.len() > seen.len());
        }
    }
    assert!(torn > 5, "{torn}");
}

#[test]
fn a_cut_at_any_moment_of_a_start_changes_nothing_that_is_found() {
    for is_torn in [false, true] {
        let calls = 6;
        for call in 0..calls {
            for seed in 0..20 {
                let stage = some();
                let wal = stage.wal();
                stage.disk.stop_at(1);
                wal.append(TestFrame::new(9, &[2_000]).frame()).unwrap_err();
                drop(wal);
                stage.disk.heal();
                stage.disk.set_tear(Tear::Sectors(seed));
                if is_torn {
                    stage.cut_power();
                }
                stage.disk.stop_at(call);
                let mut seen = Vec::new();
                let opened = Wal::open(stage.volume(), SHAPE, &mut |found| {
                    seen.push((found.position, TestFrame::of(found)));
                    Ok(())
                });
                let is_open = opened.is_ok();
                drop(opened);
                stage.disk.heal();
                stage.cut_power();
                let (_, report, again) = stage.open();
                let case = format!("{is_torn} {call} {seed}");
                assert_eq!(report.damages, [], "{case}");
                // Before the start answers, the last group may be lost.
                assert!(again == seen || !is_open && again == seen[..3], "{case}");
            }
        }
    }
}

#[test]
fn no_two_starts_that_gave_a_word_have_one_start_number() {
    for is_forgetful in [false, true] {
        for call in 0..12 {
            for seed in 0..20 {
                let stage = some();
                let mut spoke = Vec::new();
                for round in 0..5 {
                    stage.disk.set_tear(Tear::Sectors(seed + round));
                    if is_forgetful {
                        stage.disk.set_forgetful();
                    }
                    stage.disk.stop_at(call);
                    if let Ok((wal, _)) = Wal::open(stage.volume(), SHAPE, &mut |_| Ok(())) {
                        for number in 0..3 {
                            if wal.append(TestFrame::new(number, &[6_000]).frame()).is_ok() {
                                spoke.push(wal.start_number());
                                let newest = wal.generations().into_iter().max();
                                let _perhaps = wal.trim(newest.unwrap_or_default());
                            }
                        }
                    }
                    stage.disk.heal();
                    stage.cut_power();
                }
                spoke.dedup();
                let starts = spoke.len();
                spoke.sort_unstable();
                spoke.dedup();
                assert_eq!(spoke.len(), starts, "{call} {seed}: {spoke:?}");
                let wal = stage.wal();
                assert!(!spoke.contains(&wal.start_number()), "{call} {seed}");
                assert!(call < 8 || starts > 1, "{call} {seed}: {spoke:?}");
            }
        }
    }
}

#[test]
fn each_start_has_the_next_number_even_if_it_writes_nothing() {
    let stage = some();
    let first = stage.wal().start_number();
    for later in 1..5 {
        assert_eq!(stage.wal().start_number(), (first + later) % (1 << 24));
    }
}

#[test]
fn files_whose_making_was_cut_off_are_used_or_removed() {
    let stage = some();
    let volume = stage.volume();
    std::fs::write(volume.path(5), [0; 100]).unwrap();
    std::fs::write(volume.path(6), []).unwrap();
    let size = usize::try_from(SHAPE.segment_bytes).unwrap();
    std::fs::write(volume.path(9), vec![0; size]).unwrap();
    let (wal, report, _) = stage.open();
    assert_eq!(report.damages, []);
    assert_eq!(volume.numbers().unwrap(), [0, 1, 9]);
    for number in 10..14 {
        append(&wal, &[TestFrame::new(number, &[6_000])]);
    }
    assert_eq!(volume.numbers().unwrap(), [0, 1, 9, 10]);
    assert_eq!(stage.open().2.len(), 7);
}

#[test]
fn a_start_that_fails_for_want_of_room_can_be_tried_again() {
    let stage = some();
    for call in 0..3 {
        stage.disk.fail_once(call, Fault::Full);
        assert!(Wal::open(stage.volume(), SHAPE, &mut |_| Ok(())).is_err());
        stage.disk.heal();
        assert_eq!(stage.open().2.len(), 3);
    }
}
