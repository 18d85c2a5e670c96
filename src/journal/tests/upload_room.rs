//! The room of resumable uploads, their number, their keys, and files that are put together.

use std::thread;

use super::cuts::{TEARS, lose};
use super::keys::request;
use super::scratch::{LARGE, Scratch, absent, content, draft, sha256_of};
use super::stage::restart;
use super::uploads::{LAST, MORE, offset, opened};
use crate::file::FileId;
use crate::journal::idempotency::Claim;
use crate::journal::record::Subject;
use crate::journal::{
    AdoptError, Completion, Draft, Fingerprint, Journal, UploadDraft, UploadError,
};
use crate::spool::Received;
use crate::store::Sha256;

fn try_open(journal: &Journal, declared: u64) -> Result<FileId, AdoptError> {
    let upload = UploadDraft {
        draft: draft(),
        declared: Some(declared),
        is_partial: false,
    };
    journal.open_upload(upload).map(|(id, _)| id)
}

#[test]
fn open_uploads_expect_at_most_half_of_the_room_and_their_appends_are_never_refused_for_it() {
    let scratch = Scratch::new();
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
            is_partial: false,
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
fn a_key_finds_its_open_upload_and_then_its_file() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let open = |journal: &Journal, key| {
        let upload = UploadDraft {
            draft: Draft {
                request: Some(request(key)),
                ..draft()
            },
            declared: None,
            is_partial: false,
        };
        journal.open_upload(upload).unwrap().0
    };
    let id = open(&journal, 1);
    let ended = open(&journal, 2);
    for _ in 0..2 {
        let claim = journal.begin(request(1)).unwrap();
        assert!(matches!(claim, Claim::Open(found) if found == id));
        let other = Fingerprint {
            content: Sha256([8; 32]),
            ..request(1)
        };
        assert!(matches!(journal.begin(other).unwrap(), Claim::Other));
        drop(journal);
        journal = scratch.journal();
    }
    journal
        .append(id, 0, Received::Inline(b"all"), LAST)
        .unwrap();
    journal.end_upload(ended).unwrap();
    for _ in 0..2 {
        let Claim::Answered(files) = journal.begin(request(1)).unwrap() else {
            panic!("it is complete");
        };
        assert_eq!(files[0].id(), id);
        assert!(matches!(
            journal.begin(request(2)).unwrap(),
            Claim::First(_)
        ));
        drop(journal);
        journal = scratch.journal();
    }
}

fn partial(scratch: &Scratch, journal: &Journal, bytes: &[u8]) -> FileId {
    let upload = UploadDraft {
        draft: draft(),
        declared: Some(u64::try_from(bytes.len()).unwrap()),
        is_partial: true,
    };
    let (id, _) = journal.open_upload(upload).unwrap();
    let body = scratch.spooled(bytes);
    journal.append(id, 0, (&body).into(), MORE).unwrap();
    id
}

#[test]
fn a_file_is_put_together_from_complete_parts_and_from_no_others() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let parts = [LARGE, b"", b"the end"].map(|bytes| partial(&scratch, &journal, bytes));
    let whole = [LARGE, b"the end"].concat();
    let right = Draft {
        stated: Some(sha256_of(&whole)),
        ..draft()
    };
    let made = journal.concatenate(&parts, right.clone()).unwrap();
    assert_eq!(content(&journal, made.id()).unwrap(), whole);
    assert_eq!(journal.open_uploads().entries, 3, "they stay");
    let twice = journal.concatenate(&[parts[2], parts[2]], draft()).unwrap();
    assert_eq!(content(&journal, twice.id()).unwrap(), b"the endthe end");
    let differs = journal.concatenate(&parts[1..], right);
    assert!(matches!(differs, Err(UploadError::Digest)));
    let whole_file = scratch.adopt(&journal, LARGE);
    let open = opened(&journal, Some(9));
    for wrong in [absent(), whole_file, open] {
        let refused = journal.concatenate(&[parts[0], wrong], draft());
        assert!(matches!(refused, Err(UploadError::Part(part)) if part == wrong));
    }
    journal.end_upload(parts[0]).unwrap();
    let refused = journal.concatenate(&parts, draft());
    assert!(matches!(refused, Err(UploadError::Part(part)) if part == parts[0]));
    let bodies = Scratch::names(&scratch.layout().bodies());
    let mut expected = [made.id(), twice.id(), whole_file, parts[2]].map(|id| id.to_string());
    expected.sort();
    assert_eq!(bodies, expected);
}

#[test]
fn a_cut_while_parts_are_put_together_leaves_the_file_or_nothing_of_it() {
    let start = || {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let parts = [LARGE, b"the end"].map(|bytes| partial(&scratch, &journal, bytes));
        scratch.disk.heal();
        (scratch, journal, parts)
    };
    let calls = {
        let (scratch, journal, parts) = start();
        journal.concatenate(&parts, draft()).unwrap();
        scratch.disk.calls()
    };
    for call in 0..=calls.len() {
        for tear in TEARS {
            let case = format!("cut before {call} of {calls:?}, {tear:?}");
            let (scratch, journal, parts) = start();
            scratch.disk.stop_at(call);
            let made = journal.concatenate(&parts, draft());
            drop(journal);
            lose(&scratch, tear);
            let journal = restart(&case, &scratch);
            let work = journal.work();
            let files = work.iter().map(|&(id, _)| id);
            let mut expected: Vec<_> = parts.into_iter().chain(files.clone()).collect();
            for id in files {
                let found = content(&journal, id).unwrap();
                assert_eq!(found, [LARGE, b"the end"].concat(), "{case}");
            }
            if let Ok(made) = made {
                assert!(expected.contains(&made.id()), "{case}");
            }
            expected.sort();
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            let bodies = Scratch::names(&scratch.layout().bodies());
            assert_eq!(bodies, expected, "{case}");
            let again = journal.concatenate(&parts, draft());
            again.expect(&case);
        }
    }
}
