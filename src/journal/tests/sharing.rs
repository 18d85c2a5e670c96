//! Uploads that are adopted side by side, and share fsyncs.

use std::sync::Barrier;
use std::thread;

use super::adoption::pending;
use super::cuts::{TEARS, lose};
use super::scratch::{LARGE, SMALL, Scratch, content, draft};
use super::stage::restart;
use crate::journal::AdoptError;
use crate::journal::shared::SharedSync;
use crate::journal::tests::disk::FaultyDisk;
use crate::journal::tests::fault::Fault;
use crate::journal::{Adopted, Journal};

/// The number of calls for one large body, if it is alone and the log has begun.
const CALLS: [&str; 7] = [
    "free_bytes",
    "link",
    "sync_file",
    "sync_directory",
    "write_at",
    "sync_bytes",
    "write_at",
];

type Adoption = Result<Adopted, AdoptError>;

fn stage() -> (Scratch, Journal) {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    scratch.adopt(&journal, SMALL);
    scratch.disk.heal();
    (scratch, journal)
}

/// Adopts one upload, and a second one while the first waits before the call `pause`. `plan` tells the
/// disk what to do meanwhile; calls are counted from the start of the first upload.
fn adopt_both(
    scratch: &Scratch,
    journal: &Journal,
    pause: usize,
    plan: impl FnOnce(&FaultyDisk),
) -> [Adoption; 2] {
    let bodies = ["0000000001", "0000000002"].map(|name| scratch.spooled_as(name, LARGE));
    let [first, second] = &bodies;
    let disk = &scratch.disk;
    disk.heal();
    disk.pause_at(pause);
    plan(disk);
    thread::scope(|scope| {
        let one = scope.spawn(|| journal.adopt(Some(first), draft()));
        let mut other = None;
        disk.during_pause(|| {
            let thread = scope.spawn(|| journal.adopt(Some(second), draft()));
            // The thread either ends, or waits for the group of the first one.
            while journal.wal.queued() == 0 && !thread.is_finished() {
                thread::yield_now();
            }
            other = Some(thread);
        });
        [one, other.unwrap()].map(|thread| thread.join().unwrap())
    })
}

fn count(calls: &[&str], name: &str) -> usize {
    calls.iter().filter(|&&call| call == name).count()
}

#[test]
fn a_lone_upload_makes_its_calls_in_the_order_that_the_table_says() {
    let (scratch, journal) = stage();
    scratch.adopt(&journal, LARGE);
    assert_eq!(scratch.disk.calls(), CALLS);
    scratch.disk.heal();
    scratch.adopt(&journal, SMALL);
    let small = ["free_bytes", "write_at", "sync_bytes", "write_at"];
    assert_eq!(scratch.disk.calls(), small);
}

#[test]
fn an_fsync_that_began_before_a_change_does_not_cover_it() {
    let sync = SharedSync::default();
    let early = sync.changed();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
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
            thread::yield_now();
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
        // While it runs it covers no change yet.
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
    for pause in 0..CALLS.len() {
        let (scratch, journal) = stage();
        let adopted = adopt_both(&scratch, &journal, pause, |_| {});
        let calls = scratch.disk.calls();
        // If the pause is between the first one's link and its own fsync, the second one's fsync
        // covers it.
        let expected = if pause == 2 { 1 } else { 2 };
        let found = count(&calls, "sync_directory");
        assert_eq!(found, expected, "{pause}: {calls:?}");
        for adopted in adopted {
            assert_eq!(content(&journal, adopted.unwrap().id()).unwrap(), LARGE);
        }
        assert_eq!(pending(&journal).len(), 3);
    }
}

/// Each entry is whole or absent; every promised one is there.
fn check(case: &str, scratch: &Scratch, journal: &Journal, adopted: &[Adoption; 2]) {
    let found = pending(journal);
    let told: Vec<_> = adopted.iter().flatten().map(Adopted::id).collect();
    let is_there = told.iter().all(|id| found.contains(id));
    assert!(is_there && found.len() <= 3, "{case}: {told:?}, {found:?}");
    for id in &found {
        let body = content(journal, *id).unwrap();
        assert!(body == LARGE || body == SMALL, "{case}");
    }
    let bodies = Scratch::names(&scratch.layout().bodies()).len();
    assert_eq!(bodies, found.len() - 1, "{case}");
}

#[test]
fn a_cut_at_any_moment_of_two_adoptions_leaves_each_whole_or_not_at_all() {
    for pause in 0..CALLS.len() {
        for call in pause + 1..=2 * CALLS.len() {
            for tear in TEARS {
                let case = format!("paused at {pause}, cut before {call}, {tear:?}");
                let (scratch, journal) = stage();
                let plan = |disk: &FaultyDisk| disk.stop_then(call);
                let adopted = adopt_both(&scratch, &journal, pause, plan);
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                check(&case, &scratch, &journal, &adopted);
                let found = pending(&journal);
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                assert_eq!(pending(&journal), found, "{case}, told and cut");
                check(&case, &scratch, &journal, &adopted);
            }
        }
    }
}

#[test]
fn what_fails_of_one_upload_fails_the_other_only_if_they_share_it() {
    for pause in 0..CALLS.len() {
        for call in pause + 1..=pause + CALLS.len() {
            for fault in Fault::ALL {
                let (scratch, journal) = stage();
                let plan = |disk: &FaultyDisk| disk.fail_then(call, fault);
                let adopted = adopt_both(&scratch, &journal, pause, plan);
                let calls = scratch.disk.calls();
                let case = format!("paused at {pause}, {call} of {calls:?}, {fault:?}");
                scratch.disk.heal();
                let failed = adopted.iter().filter(|adopted| adopted.is_err()).count();
                let failing = calls.get(call).copied().unwrap_or_default();
                let is_shared = failing.starts_with("sync") || failing == "write_at";
                assert!(failed < 2 || is_shared, "{case}: {adopted:?}");
                let is_poison = failing.starts_with("sync") && fault != Fault::TooManyFiles;
                assert_eq!(journal.poison().is_some(), is_poison, "{case}");
                let told = adopted.iter().flatten().count();
                assert_eq!(pending(&journal).len(), told + 1, "{case}");
                drop(journal);
                let journal = restart(&case, &scratch);
                check(&case, &scratch, &journal, &adopted);
            }
        }
    }
}

#[test]
fn what_waits_while_a_group_is_synced_makes_up_the_next_one() {
    for is_cut in [false, true] {
        let (scratch, journal) = stage();
        let bodies: Vec<_> = (0..5)
            .map(|n| scratch.spooled_as(&format!("{n:010}"), format!("body {n}").as_bytes()))
            .collect();
        scratch.disk.pause_at(2);
        let ids =
            thread::scope(|scope| {
                let (first, others) = bodies.split_first().unwrap();
                let journal = &journal;
                let first = scope.spawn(move || journal.adopt(first, draft()).unwrap().id());
                let mut running = Vec::new();
                scratch.disk.during_pause(|| {
                    running.extend(others.iter().map(|body| {
                        scope.spawn(move || journal.adopt(body, draft()).unwrap().id())
                    }));
                    while journal.wal.queued() < 4 {
                        thread::yield_now();
                    }
                    let is_over = running.iter().any(thread::ScopedJoinHandle::is_finished);
                    assert!(!is_over, "not synced");
                });
                let mut ids = vec![first.join().unwrap()];
                ids.extend(running.into_iter().map(|one| one.join().unwrap()));
                ids
            });
        let calls = scratch.disk.calls();
        assert_eq!(count(&calls, "sync_bytes"), 2, "{calls:?}");
        drop(journal);
        if is_cut {
            scratch.cut_power();
        }
        let journal = restart("after two groups", &scratch);
        for (n, id) in ids.into_iter().enumerate() {
            let expected = format!("body {n}").into_bytes();
            assert_eq!(content(&journal, id), Some(expected));
        }
    }
}

#[test]
fn a_cut_in_the_midst_of_a_shared_group_loses_nothing_that_was_promised() {
    // Admissions come in any order, so each call is tried.
    for call in 1..14 {
        for tear in TEARS {
            let case = format!("cut before {call}, {tear:?}");
            let (scratch, journal) = stage();
            let bodies: Vec<_> = (0..4)
                .map(|n| scratch.spooled_as(&format!("{n:010}"), b"beside"))
                .collect();
            scratch.disk.stop_at(call);
            let told: Vec<_> = thread::scope(|scope| {
                let journal = &journal;
                let running: Vec<_> = bodies
                    .iter()
                    .map(|body| scope.spawn(move || journal.adopt(body, draft())))
                    .collect();
                let done = running.into_iter().map(|one| one.join().unwrap());
                done.filter_map(Result::ok).collect()
            });
            drop(journal);
            lose(&scratch, tear);
            let journal = restart(&case, &scratch);
            for one in &told {
                assert_eq!(content(&journal, one.id()).unwrap(), b"beside", "{case}");
            }
            let found = pending(&journal);
            drop(journal);
            scratch.cut_power();
            let journal = restart(&case, &scratch);
            assert_eq!(pending(&journal), found, "{case}");
        }
    }
}
