//! How an entry goes through the rooms.

use std::time::Duration;

use super::disk::Fault;
use super::scratch::{Scratch, committed, id, room};
use crate::file::{FileId, UnixMillis};
use crate::journal::{
    Deletion, Journal, JournalError, Look, Record, Retried, Room, Settling, Totals, Work,
};

fn record(scratch: &Scratch, room: Room, id: FileId) -> Record {
    let bytes = std::fs::read(scratch.layout().record(room, id)).unwrap();
    Record::decode(id, &bytes).unwrap()
}

/// Attempts so far and whether the store may hold something; `None` if there is nothing to commit.
fn commit(journal: &Journal, id: FileId) -> Option<(u32, bool)> {
    match journal.open_work(id).unwrap() {
        Work::Commit { promised, attempts } => Some((attempts, promised.is_retry)),
        Work::Erase { .. } | Work::Nothing => None,
    }
}

#[test]
fn a_proven_entry_is_settled_and_doing_it_twice_does_no_harm() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    for _ in 0..2 {
        assert_eq!(journal.settle(&committed(id)).unwrap(), Settling::Settled);
        let Ok(Look::Kept(kept)) = journal.look(id) else {
            panic!("it is here");
        };
        assert_eq!(kept.room, Room::Settled);
        assert_eq!(kept.sha256, Some(committed(id).sha256()));
        let glimpse = journal.glance(id).unwrap().unwrap();
        assert_eq!((glimpse.room, glimpse.sha256), (kept.room, kept.sha256));
        assert_eq!(journal.work(), []);
        assert_eq!(journal.totals(Room::Incoming), Totals::default());
        assert_eq!(journal.totals(Room::Settled).bytes, 5);
        assert_eq!(
            scratch.names(),
            [format!("body/{id}"), format!("settled/{id}.json")]
        );
    }
    assert_eq!(commit(&journal, id), None);
}

#[test]
fn an_entry_that_is_not_here_cannot_be_moved() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let absent = |moved| matches!(moved, Err(JournalError::Absent(found)) if found == id(1));
    assert!(absent(journal.settle(&committed(id(1))).map(drop)));
    assert!(absent(journal.defer(id(1), "why", UnixMillis(1))));
    assert!(absent(journal.hold(id(1), "why")));
    assert_eq!(journal.retry(id(1)).unwrap(), Retried::Absent);
    assert_eq!(journal.delete(id(1)).unwrap(), Deletion::NotHere);
    journal.set_aside(id(1), "why").unwrap();
    assert!(matches!(journal.open_work(id(1)), Ok(Work::Nothing)));
    assert!(matches!(journal.look(id(1)), Ok(Look::Absent)));
    assert_eq!(scratch.names(), Vec::<String>::new());
}

#[test]
fn a_commit_does_not_undo_a_delete() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    assert_eq!(commit(&journal, id), Some((0, false)));
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
    assert_eq!(journal.settle(&committed(id)).unwrap(), Settling::Deleted);
    assert!(journal.defer(id, "why", UnixMillis(1)).is_err());
    assert!(journal.hold(id, "why").is_err());
    let retried = journal.retry(id).unwrap();
    assert_eq!(retried, Retried::NotPutOff(Room::Deleted));
    assert!(matches!(journal.look(id), Ok(Look::Deleted)));
    drop(journal);
    assert_eq!(room(&scratch.journal(), id), Some(Room::Deleted));
}

#[test]
fn a_delete_before_any_commit_leaves_a_record_until_the_store_answers_for_itself() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
    assert_eq!(scratch.names(), [format!("deleted/{id}.json")]);
    assert!(matches!(journal.look(id), Ok(Look::Deleted)));
    assert_eq!(journal.delete(id).unwrap(), Deletion::Already);
    assert_eq!(journal.index().backlog(), Totals::default());
    let work = journal.open_work(id);
    assert!(matches!(work, Ok(Work::Erase { is_begun: false })));
    journal.erase(id).unwrap();
    assert_eq!(scratch.names(), Vec::<String>::new());
    assert!(matches!(journal.look(id), Ok(Look::Absent)));
    assert_eq!(journal.delete(id).unwrap(), Deletion::NotHere);
    assert_eq!(journal.work(), []);
}

#[test]
fn a_delete_after_a_commit_has_begun_outlives_a_restart_until_it_is_erased() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    commit(&journal, id).unwrap();
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
    assert_eq!(journal.delete(id).unwrap(), Deletion::Already);
    assert_eq!(journal.index().backlog(), Totals::default());
    drop(journal);
    let journal = scratch.journal();
    assert_eq!(journal.delete(id).unwrap(), Deletion::Already);
    assert_eq!(journal.work(), [(id, UnixMillis(0))]);
    assert!(matches!(
        journal.open_work(id),
        Ok(Work::Erase { is_begun: true })
    ));
    journal.erase(id).unwrap();
    assert!(matches!(journal.look(id), Ok(Look::Absent)));
    assert_eq!(scratch.names(), Vec::<String>::new());
    assert_eq!(journal.totals(Room::Deleted), Totals::default());
}

#[test]
fn after_a_restart_any_commit_may_have_begun() {
    let scratch = Scratch::new();
    let id = scratch.adopt(&scratch.journal(), b"hello");
    let journal = scratch.journal();
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
    let work = journal.open_work(id);
    assert!(matches!(work, Ok(Work::Erase { is_begun: true })));
}

#[test]
fn a_delete_that_overtakes_the_start_of_a_commit_is_seen_by_one_of_them() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    for _ in 0..500 {
        let id = scratch.adopt(&journal, b"hello");
        let barrier = std::sync::Barrier::new(2);
        let (work, deletion) = std::thread::scope(|scope| {
            let opening = scope.spawn(|| {
                barrier.wait();
                journal.open_work(id)
            });
            barrier.wait();
            let deletion = journal.delete(id).unwrap();
            (opening.join().unwrap(), deletion)
        });
        let is_commit = matches!(work, Ok(Work::Commit { .. }));
        assert_eq!(deletion, Deletion::Done);
        if is_commit {
            let work = journal.open_work(id);
            assert!(matches!(work, Ok(Work::Erase { is_begun: true })));
        }
        journal.erase(id).unwrap();
    }
}

#[test]
fn a_settled_entry_is_deleted_at_once() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    journal.settle(&committed(id)).unwrap();
    assert_eq!(journal.delete(id).unwrap(), Deletion::Settled);
    assert_eq!(scratch.names(), Vec::<String>::new());
    assert_eq!(journal.delete(id).unwrap(), Deletion::NotHere);
    assert_eq!(journal.totals(Room::Settled), Totals::default());
}

#[test]
fn a_deferred_entry_keeps_its_history_across_restarts() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    let accepted = record(&scratch, Room::Incoming, id);
    for attempt in 1..4 {
        let due = UnixMillis(1000 * u64::from(attempt));
        let reason = format!("failure {attempt}");
        journal.defer(id, &reason, due).unwrap();
        let expected = Record {
            attempts: attempt,
            next_attempt: due,
            reason: Some(reason),
            ..accepted.clone()
        };
        assert_eq!(record(&scratch, Room::Deferred, id), expected);
        drop(journal);
        journal = scratch.journal();
        assert_eq!(record(&scratch, Room::Deferred, id), expected);
        assert_eq!(journal.work(), [(id, due)]);
        assert_eq!(commit(&journal, id), Some((attempt, true)));
        assert_eq!(scratch.names().len(), 2);
        assert_eq!(journal.index().backlog().entries, 1);
    }
}

#[test]
fn a_held_entry_waits_across_restarts_until_an_admin_retries_it() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    journal.defer(id, "at first", UnixMillis(9000)).unwrap();
    journal.hold(id, "for good").unwrap();
    drop(journal);
    let journal = scratch.journal();
    assert_eq!(journal.held(), [id]);
    assert_eq!(journal.work(), []);
    assert_eq!(commit(&journal, id), None);
    assert_eq!(journal.index().backlog().entries, 1, "it is promised still");
    let held = record(&scratch, Room::Hold, id);
    assert_eq!(
        (held.attempts, held.reason),
        (2, Some("for good".to_owned()))
    );
    let why = journal.waiting_for(id).unwrap().unwrap();
    assert_eq!((why.room, why.next_attempt), (Room::Hold, None));
    assert_eq!(journal.retry(id).unwrap(), Retried::Begun);
    let again = journal.retry(id).unwrap();
    assert_eq!(again, Retried::NotPutOff(Room::Incoming));
    assert_eq!(journal.held(), []);
    assert_eq!(journal.work(), [(id, UnixMillis(0))]);
    assert_eq!(commit(&journal, id), Some((0, true)));
    assert_eq!(
        scratch.names(),
        [format!("body/{id}"), format!("incoming/{id}.json")]
    );
}

#[test]
fn settled_bodies_stay_for_their_grace_time_and_not_longer() {
    let mut scratch = Scratch::new();
    let journal = scratch.journal();
    let settled = scratch.adopt(&journal, b"hello");
    let pending = scratch.adopt(&journal, b"hello");
    journal.settle(&committed(settled)).unwrap();
    assert_eq!(journal.evict_settled().unwrap(), 0);
    drop(journal);
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = scratch.journal();
    assert_eq!(journal.evict_settled().unwrap(), 1);
    assert_eq!(journal.evict_settled().unwrap(), 0);
    assert!(matches!(journal.look(settled), Ok(Look::Absent)));
    assert_eq!(
        scratch.names(),
        [
            format!("body/{pending}"),
            format!("incoming/{pending}.json")
        ]
    );
}

#[test]
fn settled_bodies_over_the_byte_budget_go_oldest_first() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_max_bytes = 10;
    let journal = scratch.journal();
    let ids: Vec<_> = (0..4).map(|_| scratch.adopt(&journal, b"hello")).collect();
    let order = [ids[2], ids[0], ids[3], ids[1]];
    for id in order {
        journal.settle(&committed(id)).unwrap();
    }
    assert_eq!(journal.evict_settled().unwrap(), 2);
    let rooms = order.map(|id| room(&journal, id));
    let kept = Some(Room::Settled);
    assert_eq!(rooms, [None, None, kept, kept]);
    assert_eq!(journal.totals(Room::Settled).bytes, 10);
}

#[test]
fn a_scarce_disk_takes_all_settled_bodies_and_no_promised_one() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 500;
    let journal = scratch.journal();
    scratch.disk.set_free_bytes(1000);
    let settled = scratch.adopt(&journal, b"hello");
    scratch.adopt(&journal, b"hello");
    journal.settle(&committed(settled)).unwrap();
    assert_eq!(journal.evict_settled().unwrap(), 0);
    scratch.disk.set_free_bytes(999);
    assert_eq!(journal.evict_settled().unwrap(), 1);
    assert_eq!(scratch.names().len(), 2);
}

#[test]
fn an_unreadable_entry_is_set_aside_with_record_and_body() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    std::fs::write(scratch.layout().body(id), b"hell").unwrap();
    let found = journal.open_work(id);
    assert!(matches!(found, Err(JournalError::Unreadable { .. })));
    journal.set_aside(id, "short").unwrap();
    assert!(matches!(journal.look(id), Ok(Look::Absent)));
    assert_eq!(journal.index().backlog(), Totals::default());
    let files = scratch.files();
    assert_eq!(files.len(), 2);
    assert_eq!(files[&format!("corrupt/body-{id}")], b"hell");
    assert!(files.contains_key(&format!("corrupt/incoming-{id}.json")));
    assert_eq!(journal.corrupt_files().unwrap(), 2);
}

#[test]
fn what_cannot_be_read_is_due_at_once_and_says_so() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    journal.defer(id, "why", UnixMillis(9000)).unwrap();
    std::fs::write(scratch.layout().record(Room::Deferred, id), b"{}").unwrap();
    assert_eq!(journal.work(), [(id, UnixMillis(0))]);
    for found in [journal.look(id).err(), journal.open_work(id).err()] {
        assert!(matches!(found, Some(JournalError::Unreadable { .. })));
    }
    assert!(journal.defer(id, "why", UnixMillis(9000)).is_err());
    std::fs::remove_file(scratch.layout().body(id)).unwrap();
    journal.set_aside(id, "no body").unwrap();
    assert_eq!(scratch.names(), [format!("corrupt/deferred-{id}.json")]);
}

#[test]
fn a_record_that_a_failed_move_left_behind_goes_with_its_entry() {
    let ends: [fn(&Journal, FileId); 2] = [
        |journal, id| {
            journal.settle(&committed(id)).unwrap();
            assert_eq!(journal.evict_settled().unwrap(), 1);
        },
        |journal, id| {
            assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
            journal.erase(id).unwrap();
        },
    ];
    for end in ends {
        let mut scratch = Scratch::new();
        scratch.limits.settled_grace = Duration::ZERO;
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, b"hello");
        scratch.disk.heal();
        journal.defer(id, "why", UnixMillis(1)).unwrap();
        let calls = scratch.disk.calls();
        let last = calls.iter().rposition(|&call| call == "unlink").unwrap();
        scratch.disk.fail_once(last, Fault::Broken);
        journal.hold(id, "why").unwrap_err();
        scratch.disk.heal();
        assert_eq!(scratch.names().len(), 3);
        end(&journal, id);
        assert_eq!(scratch.names(), Vec::<String>::new());
    }
}

#[test]
fn a_retry_of_an_entry_that_is_just_being_held_keeps_its_record() {
    for is_deferred in [false, true] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, b"hello");
        if is_deferred {
            journal.defer(id, "why", UnixMillis(1)).unwrap();
        }
        // When the record is in `hold`, and the old one is not gone.
        scratch.disk.pause_at(3);
        std::thread::scope(|scope| {
            let holding = scope.spawn(|| journal.hold(id, "why"));
            scratch
                .disk
                .during_pause(|| assert_eq!(journal.retry(id).unwrap(), Retried::Begun));
            holding.join().unwrap().unwrap();
        });
        assert_eq!(scratch.disk.calls()[3], "sync_directory");
        drop(journal);
        scratch.disk.heal();
        let (journal, recovered) = scratch.open();
        assert_eq!(recovered.pending, 1, "{is_deferred}");
        assert_eq!(room(&journal, id), Some(Room::Incoming));
    }
}
