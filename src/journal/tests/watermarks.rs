//! The watermarks at which uploads are refused, and how uploads count.

use std::time::{Duration, SystemTime};

use super::adoption::pending;
use super::scratch::{LARGE, SMALL, Scratch, committed, draft};
use super::stage::restart;
use crate::file::{Metadata, Window};
use crate::journal::admission::backlog;
use crate::journal::index::Totals;
use crate::journal::tests::fault::Fault;
use crate::journal::{AdoptError, Adopted, Draft, Free, Journal, Room, record_bytes};
use crate::spool::Received;

fn assert_full(refusal: Option<AdoptError>, text: &str) {
    match refusal {
        Some(AdoptError::Full(reason)) => assert!(reason.contains(text), "{reason}"),
        other => panic!("{other:?} instead of {text}"),
    }
}

fn assert_no_space(refusal: &AdoptError, text: &str) {
    assert!(matches!(refusal, AdoptError::NoSpace(_)), "{refusal}");
    assert!(refusal.to_string().contains(text), "{refusal}");
}

fn assert_no_backlog(journal: &Journal) {
    let backlog = backlog(&journal.state());
    assert_eq!(backlog, Totals::default());
}

#[test]
fn the_mark_of_bytes_is_reached_exactly_and_those_that_were_let_in_pass_it_by_an_eighth() {
    let mut scratch = Scratch::new();
    scratch.limits.max_bytes = 8000;
    let journal = scratch.journal();
    scratch.adopt(&journal, &[b'x'; 4000]);
    let pending = backlog(&journal.state()).all_bytes();
    let text = format!("{pending} bytes are pending");
    assert_full(journal.check_admission(8001 - pending).err(), &text);
    journal.check_admission(8000 - pending).unwrap();
    let left = 9000 - pending - record_bytes(&Metadata::default());
    let too_long = vec![b'x'; usize::try_from(left + 1).unwrap()];
    assert_full(scratch.try_adopt(&journal, &too_long).err(), &text);
    let last = scratch.adopt(&journal, &too_long[1..]);
    let refused = scratch.try_adopt(&journal, &[b'x'; 1000]).err();
    assert_full(refused, "bytes are pending");
    let names = Scratch::names(&scratch.layout().bodies());
    assert_eq!(names.len(), 2, "nothing is kept of what was refused");
    journal.settle(&committed(last)).unwrap();
    scratch.adopt(&journal, &[b'x'; 1000]);
}

/// Empty files with much metadata fill the disk too.
#[test]
fn records_count_as_bytes_and_as_many_after_a_start() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let mut metadata = Metadata::default();
    metadata.add("note".to_owned(), "x".repeat(4000)).unwrap();
    let draft = || Draft {
        metadata: metadata.clone(),
        ..draft()
    };
    let parts = || vec![(Window::whole(0), draft()), (Window::whole(0), draft())];
    let mut ids = Vec::new();
    let refused = loop {
        let body = scratch.spooled(b"");
        let adopted = match ids.len() % 4 {
            0 => journal
                .adopt(Received::from(&body), draft())
                .map(|one| vec![one]),
            _ => journal.adopt_form(&body, parts()),
        };
        match adopted {
            Ok(adopted) => ids.extend(adopted.iter().map(Adopted::id)),
            Err(err) => break err,
        }
        assert!(ids.len() < 100, "more than the mark");
    };
    assert_full(Some(refused), "bytes are pending");
    let most = scratch.limits.max_bytes / 8 * 9;
    let seen = |journal: &Journal| {
        let pending = backlog(&journal.state());
        assert_eq!(pending.bytes, 0);
        pending
    };
    let before = seen(&journal);
    assert!(
        (most / 2..=most).contains(&before.record_bytes),
        "{before:?}"
    );
    journal.defer(ids[0], "why", Duration::ZERO).unwrap();
    journal.hold(ids[1], "why").unwrap();
    assert_eq!(seen(&journal), before, "whichever room they are in");
    drop(journal);
    let journal = restart("full of records", &scratch);
    assert_eq!(seen(&journal), before);
    let levels = journal.levels(journal.free().unwrap());
    assert!(levels.iter().any(|level| level.now == before.record_bytes));
    for id in ids {
        journal.delete(id).unwrap();
    }
    assert_no_backlog(&journal);
}

#[test]
fn the_mark_of_entries_counts_every_room_of_the_backlog() {
    let mut scratch = Scratch::new();
    scratch.limits.max_entries = 3;
    let journal = scratch.journal();
    let [_, deferred, held] = [b"", LARGE, b""].map(|body| scratch.adopt(&journal, body));
    journal.defer(deferred, "why", Duration::ZERO).unwrap();
    journal.hold(held, "why").unwrap();
    for body in [SMALL, LARGE] {
        assert_full(scratch.try_adopt(&journal, body).err(), "3 entries");
        assert_eq!(pending(&journal).len(), 2);
    }
    journal.delete(held).unwrap();
    scratch.adopt(&journal, b"");
}

#[test]
fn scarce_space_on_the_disk_refuses_uploads_and_those_that_were_let_in_at_half_of_it() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 500;
    let journal = scratch.journal();
    for body in [SMALL, LARGE] {
        scratch.disk.set_free_bytes(249);
        let refusal = scratch.try_adopt(&journal, body).unwrap_err();
        assert_no_space(&refusal, "249 bytes are free");
        assert!(Scratch::names(&scratch.layout().bodies()).is_empty());
        scratch.disk.set_free_bytes(499);
        let refusal = journal.check_admission(0).unwrap_err();
        assert_no_space(&refusal, "499 bytes are free");
        scratch.adopt(&journal, body);
    }
}

#[test]
fn before_the_body_its_length_counts_as_written_already() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 500;
    scratch.limits.min_free_inodes = 10;
    scratch.limits.max_bytes = 1000;
    let journal = scratch.journal();
    let check = |bytes, inodes, length| journal.check_room(Free { bytes, inodes }, length);
    check(600, 10, 100).unwrap();
    assert_no_space(&check(600, 10, 101).unwrap_err(), "600 bytes");
    let refusal = check(600, 9, 100).unwrap_err();
    let is_told = matches!(&refusal, AdoptError::NoInodes(text) if text.starts_with("9 inodes"));
    assert!(is_told, "{refusal}");
    let again = |bytes, length| journal.check_room_again(Free { bytes, inodes: 5 }, length);
    again(350, 100).unwrap();
    assert_no_space(&again(349, 100).unwrap_err(), "349 bytes");
    again(u64::MAX, 1125).unwrap();
    assert_full(again(u64::MAX, 1126).err(), "0 bytes are pending");
    check(u64::MAX, u64::MAX, 1000).unwrap();
    assert_full(check(u64::MAX, u64::MAX, 1001).err(), "0 bytes are pending");
    assert!(journal.free().unwrap().inodes > 0);
}

#[test]
fn a_failed_adoption_gives_its_reservation_back() {
    for body in [SMALL, LARGE] {
        let mut scratch = Scratch::new();
        let record = record_bytes(&Metadata::default());
        scratch.limits.max_bytes = u64::try_from(body.len()).unwrap() + record;
        scratch.limits.max_entries = 1;
        let journal = scratch.journal();
        // The log begins.
        let before = scratch.adopt(&journal, body);
        journal.settle(&committed(before)).unwrap();
        scratch.disk.fail_once(1, Fault::Full);
        let refusal = scratch.try_adopt(&journal, body).unwrap_err();
        assert!(matches!(refusal, AdoptError::NoSpace(_)), "{refusal}");
        assert_no_backlog(&journal);
        scratch.disk.heal();
        scratch.adopt(&journal, body);
        assert_eq!(backlog(&journal.state()).entries, 1);
    }
}

#[test]
fn the_oldest_pending_entry_is_told_until_it_leaves_the_backlog() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    assert_eq!(journal.oldest_pending(), None);
    let [first, second] = [SMALL, LARGE].map(|body| scratch.adopt(&journal, body));
    assert_eq!(journal.oldest_pending(), Some(first.made_at()));
    assert!(first.made_at() <= SystemTime::now());
    journal.settle(&committed(first)).unwrap();
    assert_eq!(journal.oldest_pending(), Some(second.made_at()));
    journal.delete(second).unwrap();
    assert_eq!(journal.oldest_pending(), None);
}

/// A form of three files, and a journal with slightly too little room for it.
#[test]
fn the_marks_count_every_part_of_a_form_and_all_of_its_body() {
    let outcome = |is_large: bool, max_entries, max_bytes, free_bytes| {
        let mut scratch = Scratch::new();
        scratch.limits.max_entries = max_entries;
        scratch.limits.max_bytes = max_bytes;
        scratch.limits.min_free_bytes = 200;
        scratch.disk.set_free_bytes(free_bytes);
        let journal = scratch.journal();
        let body = scratch.spooled(&vec![b'x'; if is_large { 72 } else { 27 }]);
        let parts = [4, 12, 20].map(|offset| (Window { offset, length: 3 }, draft()));
        let refused = journal.adopt_form(&body, parts.into()).err();
        let incoming = journal.totals(Room::Incoming);
        if refused.is_some() {
            assert_no_backlog(&journal);
            assert!(Scratch::names(&scratch.layout().bodies()).is_empty());
        } else {
            assert_eq!((incoming.entries, incoming.bytes), (3, 9));
            assert_eq!(backlog(&journal.state()).bytes, 9);
        }
        refused.map(|err| err.to_string()).unwrap_or_default()
    };
    // Uploads that were admitted before may pass the watermarks by an eighth, and need only half of the
    // free space.
    let records = 3 * record_bytes(&Metadata::default());
    for (is_large, body) in [(false, 27), (true, 72)] {
        let needed = (8 * (body + records)).div_ceil(9);
        assert_eq!(outcome(is_large, 3, needed, 100), "");
        let refused = outcome(is_large, 2, needed, 100);
        assert!(refused.contains("entries are pending"), "{refused}");
        let refused = outcome(is_large, 3, needed - 1, 100);
        assert!(refused.contains("bytes are pending"), "{refused}");
        let refused = outcome(is_large, 3, needed, 99);
        assert!(refused.contains("bytes are free"), "{refused}");
    }
}
