//! Two threads that want the same entry.

use std::thread;

use super::scratch::{LARGE, Scratch, committed, content, room};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::Room;
use crate::journal::{Deletion, Journal, Settling, Work};

fn settled(scratch: &mut Scratch) -> (Journal, FileId) {
    scratch.limits.settled_grace = std::time::Duration::ZERO;
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    journal.settle(&committed(id)).unwrap();
    scratch.disk.heal();
    (journal, id)
}

/// Waits until this thread waits for the end of another step; returns whether it does.
pub(super) fn waits<T>(journal: &Journal, thread: &thread::ScopedJoinHandle<'_, T>) -> bool {
    while journal.memory.waiting() == 0 {
        if thread.is_finished() {
            return false;
        }
        thread::yield_now();
    }
    true
}

#[test]
fn a_delete_waits_for_an_eviction_and_nothing_brings_the_entry_back() {
    let calls = {
        let mut scratch = Scratch::new();
        let (journal, _) = settled(&mut scratch);
        journal.evict_settled().unwrap();
        scratch.disk.calls()
    };
    let unlink = calls.iter().position(|&call| call == "unlink").unwrap();
    let fsync = calls.iter().position(|&call| call == "sync_bytes").unwrap();
    for call in unlink..=fsync {
        let mut scratch = Scratch::new();
        let (journal, id) = settled(&mut scratch);
        scratch.disk.pause_at(call);
        let deleted = thread::scope(|scope| {
            let evicting = scope.spawn(|| journal.evict_settled());
            let mut deleting = None;
            let mut has_waited = false;
            scratch.disk.during_pause(|| {
                let thread = scope.spawn(|| journal.delete(id));
                has_waited = waits(&journal, &thread);
                deleting = Some(thread);
            });
            assert!(has_waited);
            assert_eq!(evicting.join().unwrap().unwrap(), 1);
            deleting.unwrap().join().unwrap().unwrap()
        });
        // The store has it: the caller asks the store, and the store's answer stays true.
        assert_eq!(deleted, Deletion::NotHere, "{call}");
        drop(journal);
        scratch.cut_power();
        let journal = restart("deleted while it was evicted", &scratch);
        assert_eq!(room(&journal, id), None, "{call}");
        assert_eq!(content(&journal, id), None, "{call}");
    }
}

#[test]
fn an_eviction_that_fails_lets_the_delete_go_on() {
    let mut scratch = Scratch::new();
    let (journal, id) = settled(&mut scratch);
    let unlink = 1;
    scratch
        .disk
        .fail_once(unlink, crate::journal::tests::fault::Fault::TooManyFiles);
    journal.evict_settled().unwrap_err();
    scratch.disk.heal();
    assert_eq!(room(&journal, id), Some(Room::Settled));
    assert_eq!(journal.delete(id).unwrap(), Deletion::Settled);
    assert_eq!(room(&journal, id), None);
}

/// A message may have linked it since, and only the store knows that.
#[test]
fn a_delete_of_a_settled_entry_that_is_cut_leaves_no_work_in_the_store() {
    let calls = {
        let mut scratch = Scratch::new();
        let (journal, id) = settled(&mut scratch);
        assert_eq!(journal.delete(id).unwrap(), Deletion::Settled);
        scratch.disk.calls()
    };
    for call in 0..=calls.len() {
        let case = format!("cut before {call} of {calls:?}");
        let mut scratch = Scratch::new();
        let (journal, id) = settled(&mut scratch);
        scratch.disk.stop_at(call);
        let is_told = journal.delete(id).is_ok();
        drop(journal);
        scratch.cut_power();
        let journal = restart(&case, &scratch);
        let room = room(&journal, id);
        assert!(
            room.is_none() || !is_told && room == Some(Room::Settled),
            "{case}: {room:?}"
        );
        assert!(journal.work().is_empty(), "{case}");
        assert!(is_told || call < calls.len(), "{case}");
    }
}

#[test]
fn a_second_delete_is_told_when_the_first_one_is_durable() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    scratch.disk.pause_at(1); // the fdatasync
    thread::scope(|scope| {
        let first = scope.spawn(|| journal.delete(id));
        let mut second = None;
        let mut has_waited = false;
        scratch.disk.during_pause(|| {
            let thread = scope.spawn(|| journal.delete(id));
            has_waited = waits(&journal, &thread);
            second = Some(thread);
            // For every caller nothing has happened yet.
            assert_eq!(room(&journal, id), Some(Room::Incoming));
        });
        assert!(has_waited);
        assert_eq!(first.join().unwrap().unwrap(), Deletion::Done);
        assert_eq!(second.unwrap().join().unwrap().unwrap(), Deletion::Already);
    });
    drop(journal);
    scratch.cut_power();
    let journal = restart("deleted twice", &scratch);
    assert_eq!(room(&journal, id), Some(Room::Deleted));
}

#[test]
fn a_second_delete_goes_on_when_the_first_one_fails() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    scratch
        .disk
        .fail_once(0, crate::journal::tests::fault::Fault::Full);
    journal.delete(id).unwrap_err();
    assert_eq!(room(&journal, id), Some(Room::Incoming));
    assert_eq!(content(&journal, id).unwrap(), LARGE);
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
}

#[test]
fn a_commit_does_not_begin_while_a_tombstone_is_under_way_that_says_none_had() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    scratch.disk.pause_at(1);
    thread::scope(|scope| {
        let deleting = scope.spawn(|| journal.delete(id));
        let mut work = None;
        let mut has_waited = false;
        scratch.disk.during_pause(|| {
            let thread = scope.spawn(|| journal.open_work(id));
            has_waited = waits(&journal, &thread);
            work = Some(thread);
        });
        assert!(has_waited);
        deleting.join().unwrap().unwrap();
        let work = work.unwrap().join().unwrap().unwrap();
        assert!(
            matches!(
                work,
                Work::Erase {
                    is_begun: false,
                    ..
                }
            ),
            "{work:?}"
        );
    });
}

#[test]
fn what_was_deleted_while_it_was_committed_is_told_to_the_committer() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let [deleted, settled] = [(); 2].map(|()| scratch.adopt(&journal, LARGE));
    journal.open_work(deleted).unwrap();
    assert_eq!(journal.delete(deleted).unwrap(), Deletion::Done);
    let proofs = [deleted, settled, settled].map(committed);
    let outcomes = journal.settle_all(&proofs);
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let expected = [Settling::Deleted, Settling::Settled, Settling::Settled];
    assert_eq!(outcomes, expected);
    let work = journal.open_work(deleted).unwrap();
    assert!(
        matches!(work, Work::Erase { is_begun: true, .. }),
        "{work:?}"
    );
    assert_eq!(journal.delete(settled).unwrap(), Deletion::Settled);
    assert_eq!(journal.delete(settled).unwrap(), Deletion::NotHere);
}
