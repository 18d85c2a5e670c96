//! A word about what another thread is just doing, and a cut right after it: what was told stays true.

use std::path::PathBuf;
use std::thread;

use super::operations::Stage;
use super::scratch::{Scratch, room};
use crate::file::{FileId, UnixMillis};
use crate::journal::{Deletion, Disk as _, Journal, Look, Retried, Room};

/// What a cut takes away: nothing, or all that was not fsynced but for one directory or all but one,
/// which the file system wrote by itself.
fn cuts(scratch: &Scratch) -> Vec<Option<Vec<PathBuf>>> {
    let layout = scratch.layout();
    let mut all: Vec<_> = Room::ALL.iter().map(|&room| layout.room(room)).collect();
    all.push(layout.bodies());
    let but = |one: &PathBuf| all.iter().filter(|&other| other != one).cloned().collect();
    let mut cuts = vec![None, Some(Vec::new())];
    cuts.extend(all.iter().map(|one| Some(vec![one.clone()])));
    cuts.extend(all.iter().map(|one| Some(but(one))));
    cuts
}

fn start_after(scratch: &Scratch, written: Option<Vec<PathBuf>>, case: &str) -> Journal {
    scratch.disk.heal();
    if let Some(written) = written {
        for directory in written {
            scratch.disk.sync_directory(&directory).unwrap();
        }
        scratch.cut_power();
    }
    let (journal, recovered) = scratch.open();
    assert_eq!(recovered.corrupt, 0, "{case}");
    journal
}

/// Stops the disk for good in each fsync of a directory that `act` does, after others have `heard` of it
/// just then; `check` gets the journal of the next start.
fn at_each_fsync(
    act: impl Fn(&Stage) + Sync,
    heard: impl Fn(&Stage, &str),
    check: impl Fn(&str, &Stage, &Journal),
) {
    let stage = Stage::new();
    act(&stage);
    let calls = stage.scratch.disk.calls();
    let fsyncs = (0..calls.len()).filter(|&call| calls[call] == "sync_directory");
    assert!(fsyncs.clone().count() > 0, "{calls:?}");
    for call in fsyncs {
        for cut in 0..cuts(&stage.scratch).len() {
            let case = format!("call {call} of {calls:?}, cut {cut}");
            let mut stage = Stage::new();
            stage.scratch.disk.pause_at(call);
            thread::scope(|scope| {
                let acting = scope.spawn(|| act(&stage));
                stage.scratch.disk.during_pause(|| {
                    heard(&stage, &case);
                    stage.scratch.disk.stop_then(call);
                });
                acting.join().unwrap();
            });
            let idle = Scratch::new().journal();
            drop(std::mem::replace(&mut stage.journal, idle));
            let written = cuts(&stage.scratch).remove(cut);
            let journal = start_after(&stage.scratch, written, &case);
            check(&case, &stage, &journal);
        }
    }
}

#[test]
fn nobody_is_told_of_a_delete_that_a_power_cut_undoes() {
    let words: [fn(&Journal, FileId) -> bool; 2] = [
        |journal, id| journal.delete(id).unwrap() == Deletion::Already,
        |journal, id| {
            assert!(journal.glance(id).is_err(), "memory alone cannot tell");
            matches!(journal.look(id), Ok(Look::Deleted))
        },
    ];
    for name in ["waiting", "begun", "deferred", "held"] {
        for is_told in words {
            at_each_fsync(
                |stage| drop(stage.journal.delete(stage.id(name))),
                |stage, case| assert!(is_told(&stage.journal, stage.id(name)), "{name}, {case}"),
                |case, stage, journal| {
                    let found = room(journal, stage.id(name));
                    assert_eq!(found, Some(Room::Deleted), "{name}, {case}");
                },
            );
        }
    }
}

#[test]
fn nobody_is_told_of_a_retry_that_a_power_cut_undoes() {
    at_each_fsync(
        |stage| drop(stage.journal.retry(stage.id("held"))),
        |stage, case| {
            let again = stage.journal.retry(stage.id("held")).unwrap();
            assert_eq!(again, Retried::NotPutOff(Room::Incoming), "{case}");
        },
        |case, stage, journal| {
            let found = room(journal, stage.id("held"));
            assert_eq!(found, Some(Room::Incoming), "{case}");
        },
    );
}

#[test]
fn a_file_that_is_deleted_while_it_is_evicted_is_never_served_again() {
    let names = ["settled", "settled too"];
    at_each_fsync(
        |stage| drop(stage.journal.evict_settled()),
        |stage, case| {
            for name in names {
                let deleted = stage.journal.delete(stage.id(name));
                assert_eq!(deleted.unwrap(), Deletion::NotHere, "{name}, {case}");
            }
        },
        |case, stage, journal| {
            for name in names {
                assert_eq!(room(journal, stage.id(name)), None, "{name}, {case}");
            }
        },
    );
}

#[test]
fn what_was_moved_often_and_then_deleted_does_not_come_back_whatever_the_disk_wrote_by_itself() {
    let moves: [fn(&Journal, FileId); 3] = [
        |journal, id| journal.defer(id, "why", UnixMillis(1)).unwrap(),
        |journal, id| {
            journal.defer(id, "why", UnixMillis(1)).unwrap();
            journal.hold(id, "why").unwrap();
        },
        |journal, id| {
            journal.hold(id, "why").unwrap();
            journal.retry(id).unwrap();
        },
    ];
    for (number, act) in moves.into_iter().enumerate() {
        for is_erased in [false, true] {
            for cut in 0..cuts(&Scratch::new()).len() {
                let case = format!("moves {number}, erased {is_erased}, cut {cut}");
                let scratch = Scratch::new();
                let journal = scratch.journal();
                let id = scratch.adopt(&journal, b"body");
                act(&journal, id);
                journal.delete(id).unwrap();
                if is_erased {
                    journal.erase(id).unwrap();
                }
                drop(journal);
                let written = cuts(&scratch).remove(cut);
                let journal = start_after(&scratch, written, &case);
                let found = room(&journal, id);
                let is_gone = found == Some(Room::Deleted) || (is_erased && found.is_none());
                assert!(is_gone, "{case}: {found:?}");
            }
        }
    }
}
