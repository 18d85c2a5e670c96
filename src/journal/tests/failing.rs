//! Every call to the disk fails once, where there is no entry of a room to lose: forms that were cut,
//! the log's segments, what is damaged, spool files, a journal that is being made.

use std::fs;
use std::time::Duration;

use super::disk::{Fault, FaultyDisk};
use super::log::{content, is_logged, logging, restart, segments, three};
use super::scratch::{Scratch, committed, draft, room};
use crate::file::{FileId, UnixMillis, Window};
use crate::journal::{Journal, LocalDisk, Room};

/// A form that was cut between two calls, and an entry beside it.
fn cut_form(call: usize) -> (Scratch, FileId, bool) {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let beside = scratch.adopt(&journal, b"beside");
    let body = scratch.spooled(b"onetwo");
    let parts = [0, 3].map(|offset| (Window { offset, length: 3 }, draft()));
    scratch.disk.stop_at(call);
    let is_promised = journal.adopt_form(&body, parts.into()).is_ok();
    drop(journal);
    scratch.disk.heal();
    (scratch, beside, is_promised)
}

#[test]
fn a_start_that_meets_a_failing_call_after_a_form_was_cut_takes_all_of_it_back_or_nothing() {
    for cut in 0.. {
        let (scratch, _, is_promised) = cut_form(cut);
        drop(scratch.open());
        for call in 0..scratch.disk.calls().len() {
            for fault in Fault::ALL {
                let case = format!("cut before {cut}, call {call}, {fault:?}");
                let (scratch, beside, _) = cut_form(cut);
                scratch.disk.fail_once(call, fault);
                drop(scratch.try_open());
                scratch.disk.heal();
                let (journal, recovered) = scratch.try_open().expect(&case);
                assert_eq!(recovered.corrupt, 0, "{case}");
                assert_eq!(room(&journal, beside), Some(Room::Incoming), "{case}");
                let others = recovered.pending - 1;
                assert!(others == 0 || others == 2, "{case}: {others} of 2");
                assert!(!is_promised || others == 2, "{case}");
                assert_eq!(scratch.names().len(), 2 * recovered.pending, "{case}");
            }
        }
        if is_promised {
            return;
        }
    }
}

/// A log with three entries, of which the first segment is damaged behind its first group.
fn damaged() -> (Scratch, [FileId; 3]) {
    let scratch = logging();
    let journal = scratch.journal();
    let ids = [&b"one"[..], b"two", b"three"].map(|body| scratch.adopt(&journal, body));
    drop(journal);
    let path = segments(&scratch).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(3).position(|found| found == b"two").unwrap();
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
    scratch.disk.heal();
    (scratch, ids)
}

#[test]
fn a_start_that_meets_a_failing_call_before_a_damaged_log_keeps_what_can_be_read() {
    let (scratch, _) = damaged();
    drop(scratch.open());
    for call in 0..scratch.disk.calls().len() {
        for fault in Fault::ALL {
            let case = format!("call {call}, {fault:?}");
            let (scratch, [one, two, three]) = damaged();
            scratch.disk.fail_once(call, fault);
            drop(scratch.try_open());
            scratch.disk.heal();
            let (journal, recovered) = scratch.try_open().expect(&case);
            assert_eq!(recovered.corrupt, 1, "{case}");
            assert_eq!(content(&journal, one), b"one", "{case}");
            assert_eq!(room(&journal, two), None, "{case}");
            assert_eq!(content(&journal, three), b"three", "{case}");
            assert_eq!(scratch.names(), ["corrupt/log-1"], "{case}");
        }
    }
}

#[test]
fn a_logged_entry_that_cannot_be_set_aside_stays_and_its_segment_too() {
    for fault in Fault::ALL {
        let (scratch, journal, ids) = three();
        scratch.disk.fail_once(0, fault);
        journal.set_aside(ids[1], "damaged").unwrap_err();
        assert_eq!(scratch.names(), Vec::<String>::new(), "{fault:?}");
        assert!(is_logged(&journal, ids[1]), "{fault:?}");
        journal.set_aside(ids[1], "damaged").unwrap();
        assert_eq!(scratch.names(), ["corrupt/log-1"], "{fault:?}");
        assert_eq!(room(&journal, ids[1]), None);
        assert!(is_logged(&journal, ids[0]) && is_logged(&journal, ids[2]));
    }
}

/// A log of which the first segments are not needed any more, an entry that is, and one in files
/// that is settled and past its time.
fn old_segments() -> (Scratch, Journal, FileId) {
    let mut scratch = logging();
    scratch.limits.settled_grace = Duration::ZERO;
    let mut journal = scratch.journal();
    for body in [b"one", b"two"] {
        let id = scratch.adopt(&journal, body);
        journal = restart(&scratch, journal);
        journal.settle(&committed(id)).unwrap();
    }
    let large = scratch.adopt(&journal, b"more than eight bytes");
    journal.settle(&committed(large)).unwrap();
    let here = scratch.adopt(&journal, b"here");
    scratch.disk.heal();
    (scratch, journal, here)
}

#[test]
fn a_sweep_that_meets_a_failing_call_keeps_what_is_needed_and_the_next_one_ends_it() {
    let (scratch, journal, _) = old_segments();
    let before = segments(&scratch).len();
    journal.evict_settled().unwrap();
    let after = segments(&scratch).len();
    assert!(after < before, "no segment goes");
    let calls = scratch.disk.calls();
    for (call, step) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("{step}, call {call} of {calls:?}, {fault:?}");
            let (scratch, journal, here) = old_segments();
            scratch.disk.fail_once(call, fault);
            drop(journal.evict_settled());
            scratch.disk.heal();
            assert_eq!(content(&journal, here), b"here", "{case}");
            if journal.poison().is_none() {
                journal.evict_settled().expect(&case);
                assert!(segments(&scratch).len() <= after, "{case}");
                assert_eq!(scratch.names(), Vec::<String>::new(), "{case}");
            }
            let journal = restart(&scratch, journal);
            assert_eq!(content(&journal, here), b"here", "{case}");
        }
    }
}

#[test]
fn a_spool_file_that_cannot_be_removed_goes_the_next_time() {
    for fault in Fault::ALL {
        let mut scratch = Scratch::new();
        scratch.limits.spool_orphan = Duration::ZERO;
        let journal = scratch.journal();
        let orphan = scratch.layout().spool().join("0000000007");
        fs::write(&orphan, b"left").unwrap();
        scratch.disk.heal();
        scratch.disk.fail_once(0, fault);
        journal.remove_spool_orphans().unwrap_err();
        assert!(orphan.exists(), "{fault:?}");
        assert_eq!(journal.remove_spool_orphans().unwrap(), 1, "{fault:?}");
        assert!(!orphan.exists() && journal.poison().is_none(), "{fault:?}");
    }
}

#[test]
fn a_journal_that_was_made_half_is_no_journal_until_it_is_made_again() {
    let calls = |directory: &tempfile::TempDir| {
        let disk = FaultyDisk::new(directory.path().join("graveyard"));
        Journal::init(&directory.path().join("data"), &disk).unwrap();
        disk.calls()
    };
    let steps = calls(&tempfile::tempdir().unwrap());
    assert!(steps.len() > 2, "{steps:?}");
    for (call, step) in steps.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("{step}, {fault:?}");
            let directory = tempfile::tempdir().unwrap();
            let data = directory.path().join("data");
            let disk = FaultyDisk::new(directory.path().join("graveyard"));
            disk.fail_once(call, fault);
            Journal::init(&data, &disk).expect_err(&case);
            disk.heal();
            Journal::init(&data, &disk).expect(&case);
            Journal::check(&data, &LocalDisk).expect(&case);
        }
    }
}

#[test]
fn an_upload_is_refused_and_leaves_nothing_when_nobody_can_tell_how_many_inodes_are_free() {
    for fault in Fault::ALL {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        scratch.disk.fail_inodes(Some(fault));
        scratch.try_adopt(&journal, b"body").unwrap_err();
        assert_eq!(scratch.names(), Vec::<String>::new(), "{fault:?}");
        assert!(journal.poison().is_none(), "{fault:?}");
        scratch.disk.fail_inodes(None);
        scratch.adopt(&journal, b"body");
    }
}

#[test]
fn a_retry_that_left_its_old_record_behind_is_not_undone_after_a_later_move() {
    for later in 1..3 {
        for fault in Fault::ALL {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            let id = scratch.adopt(&journal, b"body");
            journal.hold(id, "why").unwrap();
            scratch.disk.heal();
            journal.retry(id).unwrap();
            let calls = scratch.disk.calls();
            journal.hold(id, "why").unwrap();
            let last = calls.iter().rposition(|&call| call == "unlink").unwrap();
            scratch.disk.fail_once(last, fault);
            journal.retry(id).unwrap_err();
            scratch.disk.heal();
            for time in 0..later {
                journal.defer(id, "why", UnixMillis(time)).unwrap();
            }
            let journal = restart(&scratch, journal);
            assert_eq!(room(&journal, id), Some(Room::Deferred), "{fault:?}");
        }
    }
}
