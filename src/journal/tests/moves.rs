//! Moves of an entry from state to state.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::scratch::{HOUR, LARGE, SMALL, Scratch, absent, committed, content, room};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::admission::backlog;
use crate::journal::{Deletion, Journal, Lookup, Retried, Settling, Work};
use crate::journal::{JournalError, Room};

pub(super) const BODIES: [&[u8]; 2] = [SMALL, LARGE];

/// Returns the attempts so far, and whether the store may hold something; `None` if there is
/// nothing to commit.
fn commit(journal: &Journal, id: FileId) -> Option<(u32, bool)> {
    match journal.open_work(id).unwrap() {
        Work::Commit { promised, attempts } => Some((attempts, promised.is_retry)),
        Work::Erase { .. } | Work::Undo { .. } | Work::Nothing => None,
    }
}

pub(super) fn pending(journal: &Journal) -> u64 {
    backlog(&journal.state()).entries
}

pub(super) fn linked(scratch: &Scratch) -> usize {
    Scratch::names(&scratch.layout().bodies()).len()
}

#[test]
fn a_proven_entry_is_settled_and_doing_it_twice_does_no_harm() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        let length = u64::try_from(body.len()).unwrap();
        for _ in 0..2 {
            assert_eq!(journal.settle(&committed(id)).unwrap(), Settling::Settled);
            let Ok(Lookup::Kept(kept)) = journal.lookup(id) else {
                panic!("it is here");
            };
            assert_eq!(kept.room, Room::Settled);
            assert_eq!(kept.sha256, Some(committed(id).sha256()));
            let room = journal.try_lookup(id).unwrap().unwrap();
            assert_eq!(room, Room::Settled);
            assert_eq!(content(&journal, id).unwrap(), body);
            assert_eq!(journal.work(), []);
            assert!(!journal.is_pending(id));
            assert_eq!((pending(&journal), journal.length(id)), (0, Some(length)));
            let settled = journal.totals(Room::Settled);
            assert_eq!((settled.entries, settled.bytes), (1, length));
        }
        assert_eq!(commit(&journal, id), None);
    }
}

#[test]
fn an_entry_that_is_not_here_cannot_be_moved() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = absent();
    let is_absent = |moved| matches!(moved, Err(JournalError::Absent(found)) if found == id);
    assert!(is_absent(journal.settle(&committed(id)).map(drop)));
    assert!(is_absent(journal.defer(id, "why", Duration::ZERO)));
    assert!(is_absent(journal.hold(id, "why")));
    assert_eq!(journal.retry(id).unwrap(), Retried::Absent);
    assert_eq!(journal.delete(id).unwrap(), Deletion::NotHere);
    journal.set_aside(id, "why").unwrap();
    journal.erase(id).unwrap();
    assert!(matches!(journal.open_work(id), Ok(Work::Nothing)));
    assert!(matches!(journal.lookup(id), Ok(Lookup::Absent)));
    assert_eq!(journal.try_lookup(id).unwrap(), None);
    assert_eq!((journal.length(id), linked(&scratch)), (None, 0));
    assert_eq!(journal.state().index.len(), 0);
}

#[test]
fn a_commit_does_not_undo_a_delete() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        assert_eq!(commit(&journal, id), Some((0, false)));
        assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
        assert_eq!(journal.settle(&committed(id)).unwrap(), Settling::Deleted);
        assert!(journal.defer(id, "why", Duration::ZERO).is_err());
        assert!(journal.hold(id, "why").is_err());
        let retried = journal.retry(id).unwrap();
        assert_eq!(retried, Retried::NotPutOff(Room::Deleted));
        assert!(matches!(journal.lookup(id), Ok(Lookup::Deleted)));
        drop(journal);
        let journal = restart("deleted while it was committed", &scratch);
        assert_eq!(room(&journal, id), Some(Room::Deleted));
    }
}

#[test]
fn a_delete_before_any_commit_leaves_a_tombstone_until_the_store_answers_for_itself() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
        assert_eq!(linked(&scratch), 0);
        assert!(matches!(journal.lookup(id), Ok(Lookup::Deleted)));
        assert_eq!(content(&journal, id), None);
        assert_eq!(journal.delete(id).unwrap(), Deletion::Already);
        assert_eq!(pending(&journal), 0);
        assert_eq!(journal.work(), [(id, None)]);
        let work = journal.open_work(id);
        assert!(matches!(
            work,
            Ok(Work::Erase {
                is_begun: false,
                ..
            })
        ));
        journal.erase(id).unwrap();
        assert!(matches!(journal.lookup(id), Ok(Lookup::Absent)));
        assert_eq!(journal.delete(id).unwrap(), Deletion::NotHere);
        assert_eq!(journal.work(), []);
        drop(journal);
        let journal = restart("erased", &scratch);
        assert_eq!(room(&journal, id), None);
    }
}

#[test]
fn a_delete_after_a_commit_has_begun_outlives_a_restart_until_it_is_erased() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        commit(&journal, id).unwrap();
        assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
        assert_eq!(journal.delete(id).unwrap(), Deletion::Already);
        drop(journal);
        let journal = restart("deleted", &scratch);
        assert_eq!(journal.delete(id).unwrap(), Deletion::Already);
        assert_eq!(journal.work(), [(id, None)]);
        let work = journal.open_work(id);
        assert!(matches!(work, Ok(Work::Erase { is_begun: true, .. })));
        assert!(journal.cleared_for(id) < Duration::from_hours(1));
        journal.erase(id).unwrap();
        assert!(matches!(journal.lookup(id), Ok(Lookup::Absent)));
        assert_eq!(journal.totals(Room::Deleted).entries, 0);
    }
}

#[test]
fn after_a_restart_any_commit_may_have_begun() {
    let scratch = Scratch::new();
    let id = scratch.adopt(&scratch.journal(), SMALL);
    let journal = restart("adopted", &scratch);
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
    let work = journal.open_work(id);
    assert!(matches!(work, Ok(Work::Erase { is_begun: true, .. })));
}

#[test]
fn a_delete_that_overtakes_the_start_of_a_commit_is_seen_by_one_of_them() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    for _ in 0..200 {
        let id = scratch.adopt(&journal, SMALL);
        let barrier = Barrier::new(2);
        let (work, deletion) = thread::scope(|scope| {
            let opening = scope.spawn(|| {
                barrier.wait();
                journal.open_work(id)
            });
            barrier.wait();
            let deletion = journal.delete(id).unwrap();
            (opening.join().unwrap(), deletion)
        });
        assert_eq!(deletion, Deletion::Done);
        if matches!(work, Ok(Work::Commit { .. })) {
            let work = journal.open_work(id);
            assert!(matches!(work, Ok(Work::Erase { is_begun: true, .. })));
        }
        journal.erase(id).unwrap();
    }
}

#[test]
fn a_settled_entry_is_deleted_at_once() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        journal.settle(&committed(id)).unwrap();
        assert_eq!(journal.delete(id).unwrap(), Deletion::Settled);
        assert_eq!(linked(&scratch), 0);
        assert_eq!(journal.delete(id).unwrap(), Deletion::NotHere);
        assert_eq!(journal.totals(Room::Settled).entries, 0);
        assert_eq!(journal.state().index.len(), 0);
    }
}

#[test]
fn a_deferred_entry_keeps_its_history_across_restarts() {
    for body in BODIES {
        let scratch = Scratch::new();
        let mut journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        let accepted = match journal.lookup(id).unwrap() {
            Lookup::Kept(kept) => kept.meta,
            other @ (Lookup::Absent | Lookup::Deleted | Lookup::Growing) => panic!("{other:?}"),
        };
        for attempt in 1..4 {
            let pause = attempt * HOUR;
            let reason = format!("failure {attempt}");
            journal.defer(id, &reason, pause).unwrap();
            for _ in 0..2 {
                let why = journal.waiting_for(id).unwrap().unwrap();
                assert_eq!((why.room, why.attempts), (Room::Deferred, attempt));
                assert_eq!(why.reason.as_ref(), Some(&reason));
                let [(found, Some(left))] = journal.work()[..] else {
                    panic!("one is to be done");
                };
                assert_eq!(found, id);
                assert!(left.abs_diff(pause) < HOUR / 2, "{left:?}, {pause:?}");
                assert_eq!(pending(&journal), 1);
                drop(journal);
                journal = restart("deferred", &scratch);
            }
            let Ok(Lookup::Kept(kept)) = journal.lookup(id) else {
                panic!("it is here");
            };
            assert_eq!(kept.meta, accepted);
            assert_eq!(commit(&journal, id), Some((attempt, true)));
        }
    }
}

#[test]
fn a_held_entry_waits_across_restarts_until_an_admin_retries_it() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        let pause = HOUR;
        journal.defer(id, "at first", pause).unwrap();
        journal.hold(id, "for good").unwrap();
        drop(journal);
        let journal = restart("held", &scratch);
        assert_eq!(journal.held(), [id]);
        assert_eq!(journal.work(), []);
        assert_eq!(commit(&journal, id), None);
        assert_eq!(pending(&journal), 1, "it is promised still");
        let why = journal.waiting_for(id).unwrap().unwrap();
        assert_eq!((why.room, why.attempts), (Room::Hold, 2));
        assert_eq!(
            (why.reason.as_deref(), why.next_attempt),
            (Some("for good"), None)
        );
        assert_eq!(journal.retry(id).unwrap(), Retried::Begun);
        let again = journal.retry(id).unwrap();
        assert_eq!(again, Retried::NotPutOff(Room::Incoming));
        drop(journal);
        let journal = restart("retried", &scratch);
        assert_eq!(journal.held(), []);
        assert_eq!(journal.work(), [(id, None)]);
        assert_eq!(commit(&journal, id), Some((0, true)));
        assert_eq!(content(&journal, id).unwrap(), body);
    }
}
