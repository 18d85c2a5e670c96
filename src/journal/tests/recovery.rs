//! The findings of a start, row by row of its table.

use std::fs;
use std::time::Duration;

use super::scratch::{HOUR, LARGE, SMALL, Scratch, absent, committed, content, room};
use super::stage::{Stage, check, restart};
use crate::journal::{Journal, Lookup};
use crate::journal::{LocalDisk, OpenError, Recovered, Room};

/// The state of an entry after its body was changed while no sidecar ran.
fn reopened(named: &str, change: impl FnOnce(&std::path::Path)) -> (Stage, Recovered) {
    let Stage {
        scratch,
        journal,
        entries,
    } = Stage::new();
    drop(journal);
    let name = format!("linked, {named}");
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    change(&scratch.layout().body(entry.id));
    scratch.disk.heal();
    let (journal, recovered) = scratch.try_open().unwrap();
    let stage = Stage {
        scratch,
        journal,
        entries,
    };
    (stage, recovered)
}

#[test]
fn an_empty_journal_opens_with_nothing_to_recover() {
    let scratch = Scratch::new();
    for _ in 0..2 {
        let (journal, recovered) = scratch.try_open().unwrap();
        assert_eq!(recovered, Recovered::default());
        assert_eq!(journal.work(), []);
    }
}

#[test]
fn all_states_are_counted_and_a_second_start_finds_the_same() {
    let Stage {
        scratch,
        journal,
        entries,
    } = Stage::new();
    drop(journal);
    fs::write(scratch.layout().body(absent()), b"lone").unwrap();
    scratch.disk.heal();
    let mut expected = Recovered {
        pending: 16,
        settled: 4,
        deleted: 4,
        removed: 1,
        corrupt: 0,
    };
    for _ in 0..2 {
        let (journal, recovered) = scratch.try_open().unwrap();
        assert_eq!(recovered, expected);
        check("opened", &scratch, &journal, &entries);
        for entry in &entries {
            let known = journal.known(entry.id).unwrap();
            let is_pending = entry.place.is_some_and(Room::is_pending);
            assert!(known.may_be_stored || !is_pending, "{}", entry.name);
        }
        expected.removed = 0;
    }
}

#[test]
fn a_settled_entry_whose_body_is_gone_is_evicted_and_a_deleted_ones_body_is_removed() {
    let (mut stage, recovered) = reopened("settled", |body| fs::remove_file(body).unwrap());
    assert_eq!((recovered.settled, recovered.corrupt), (3, 0));
    for entry in &mut stage.entries {
        if entry.name == "linked, settled" {
            entry.place = None;
        }
    }
    check("settled", &stage.scratch, &stage.journal, &stage.entries);
    let (stage, recovered) = reopened("deleted", |body| fs::write(body, b"left").unwrap());
    let found = (recovered.deleted, recovered.removed, recovered.corrupt);
    assert_eq!(found, (4, 1, 0));
    check("deleted", &stage.scratch, &stage.journal, &stage.entries);
}

#[test]
fn a_promise_whose_body_is_missing_or_short_is_told_and_all_else_goes_on() {
    let changes: [fn(&std::path::Path); 2] = [
        |body| fs::remove_file(body).unwrap(),
        |body| fs::write(body, b"short").unwrap(),
    ];
    for state in ["waiting", "deferred", "held"] {
        for change in changes {
            let (mut stage, recovered) = reopened(state, change);
            assert_eq!((recovered.pending, recovered.corrupt), (16, 1), "{state}");
            let name = format!("linked, {state}");
            let id = stage.entry("linked", state).id;
            if state != "held" {
                stage.journal.open_work(id).unwrap_err();
            }
            stage.journal.open_window(id).unwrap_err();
            stage.journal.set_aside(id, "unreadable").unwrap();
            stage.entries.retain(|entry| entry.name != name);
            let corrupt = scratch_corrupt(&stage.scratch);
            assert!(!corrupt.is_empty(), "{state}");
            // Files that are set aside are for an admin.
            for name in corrupt {
                fs::remove_file(stage.scratch.layout().corrupt().join(name)).unwrap();
            }
            check(state, &stage.scratch, &stage.journal, &stage.entries);
        }
    }
}

fn scratch_corrupt(scratch: &Scratch) -> Vec<String> {
    Scratch::names(&scratch.layout().corrupt())
}

#[test]
fn strange_names_are_left_alone() {
    let scratch = Scratch::new();
    let layout = scratch.layout();
    let places = [layout.bodies(), layout.wal(), layout.corrupt()];
    for directory in &places {
        fs::write(directory.join("notes.txt"), b"mine").unwrap();
    }
    let id = scratch.adopt(&scratch.journal(), LARGE);
    let (journal, recovered) = scratch.try_open().unwrap();
    let found = (recovered.pending, recovered.removed, recovered.corrupt);
    assert_eq!(found, (1, 0, 0));
    for directory in &places {
        assert_eq!(fs::read(directory.join("notes.txt")).unwrap(), b"mine");
    }
    assert_eq!(content(&journal, id).unwrap(), LARGE);
}

#[test]
fn nothing_in_corrupt_is_ever_overwritten() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let ids: Vec<_> = (0..3).map(|_| scratch.adopt(&journal, LARGE)).collect();
    let taken = scratch.layout().corrupt().join(format!("body-{}", ids[0]));
    fs::write(&taken, b"before").unwrap();
    for &id in &ids {
        journal.set_aside(id, "as a trial").unwrap();
    }
    assert_eq!(fs::read(taken).unwrap(), b"before");
    let names = scratch_corrupt(&scratch);
    let bodies = names.iter().filter(|name| name.starts_with("body-"));
    assert_eq!(bodies.count(), 4, "{names:?}");
    // One segment has the records of all three.
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn a_journal_without_its_marker_is_not_opened_and_nothing_in_it_is_touched() {
    let scratch = Scratch::new();
    let layout = scratch.layout();
    fs::write(layout.body(absent()), b"body").unwrap();
    fs::remove_file(layout.marker()).unwrap();
    scratch.disk.heal();
    assert!(matches!(scratch.try_open(), Err(OpenError::NoMarker(_))));
    assert_eq!(Scratch::names(&layout.bodies()).len(), 1);
    assert!(Scratch::names(&layout.wal()).is_empty());
    assert_eq!(scratch.disk.calls(), [""; 0]);
}

#[test]
fn beginning_a_journal_anew_leaves_what_is_there() {
    let scratch = Scratch::new();
    let ids = {
        let journal = scratch.journal();
        [SMALL, LARGE].map(|body| scratch.adopt(&journal, body))
    };
    Journal::init(scratch.path(), &scratch.disk).unwrap();
    Journal::init(scratch.path(), &LocalDisk).unwrap();
    let journal = restart("begun anew", &scratch);
    for id in ids {
        assert_eq!(room(&journal, id), Some(Room::Incoming));
    }
}

#[test]
fn a_journal_has_one_sidecar_at_a_time_and_may_be_checked_meanwhile() {
    let scratch = Scratch::new();
    let first = scratch.journal();
    fs::write(scratch.layout().body(absent()), b"being adopted").unwrap();
    scratch.disk.heal();
    assert!(matches!(scratch.try_open(), Err(OpenError::Locked(_))));
    assert_eq!(scratch.disk.calls(), [""; 0], "it has touched nothing");
    Journal::check(scratch.path(), &LocalDisk).unwrap();
    assert_eq!(Scratch::names(&scratch.layout().bodies()).len(), 1);
    drop(first);
    assert!(scratch.try_open().is_ok());
}

#[test]
fn a_spool_file_is_removed_only_when_it_is_old_and_no_process_has_it_open() {
    let mut scratch = Scratch::new();
    scratch.limits.spool_orphan = HOUR;
    let body = scratch.spooled(b"young, and open here");
    let journal = scratch.journal();
    assert_eq!(journal.remove_spool_orphans().unwrap(), 0);
    drop(journal);
    scratch.limits.spool_orphan = Duration::ZERO;
    let journal = scratch.journal();
    assert_eq!(journal.remove_spool_orphans().unwrap(), 0);
    drop(body);
    assert_eq!(journal.remove_spool_orphans().unwrap(), 1);
    assert_eq!(Scratch::names(&scratch.layout().spool()).len(), 0);
}

#[test]
fn what_a_start_tells_of_a_settled_file_is_what_was_proven() {
    for body in [SMALL, LARGE] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        journal.settle(&committed(id)).unwrap();
        drop(journal);
        let journal = restart("settled", &scratch);
        let Ok(Lookup::Kept(kept)) = journal.lookup(id) else {
            panic!("it is here");
        };
        let proven = (Room::Settled, Some(committed(id).sha256()));
        assert_eq!((kept.room, kept.sha256), proven);
        assert_eq!(journal.evict_settled().unwrap(), 0);
    }
}
