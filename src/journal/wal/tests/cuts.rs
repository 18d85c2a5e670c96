//! The power is cut before each call to the disk; each unsynced sector is then old or new.

use super::{Position, Stage, TestFrame, append, append_all};
use crate::journal::tests::unsynced::Tear;
use crate::journal::wal::Wal;

/// Carries out steps until one fails. Returns the synced frames, and the oldest generation that was
/// trimmed to.
fn run(stage: &Stage, until: usize) -> (Vec<(Position, TestFrame)>, u64, bool) {
    stage.disk.stop_at(until);
    let mut told = Vec::new();
    let opened = Wal::open(stage.volume(), super::SHAPE, &mut |_| Ok(()));
    let Ok((wal, _)) = opened else {
        return (told, 1, false);
    };
    let mut oldest = 1;
    for number in 0..7 {
        let frames = [
            TestFrame::new(number, &[4_000]),
            TestFrame::new(100 + number, &[1, 2]),
        ];
        for outcome in append_all(&wal, &frames) {
            match outcome {
                Ok(appended) => told.push(appended),
                Err(_) => return (told, oldest, false),
            }
        }
        if number == 4 {
            // These segments may be gone with either outcome.
            oldest = 2;
            if wal.trim(2).is_err() {
                return (told, oldest, false);
            }
        }
    }
    let is_stopped = wal.stop().is_ok();
    (told, oldest, is_stopped)
}

#[test]
fn a_cut_at_any_moment_loses_no_frame_that_was_told_and_is_never_taken_for_damage() {
    let counted = Stage::new();
    assert!(run(&counted, usize::MAX).2);
    let calls = counted.disk.calls();
    let sectors = (0..6).map(Tear::Sectors);
    let tears: Vec<_> = Tear::ALL.into_iter().chain(sectors).collect();
    for call in 0..=calls.len() {
        for tear in &tears {
            for is_killed_first in [false, true] {
                let case = format!("cut before {call} of {calls:?}, {tear:?}, {is_killed_first}");
                let stage = Stage::new();
                let (told, oldest, is_stopped) = run(&stage, call);
                assert_eq!(is_stopped, call == calls.len(), "{case}");
                stage.disk.heal();
                stage.disk.set_tear(*tear);
                let mut spoken = Vec::new();
                if is_killed_first {
                    // The process is killed. The next one answers, and only then the power is cut.
                    spoken = stage.open().2;
                }
                stage.cut_power();
                let (wal, report, seen) = stage.open();
                assert_eq!(report.damages, [], "{case}");
                let must_be_stopped = is_stopped && !is_killed_first;
                assert!(report.was_stopped || !must_be_stopped, "{case}");
                check(&case, &told, oldest, &seen);
                if is_killed_first {
                    assert_eq!(seen, spoken, "{case}");
                }
                let more = append(&wal, &[TestFrame::new(99, &[5_000])]);
                drop(wal);
                stage.cut_power();
                let (_, report, again) = stage.open();
                assert_eq!(report.damages, [], "{case}");
                assert_eq!(again, [seen, more].concat(), "{case}");
            }
        }
    }
}

/// Checks that all synced frames are there, in order. There may also be a last group that no caller
/// was told of.
fn check(case: &str, told: &[(Position, TestFrame)], oldest: u64, seen: &[(Position, TestFrame)]) {
    let first = seen.first().map_or(u64::MAX, |(at, _)| at.generation);
    assert!(first == u64::MAX || first <= oldest, "{case}");
    let living: Vec<_> = told
        .iter()
        .filter(|(at, _)| at.generation >= first.min(oldest))
        .collect();
    let (known, more) = seen.split_at_checked(living.len()).expect(case);
    assert_eq!(known.iter().collect::<Vec<_>>(), living, "{case}");
    assert!(more.len() <= 2, "{case}");
}
