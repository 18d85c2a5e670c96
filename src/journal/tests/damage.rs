//! Entries that are damaged under a running sidecar.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{request, try_carry_out};
use super::log::churn;
use super::scratch::{Scratch, committed, content, room};
use super::stage::{Stage, WAYS};
use crate::file::FileId;
use crate::journal::idempotency::Claim;
use crate::journal::{Journal, Lookup, Work};
use crate::journal::{JournalError, Room};

const TARGET: &[u8] = b"this one rots";

/// The damaged entry, one before it and one behind it, and the log's file.
fn three() -> (Scratch, Journal, [FileId; 3], PathBuf) {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let ids = [&b"before"[..], TARGET, b"behind"].map(|body| scratch.adopt(&journal, body));
    let wal = scratch.layout().wal();
    let names = Scratch::names(&wal).into_iter();
    let mut files = names.map(|name| wal.join(name));
    let path = files.find(|path| place(&fs::read(path).unwrap()).is_some());
    (scratch, journal, ids, path.unwrap())
}

/// Lets files come and leave until the log needs none of its first segments any more.
fn let_go(scratch: &Scratch, journal: &Journal) {
    for _ in 0..20 {
        churn(scratch, journal, 20);
        journal.evict_settled().unwrap();
    }
    assert!(journal.state().oldest() > 10);
}

/// Flips a bit in each place of the log where these bytes stand.
fn rot(scratch: &Scratch, bytes: &[u8]) {
    let wal = scratch.layout().wal();
    let mut flips = 0;
    for path in Scratch::names(&wal).into_iter().map(|name| wal.join(name)) {
        let mut found = fs::read(&path).unwrap();
        let windows = found.windows(bytes.len()).enumerate();
        let places = windows.filter_map(|(place, window)| (window == bytes).then_some(place));
        for place in places.collect::<Vec<_>>() {
            found[place] ^= 1;
            flips += 1;
        }
        fs::write(path, found).unwrap();
    }
    assert!(flips > 0);
}

fn place(bytes: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(TARGET.len());
    windows.position(|window| window == TARGET)
}

fn is_unreadable<T>(found: &Result<T, JournalError>) -> bool {
    matches!(found, Err(JournalError::Unreadable { .. }))
}

#[test]
fn a_bit_that_rots_anywhere_in_a_frame_gives_no_byte_of_it_and_all_others_go_on() {
    let (scratch, journal, [before, target, behind], path) = three();
    let sound = fs::read(&path).unwrap();
    // Its group begins on a block, with a head of 64 bytes before that of the frame.
    let body = place(&sound).unwrap();
    let begin = body / 4096 * 4096 + 64;
    for at in begin..body + TARGET.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(is_unreadable(&journal.lookup(target)), "byte {at}");
        assert!(is_unreadable(&journal.open_work(target)), "byte {at}");
        assert!(is_unreadable(&journal.open_window(target)), "byte {at}");
        assert_eq!(content(&journal, before).unwrap(), b"before");
        assert_eq!(content(&journal, behind).unwrap(), b"behind");
    }
    let reason = journal.open_work(target).unwrap_err().to_string();
    journal.set_aside(target, &reason).unwrap();
    assert!(matches!(journal.lookup(target), Ok(Lookup::Absent)));
    assert_eq!(room(&journal, target), None);
    assert_eq!(journal.corrupt_files().unwrap(), 1);
    drop(journal);
    let (journal, recovered) = scratch.try_open().unwrap();
    assert_eq!(recovered.pending, 2);
    assert_eq!(content(&journal, before).unwrap(), b"before");
    assert_eq!(content(&journal, behind).unwrap(), b"behind");
}

#[test]
fn an_entry_that_cannot_be_read_is_due_at_once_and_can_be_moved_and_deleted() {
    let ends: [fn(&Journal, FileId); 2] = [
        |journal, id| {
            journal.delete(id).unwrap();
            assert!(matches!(journal.open_work(id), Ok(Work::Erase { .. })));
            journal.erase(id).unwrap();
        },
        |journal, id| {
            journal.settle(&committed(id)).unwrap();
        },
    ];
    for end in ends {
        let (_scratch, journal, [_, target, _], path) = three();
        let mut bytes = fs::read(&path).unwrap();
        let at = place(&bytes).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(journal.work().iter().any(|&(id, _)| id == target));
        assert!(is_unreadable(&journal.open_work(target)));
        assert!(matches!(journal.waiting_for(target), Ok(None)));
        end(&journal, target);
        assert!(!journal.is_pending(target));
    }
}

#[test]
fn an_unreadable_entry_that_was_deleted_meanwhile_stays_deleted() {
    for way in WAYS {
        let stage = Stage::new();
        let id = stage.entry(way, "begun").id;
        stage.journal.delete(id).unwrap();
        stage.journal.set_aside(id, "unreadable").unwrap();
        assert_eq!(room(&stage.journal, id), Some(Room::Deleted), "{way}");
        assert!(stage.journal.work().contains(&(id, None)), "{way}");
    }
}

#[test]
fn a_body_that_is_gone_or_short_is_told_and_set_aside_with_what_there_is() {
    for way in WAYS.into_iter().filter(|way| way.starts_with("linked")) {
        for is_short in [false, true] {
            let stage = Stage::new();
            let entry = stage.entry(way, "deferred").clone();
            let path = stage.scratch.layout().body(entry.id);
            fs::remove_file(&path).unwrap();
            if is_short {
                fs::write(&path, b"short").unwrap();
            }
            assert!(is_unreadable(&stage.journal.open_work(entry.id)), "{way}");
            assert!(is_unreadable(&stage.journal.open_window(entry.id)), "{way}");
            stage.journal.set_aside(entry.id, "unreadable").unwrap();
            assert_eq!(room(&stage.journal, entry.id), None);
            let corrupt = Scratch::names(&stage.scratch.layout().corrupt());
            assert_eq!(corrupt.len(), 1 + usize::from(is_short), "{corrupt:?}");
            let others = stage.journal.totals(Room::Deferred).entries;
            assert_eq!(others, 3, "{way}");
        }
    }
}

#[test]
fn a_damaged_segment_stays_in_corrupt_when_the_log_gives_it_up_and_is_not_written_over() {
    let (mut scratch, journal, [before, target, behind], path) = three();
    drop(journal);
    let mut bytes = fs::read(&path).unwrap();
    // This byte is in the front of its frame.
    let rotten = place(&bytes).unwrap() - 1;
    bytes[rotten] ^= 1;
    fs::write(&path, bytes).unwrap();
    scratch.limits.settled_grace = Duration::ZERO;
    let (journal, recovered) = scratch.try_open().unwrap();
    assert_eq!((recovered.corrupt, recovered.pending), (1, 2));
    let_go(&scratch, &journal);
    let corrupt = Scratch::names(&scratch.layout().corrupt());
    assert_eq!(corrupt, ["wal-1"]);
    let kept = fs::read(scratch.layout().corrupt().join("wal-1")).unwrap();
    assert!(place(&kept).is_some());
    for (id, is_there) in [(before, true), (target, false), (behind, true)] {
        assert_eq!(content(&journal, id).is_some(), is_there);
    }
}

#[test]
fn a_settled_entry_that_rots_is_left_to_the_store() {
    let (scratch, journal, [_, target, _], _) = three();
    journal.settle(&committed(target)).unwrap();
    assert!(matches!(journal.lookup(target), Ok(Lookup::Kept(_))));
    rot(&scratch, TARGET);
    assert!(matches!(journal.lookup(target), Ok(Lookup::Absent)));
    assert!(matches!(journal.open_window(target), Ok(None)));
    assert!(matches!(journal.outline(target, |_| true), Ok(None)));
    assert!(matches!(journal.message(target), Ok(None)));
}

#[test]
fn a_part_of_a_form_that_rots_leaves_the_other_parts() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let parts = [&b"first"[..], TARGET, b"third"];
    let ids = scratch.try_adopt_form(&journal, &parts).unwrap();
    rot(&scratch, TARGET);
    assert!(is_unreadable(&journal.lookup(ids[1])));
    assert!(is_unreadable(&journal.open_work(ids[1])));
    for (&id, part) in ids.iter().zip(parts).step_by(2) {
        assert_eq!(content(&journal, id).unwrap(), part);
        assert!(matches!(journal.open_work(id), Ok(Work::Commit { .. })));
    }
}

#[test]
fn what_rots_in_a_running_log_does_not_hold_its_segment() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = scratch.journal();
    let parts = [&b"first"[..], TARGET, b"third"];
    let ids = scratch.try_adopt_form(&journal, &parts).unwrap();
    for &id in &ids {
        journal.hold(id, "an admin decides").unwrap();
    }
    let answered = try_carry_out(&scratch, &journal, request(1)).unwrap();
    journal.settle(&committed(answered[0])).unwrap();
    journal.evict_settled().unwrap();
    rot(&scratch, TARGET);
    rot(&scratch, &request(1).key.0);
    assert_eq!(journal.state().oldest(), 1);
    let_go(&scratch, &journal);
    for (&id, part) in ids.iter().zip(parts).step_by(2) {
        assert_eq!(content(&journal, id).unwrap(), part);
        assert_eq!(room(&journal, id), Some(Room::Hold));
    }
    assert_eq!(room(&journal, ids[1]), None);
    assert!(matches!(journal.begin(request(1)), Ok(Claim::First(_))));
    // The file is in one segment, and the answer in the next one: both are kept.
    let corrupt = Scratch::names(&scratch.layout().corrupt());
    assert_eq!(corrupt, ["wal-1", "wal-2"]);
}

#[test]
fn what_the_disk_does_not_read_holds_the_log_for_a_while_and_is_damage_then() {
    let (mut scratch, journal, [before, target, behind], _) = three();
    drop(journal);
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = scratch.journal();
    let go_on = || {
        for _ in 0..20 {
            churn(&scratch, &journal, 20);
            let tidied = journal.evict_settled();
            assert!(matches!(tidied, Ok(_) | Err(JournalError::Disk { .. })));
        }
        journal.state().oldest()
    };
    scratch.disk.set_bad(Some(TARGET));
    assert_eq!(go_on(), 1);
    assert!(matches!(
        journal.lookup(target),
        Err(JournalError::Disk { .. })
    ));
    scratch.disk.set_bad(None);
    assert_eq!(content(&journal, target).unwrap(), TARGET);
    scratch.disk.set_bad(Some(TARGET));
    // The time counts anew from the last time that the block was read.
    journal.wal.lose_patience();
    assert_eq!(go_on(), 1);
    journal.wal.lose_patience();
    let_go(&scratch, &journal);
    assert_eq!(room(&journal, target), None);
    for (id, body) in [(before, b"before"), (behind, b"behind")] {
        assert_eq!(content(&journal, id).unwrap(), body);
    }
    let corrupt = Scratch::names(&scratch.layout().corrupt());
    assert_eq!(corrupt, ["wal-1"]);
    scratch.disk.set_bad(None);
    assert!(place(&fs::read(scratch.layout().corrupt().join("wal-1")).unwrap()).is_some());
}
