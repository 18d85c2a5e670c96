//! Uploads that are adopted side by side, and share the fsync of a directory.

use std::sync::Barrier;

use super::cuts::{Loss, lose, losses};
use super::disk::{Fault, FaultyDisk};
use super::operations::{Entry, Place, Stage, check, check_after_restart};
use super::scratch::draft;
use crate::file::FileId;
use crate::journal::shared::SharedSync;
use crate::journal::{AdoptError, Adopted, Room};

/// The calls of one adoption: none before this one has changed anything.
const LINK: usize = 1;
const SYNC_BODIES: usize = 5;
const CALLS: usize = 8;

type Adoption = Result<Adopted, AdoptError>;

/// Adopts one upload, and the second one while the first waits before the call `pause`. `plan`
/// tells the disk what to do meanwhile; its calls are counted from the start of the first.
fn adopt_both(stage: &Stage, pause: usize, plan: impl FnOnce(&FaultyDisk)) -> [Adoption; 2] {
    let bodies = [("0000000001", b"first!"), ("0000000002", b"second")]
        .map(|(name, content)| stage.scratch.spooled_as(name, content));
    let disk = &stage.scratch.disk;
    disk.heal();
    disk.pause_at(pause);
    plan(disk);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| stage.journal.adopt(Some(&bodies[0]), draft()));
        let mut second = None;
        disk.during_pause(|| second = Some(stage.journal.adopt(Some(&bodies[1]), draft())));
        [first.join().unwrap(), second.unwrap()]
    })
}

/// The entries of a stage, and those of both uploads, as far as their bodies are there: promised,
/// or perhaps nobody was told of them.
fn expected(stage: &Stage, adopted: &[Adoption; 2]) -> Vec<(Entry, Vec<Place>)> {
    let mut expected: Vec<_> = stage
        .entries
        .iter()
        .map(|entry| (entry.clone(), vec![Some(entry.room)]))
        .collect();
    for (name, content) in stage.scratch.files() {
        let id: Option<FileId> = name
            .strip_prefix("body/")
            .and_then(|name| name.parse().ok());
        let is_new = |&id: &FileId| stage.entries.iter().all(|entry| entry.id != id);
        let Some(id) = id.filter(is_new) else {
            continue;
        };
        let entry = Entry {
            name: "one of both",
            id,
            content,
            room: Room::Incoming,
        };
        let is_promised = adopted.iter().flatten().any(|adopted| adopted.id() == id);
        let nobody_was_told = (!is_promised).then_some(None);
        let places = [Some(Some(Room::Incoming)), nobody_was_told];
        expected.push((entry, places.into_iter().flatten().collect()));
    }
    let ids = adopted.iter().flatten().map(Adopted::id);
    for id in ids {
        let is_there = expected.iter().any(|(entry, _)| entry.id == id);
        assert!(is_there, "{id} was promised and has no body");
    }
    expected
}

fn of_bodies(calls: &[&str]) -> usize {
    calls
        .iter()
        .filter(|&&call| call == "sync_directory")
        .count()
        .saturating_sub(2)
}

#[test]
fn an_fsync_that_began_before_a_change_does_not_cover_it() {
    let sync = SharedSync::default();
    let early = sync.changed();
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sync.make_last(early, || {
                barrier.wait();
                barrier.wait();
                Ok(())
            })
        });
        barrier.wait();
        let during = sync.changed();
        barrier.wait();
        let mut calls = 0;
        while sync.succeeded() == 0 {
            std::thread::yield_now();
        }
        sync.make_last(during, || {
            calls += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(calls, 1, "the change came while the fsync was under way");
    });
}

#[test]
fn an_fsync_that_began_after_a_change_covers_it_once_it_has_succeeded() {
    let sync = SharedSync::default();
    let (first, second) = (sync.changed(), sync.changed());
    let mut calls = 0;
    sync.make_last(second, || {
        // Under way, it covers nobody yet.
        sync.make_last(first, || {
            calls += 1;
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(calls, 1);
    let never = || panic!("it is covered");
    sync.make_last(first, never).unwrap();
    sync.make_last(second, never).unwrap();
}

#[test]
fn a_failed_fsync_covers_nobody_and_hides_no_success() {
    let sync = SharedSync::default();
    let change = sync.changed();
    let failure = || Err(std::io::ErrorKind::Interrupted.into());
    sync.make_last(change, failure).unwrap_err();
    sync.make_last(change, failure).unwrap_err();
    sync.make_last(change, || Ok(())).unwrap();
    sync.make_last(change, failure).unwrap();
    sync.make_last(sync.changed(), failure).unwrap_err();
}

#[test]
fn of_two_uploads_side_by_side_one_fsyncs_the_bodies_for_both() {
    for pause in 0..CALLS {
        let stage = Stage::new();
        let adopted = adopt_both(&stage, pause, |_| {});
        let calls = stage.scratch.disk.calls();
        // Between its link and its own fsync the first is covered by the second.
        let is_shared = (LINK + 1..SYNC_BODIES).contains(&pause);
        let expected_calls = if is_shared { 1 } else { 2 };
        assert_eq!(of_bodies(&calls), expected_calls, "{pause}: {calls:?}");
        check(
            "both",
            &stage.scratch,
            &stage.journal,
            &expected(&stage, &adopted),
        );
        assert!(adopted.iter().all(Result::is_ok));
    }
}

#[test]
fn a_cut_at_any_moment_of_two_adoptions_leaves_each_whole_or_not_at_all() {
    for pause in 0..CALLS {
        for call in pause + 1..=2 * CALLS {
            for loss in losses(call) {
                let case = format!("paused at {pause}, cut before {call}, {loss:?}");
                let stage = Stage::new();
                let plan = |disk: &FaultyDisk| {
                    disk.stop_then(call);
                    if let Loss::Unsynced(Some(at)) = loss {
                        disk.checkpoint_at(at);
                    }
                };
                let adopted = adopt_both(&stage, pause, plan);
                let mut expected = expected(&stage, &adopted);
                let Stage {
                    scratch, journal, ..
                } = stage;
                drop(journal);
                lose(&scratch, loss, &mut expected);
                check_after_restart(&case, &scratch, &expected);
            }
        }
    }
}

#[test]
fn what_fails_of_one_upload_fails_the_other_only_if_it_was_an_fsync() {
    for pause in 0..CALLS {
        for call in pause + 1..=pause + CALLS {
            for fault in Fault::ALL {
                let stage = Stage::new();
                let plan = |disk: &FaultyDisk| disk.fail_then(call, fault);
                let [first, second] = adopt_both(&stage, pause, plan);
                let calls = stage.scratch.disk.calls();
                let case = format!("paused at {pause}, {call} of {calls:?}, {fault:?}");
                let is_poisoned = calls[call].starts_with("sync") && fault != Fault::TooManyFiles;
                assert!(second.is_err(), "{case}");
                assert_eq!(stage.journal.poison().is_some(), is_poisoned, "{case}");
                if is_poisoned {
                    assert!(matches!(first, Err(AdoptError::Poisoned(_))), "{case}");
                } else {
                    assert!(first.is_ok(), "{case}: {first:?}");
                }
                let expected = expected(&stage, &[first, second]);
                check(&case, &stage.scratch, &stage.journal, &expected);
                let Stage {
                    scratch, journal, ..
                } = stage;
                drop(journal);
                check_after_restart(&case, &scratch, &expected);
            }
        }
    }
}
