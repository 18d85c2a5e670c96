//! The room and the number of resumable uploads, and steps that meet an append.

use std::thread;

use super::scratch::{Scratch, content, draft};
use super::uploads::{LAST, MORE, offset, opened};
use crate::file::FileId;
use crate::journal::record::Subject;
use crate::journal::{AdoptError, Becomes, Completion, Draft, Journal, UploadDraft, UploadError};
use crate::spool::Received;

fn try_open(journal: &Journal, declared: u64) -> Result<FileId, AdoptError> {
    let upload = UploadDraft {
        draft: draft(),
        declared: Some(declared),
        becomes: Becomes::File,
        sha512: None,
    };
    journal.open_upload(upload).map(|(id, _)| id)
}

#[test]
fn open_uploads_expect_at_most_half_of_the_room_and_their_appends_are_never_refused_for_it() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 1_000;
    let journal = scratch.journal();
    assert!(matches!(
        try_open(&journal, 50_001),
        Err(AdoptError::Full(_))
    ));
    let id = try_open(&journal, 40_000).unwrap();
    assert_eq!(journal.pending_bytes(draft().subject), 40_000);
    assert!(matches!(
        try_open(&journal, 10_001),
        Err(AdoptError::Full(_))
    ));
    let other = try_open(&journal, 10_000).unwrap();
    assert!(journal.end_upload(other).unwrap());
    let filling = vec![7; 40_000];
    let first = Received::Inline(&filling);
    scratch.try_adopt(&journal, &filling).unwrap();
    let refused = scratch.try_adopt(&journal, &filling);
    assert!(matches!(refused, Err(AdoptError::Full(_))));
    scratch.disk.set_free_bytes(0);
    journal.append(id, 0, first, MORE).unwrap();
    assert_eq!(content(&journal, id).unwrap(), filling);
    assert_eq!(journal.pending_bytes(draft().subject), 80_000);
}

#[test]
fn what_open_uploads_expect_counts_twice_on_the_disk_until_it_has_come() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 1_000;
    let journal = scratch.journal();
    scratch.disk.set_free_bytes(41_000);
    assert!(try_open(&journal, 10_001).is_err());
    let id = try_open(&journal, 10_000).unwrap();
    assert_eq!(journal.free().unwrap().bytes, 21_000);
    assert!(journal.check_admission(20_001).is_err());
    journal.check_admission(20_000).unwrap();
    let part = Received::Inline(&[7; 4_000]);
    journal.append(id, 0, part, MORE).unwrap();
    assert_eq!(journal.free().unwrap().bytes, 29_000);
    drop(journal);
    let journal = scratch.journal();
    assert_eq!(journal.free().unwrap().bytes, 29_000, "after a start");
    journal.end_upload(id).unwrap();
    assert_eq!(journal.free().unwrap().bytes, 41_000);
}

#[test]
fn an_upload_of_unknown_length_is_admitted_with_each_append() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, None);
    let part = vec![7; 60_000];
    journal
        .append(id, 0, Received::Inline(&part), MORE)
        .unwrap();
    let refused = journal.append(id, 60_000, Received::Inline(&part), MORE);
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, UploadError::Adopt(AdoptError::Full(_))),
        "{refused}"
    );
    assert_eq!(offset(&journal, id), Some(60_000));
    let told = Completion {
        declared: Some(100_000),
        ..MORE
    };
    let some = Received::Inline(b"some");
    journal.append(id, 60_000, some, told).unwrap();
    assert_eq!(journal.pending_bytes(draft().subject), 100_000);
}

#[test]
fn a_subject_may_have_a_tenth_of_all_open_uploads() {
    let mut scratch = Scratch::new();
    scratch.limits.max_open_uploads = 20;
    let journal = scratch.journal();
    let open = |subject| {
        let upload = UploadDraft {
            draft: Draft { subject, ..draft() },
            declared: None,
            becomes: Becomes::File,
            sha512: None,
        };
        journal.open_upload(upload).map(|(id, _)| id)
    };
    let first = open(Subject(1)).unwrap();
    open(Subject(1)).unwrap();
    assert!(matches!(open(Subject(1)), Err(AdoptError::Full(_))));
    open(Subject(2)).unwrap();
    for _ in 0..17 {
        open(Subject::default()).unwrap();
    }
    assert!(open(Subject::default()).is_err());
    journal.end_upload(first).unwrap();
    open(Subject(1)).unwrap();
    assert_eq!(journal.open_uploads().entries, 20);
}

#[test]
fn a_second_append_at_the_same_time_is_busy_and_an_end_ends_the_first() {
    let start = || {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = opened(&journal, None);
        scratch.disk.heal();
        (scratch, journal, id)
    };
    let part = Received::Inline(b"part");
    let calls = {
        let (scratch, journal, id) = start();
        journal.append(id, 0, part, MORE).unwrap();
        scratch.disk.calls()
    };
    for call in 0..calls.len() {
        let is_of_log = calls[call] == "write_at" || calls[call] == "sync_bytes";
        let (scratch, journal, id) = start();
        scratch.disk.pause_at(call);
        let appended = thread::scope(|scope| {
            let appending = scope.spawn(|| journal.append(id, 0, part, MORE));
            scratch.disk.during_pause(|| {
                let second = journal.append(id, 0, part, MORE);
                assert!(matches!(second, Err(UploadError::Busy)), "{call}");
                if !is_of_log {
                    assert!(journal.end_upload(id).unwrap(), "{call}");
                    journal.erase(id).unwrap();
                }
            });
            appending.join().unwrap()
        });
        if is_of_log {
            appended.unwrap();
            assert_eq!(offset(&journal, id), Some(4), "{call}");
        } else {
            let is_ended = matches!(appended, Err(UploadError::Ended));
            assert!(is_ended, "{call} of {calls:?}: {appended:?}");
            let bodies = Scratch::names(&scratch.layout().bodies());
            assert!(bodies.is_empty(), "{call} of {calls:?}");
        }
    }
}

#[test]
fn a_copy_forward_keeps_an_upload_as_it_is() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, Some(9));
    let append = |journal: &Journal, at| {
        journal
            .append(id, at, Received::Inline(b"abc"), MORE)
            .unwrap();
    };
    append(&journal, 0);
    journal.copy_one(id).unwrap();
    assert_eq!(offset(&journal, id), Some(3));
    append(&journal, 3);
    drop(journal);
    let journal = scratch.journal();
    assert_eq!(offset(&journal, id), Some(6));
    journal.copy_one(id).unwrap();
    drop(journal);
    let journal = scratch.journal();
    assert_eq!(offset(&journal, id), Some(6));
    append(&journal, 6);
    assert_eq!(content(&journal, id).unwrap(), b"abcabcabc");
}

#[test]
fn a_small_append_takes_one_fsync_and_outlives_a_power_cut_before_and_after_a_copy_forward() {
    for is_copied in [false, true] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = opened(&journal, None);
        let mut at = 0;
        let mut append = |journal: &Journal, bytes: &[u8]| {
            let body = Received::Inline(bytes);
            journal.append(id, at, body, MORE).unwrap();
            at += u64::try_from(bytes.len()).unwrap();
        };
        append(&journal, b"abc");
        append(&journal, b"def");
        scratch.disk.heal();
        append(&journal, b"ghi");
        let calls = scratch.disk.calls();
        let syncs = calls.iter().filter(|call| call.contains("sync"));
        assert_eq!(syncs.count(), 1, "{calls:?}");
        if is_copied {
            journal.copy_one(id).unwrap();
        }
        drop(journal);
        scratch.cut_power();
        let body = || std::fs::read(scratch.layout().body(id)).unwrap();
        let is_whole = body() == b"abcdefghi";
        assert_eq!(is_whole, is_copied, "{:?}", body());
        let journal = scratch.journal();
        assert_eq!(offset(&journal, id), Some(9));
        assert_eq!(body(), b"abcdefghi");
        append(&journal, b"jkl");
        let last = Received::Inline(b"");
        journal.append(id, 12, last, LAST).unwrap();
        drop(journal);
        scratch.cut_power();
        let journal = scratch.journal();
        assert_eq!(content(&journal, id).unwrap(), b"abcdefghijkl");
    }
}
