//! Calls to the disk that fail, and threads that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{SHAPE, Stage, TestFrame, Wal, append, append_all, check_reads};
use crate::journal::tests::fault::Fault;
use crate::journal::wal::AppendError;

#[test]
fn after_a_failed_fsync_there_is_no_word_and_no_write_but_reads_go_on() {
    let stage = Stage::new();
    let wal = stage.wal();
    let told = append(&wal, &[TestFrame::new(0, &[5])]);
    stage.disk.fail_once(1, Fault::Broken);
    let refused = append_all(&wal, &[TestFrame::new(1, &[]), TestFrame::new(2, &[])]);
    for outcome in refused {
        let err = outcome.unwrap_err();
        assert!(matches!(err, AppendError::Poisoned(_)), "{err}");
    }
    stage.disk.heal();
    let err = wal.append(TestFrame::new(3, &[]).frame()).unwrap_err();
    assert!(matches!(err, AppendError::Poisoned(_)), "{err}");
    assert!(wal.sync().is_err() && wal.trim(1).is_err() && wal.stop().is_err());
    assert_eq!(stage.disk.calls(), Vec::<&str>::new());
    check_reads(&wal, &told);
    drop(wal);
    // The frame was refused, and nothing of it comes back.
    let (wal, report, seen) = stage.open();
    assert_eq!((seen, report.damages), (told.clone(), Vec::new()));
    append(&wal, &[TestFrame::new(4, &[])]);
}

#[test]
fn a_group_whose_write_fails_is_refused_and_the_log_goes_on() {
    for fault in [Fault::Full, Fault::Broken, Fault::Short, Fault::Interrupted] {
        for failing in [1, 2] {
            let stage = Stage::new();
            let wal = stage.wal();
            let mut told = append(&wal, &[TestFrame::new(0, &[5])]);
            // The write of the group fails, and then also that of the head in its place.
            stage.disk.fail_once(0, fault);
            let ticket = wal.queue(TestFrame::new(1, &[5_000]).frame()).unwrap();
            if failing == 2 {
                stage.disk.stop_at(0);
            }
            let err = wal.wait(&ticket).unwrap_err();
            assert!(matches!(err, AppendError::Disk { .. }), "{err}");
            stage.disk.heal();
            told.extend(append(&wal, &[TestFrame::new(2, &[3_000])]));
            // Bytes that could not be taken back stay behind the end of their segment.
            assert_eq!(wal.generations().len(), failing, "{fault:?}");
            assert_eq!(wal.verify().unwrap(), []);
            let (_, report, seen) = stage.open();
            assert_eq!((seen, report.damages), (told, Vec::new()), "{fault:?}");
        }
    }
}

#[test]
fn each_single_failing_call_refuses_what_it_concerns_and_loses_nothing_else() {
    let run = |stage: &Stage| {
        let mut told = Vec::new();
        let opened = Wal::open(stage.volume(), SHAPE, &mut |_| Ok(()));
        let Ok((wal, _)) = opened else {
            return told;
        };
        for number in 0..12 {
            let seen = [
                TestFrame::new(number, &[3_500]),
                TestFrame::new(100 + number, &[]),
            ];
            told.extend(append_all(&wal, &seen).into_iter().flatten());
        }
        told
    };
    let counted = Stage::new();
    run(&counted);
    for call in 0..counted.disk.calls().len() {
        for fault in Fault::ALL {
            let stage = Stage::new();
            stage.disk.fail_once(call, fault);
            let told = run(&stage);
            stage.disk.heal();
            let case = format!("{call} {fault:?}");
            let (wal, report, seen) = stage.open();
            assert_eq!((report.damages, seen), (Vec::new(), told.clone()), "{case}");
            check_reads(&wal, &told);
            append(&wal, &[TestFrame::new(99, &[])]);
        }
    }
}

#[test]
fn a_start_that_cannot_sync_the_end_gives_no_log() {
    let stage = Stage::new();
    append(&stage.wal(), &[TestFrame::new(0, &[5])]);
    stage.disk.heal();
    drop(stage.wal());
    let calls = stage.disk.calls();
    assert_eq!(
        calls,
        ["write_at", "sync_bytes", "sync_directory", "write_at"]
    );
    for call in 0..3 {
        stage.disk.fail_once(call, Fault::Broken);
        let opened = Wal::open(stage.volume(), SHAPE, &mut |_| Ok(()));
        assert!(opened.is_err(), "{call}");
    }
    stage.disk.heal();
    assert_eq!(stage.open().2.len(), 1);
}

#[test]
fn a_panic_in_the_disk_is_told_to_all_who_wait_and_the_log_goes_on() {
    for call in 0..2 {
        let stage = Stage::new();
        let wal = stage.wal();
        let mut told = append(&wal, &[TestFrame::new(0, &[5])]);
        stage.disk.panic_once(call);
        let [first, second] = [1, 2].map(|number| wal.queue(TestFrame::new(number, &[]).frame()));
        let (first, second) = (first.unwrap(), second.unwrap());
        let panicked = catch_unwind(AssertUnwindSafe(|| wal.wait(&first)));
        assert!(panicked.is_err());
        let err = wal.wait(&second).unwrap_err();
        assert!(matches!(err, AppendError::Panicked), "{err}");
        told.extend(append(&wal, &[TestFrame::new(3, &[5])]));
        assert_eq!(stage.open().2, told, "{call}");
    }
}
