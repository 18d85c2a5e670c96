//! Resumable uploads: single steps.

use super::adoption::pending;
use super::scratch::{HOUR, LARGE, Scratch, content, draft, room, sha256_of};
use crate::file::FileId;
use crate::journal::{
    Appended, Completion, Draft, Journal, Room, UploadDraft, UploadError, UploadState,
};
use crate::spool::Received;

pub(super) const LAST: Completion = Completion {
    declared: None,
    is_last: true,
    stated: None,
};

pub(super) const MORE: Completion = Completion {
    is_last: false,
    ..LAST
};

pub(super) fn opened(journal: &Journal, declared: Option<u64>) -> FileId {
    let upload = UploadDraft {
        draft: draft(),
        declared,
        is_partial: false,
    };
    journal.open_upload(upload).unwrap().0
}

/// The offset of an open upload; `None` if it is not open.
pub(super) fn offset(journal: &Journal, id: FileId) -> Option<u64> {
    match journal.upload_state(id).unwrap() {
        Some(UploadState::Open(open)) => Some(open.offset),
        Some(UploadState::Complete { .. } | UploadState::Ended) | None => None,
    }
}

#[test]
fn an_upload_grows_by_spooled_and_small_bodies_and_is_then_a_file() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, None);
    let spooled = scratch.spooled(LARGE);
    let appended = journal.append(id, 0, (&spooled).into(), MORE).unwrap();
    assert!(matches!(appended, Appended::Grown(open) if open.offset == 56));
    assert!(pending(&journal).is_empty());
    assert!(content(&journal, id).is_none());
    drop(spooled);
    let second = scratch.spooled(LARGE);
    journal.append(id, 56, (&second).into(), MORE).unwrap();
    let third = Received::Inline(b"the end");
    let Appended::Complete(adopted) = journal.append(id, 112, third, LAST).unwrap() else {
        panic!("it was the last");
    };
    let whole = [LARGE, LARGE, b"the end"].concat();
    assert_eq!((adopted.id(), adopted.meta().length), (id, 119));
    assert_eq!(content(&journal, id).unwrap(), whole);
    assert_eq!(pending(&journal), [id]);
    assert_eq!(room(&journal, id), Some(Room::Incoming));
    let again = journal.append(id, 119, Received::Inline(&[]), LAST);
    assert!(matches!(again, Err(UploadError::Complete(file)) if file.id() == id));
    assert_eq!(journal.open_uploads().entries, 0);
}

#[test]
fn an_append_elsewhere_or_beyond_the_declared_length_changes_nothing() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, Some(5));
    let append = |at, bytes: &[u8], completion| {
        let refused = journal.append(id, at, Received::Inline(bytes), completion);
        let is_open = offset(&journal, id);
        (refused.map(drop), is_open)
    };
    assert!(matches!(append(0, b"abc", MORE), (Ok(()), Some(3))));
    for (at, bytes, completion) in [(0, &b"abc"[..], MORE), (4, b"e", MORE)] {
        let (refused, offset) = append(at, bytes, completion);
        assert!(matches!(refused, Err(UploadError::Offset(3))));
        assert_eq!(offset, Some(3));
    }
    let told = Completion {
        declared: Some(6),
        ..MORE
    };
    let is_five = |(refused, offset)| match refused {
        Err(UploadError::TooLong { declared } | UploadError::LengthDiffers { declared }) => {
            assert_eq!((declared, offset), (5, Some(3)));
        }
        refused => panic!("{refused:?}"),
    };
    is_five(append(3, b"def", MORE));
    is_five(append(3, b"d", LAST));
    is_five(append(3, b"d", told));
    assert!(matches!(append(3, b"de", MORE), (Ok(()), None)));
    assert_eq!(content(&journal, id).unwrap(), b"abcde");
}

#[test]
fn a_length_that_is_told_late_binds_and_completes() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, None);
    let told = Completion {
        declared: Some(4),
        ..MORE
    };
    let part = Received::Inline(b"ab");
    journal.append(id, 0, part, told).unwrap();
    drop(journal);
    let journal = scratch.journal();
    let done = journal.append(id, 2, part, MORE).unwrap();
    assert!(matches!(done, Appended::Complete(_)));
    assert_eq!(content(&journal, id).unwrap(), b"abab");
}

#[test]
fn an_upload_of_nothing_and_one_that_ends_with_nothing_are_files() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let declared = opened(&journal, Some(0));
    let unknown = opened(&journal, None);
    let nothing = Received::Inline(&[]);
    journal.append(unknown, 0, nothing, LAST).unwrap();
    let some = opened(&journal, None);
    journal
        .append(some, 0, Received::Inline(b"some"), MORE)
        .unwrap();
    journal.append(some, 4, nothing, LAST).unwrap();
    for (id, bytes) in [(declared, &b""[..]), (unknown, b""), (some, b"some")] {
        assert_eq!(content(&journal, id).unwrap(), bytes);
        let state = journal.upload_state(id).unwrap();
        assert!(matches!(state, Some(UploadState::Complete { .. })));
    }
}

#[test]
fn an_upload_that_is_ended_is_gone_and_takes_nothing() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, None);
    let part = Received::Inline(b"part");
    journal.append(id, 0, part, MORE).unwrap();
    assert!(scratch.layout().body(id).exists());
    assert!(journal.end_upload(id).unwrap());
    assert!(!journal.end_upload(id).unwrap(), "once");
    assert!(!scratch.layout().body(id).exists());
    let refused = journal.append(id, 4, part, MORE);
    assert!(matches!(refused, Err(UploadError::Ended)));
    let state = journal.upload_state(id).unwrap();
    assert!(matches!(state, Some(UploadState::Ended)));
    journal.erase(id).unwrap();
    let refused = journal.append(id, 4, part, MORE);
    assert!(matches!(refused, Err(UploadError::Absent)));
    assert!(!scratch.layout().body(id).exists());
    assert_eq!(journal.pending_bytes(draft().subject), 0);
}

#[test]
fn a_whole_with_another_digest_than_was_stated_is_no_file() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let stating = |bytes: &[u8]| {
        let upload = UploadDraft {
            draft: Draft {
                stated: Some(sha256_of(bytes)),
                ..draft()
            },
            declared: None,
            is_partial: false,
        };
        let (id, _) = journal.open_upload(upload).unwrap();
        let first = journal.append(id, 0, Received::Inline(b"wh"), MORE);
        first.unwrap();
        (id, journal.append(id, 2, Received::Inline(b"ole"), LAST))
    };
    let (right, complete) = stating(b"whole");
    assert!(matches!(complete, Ok(Appended::Complete(_))));
    assert_eq!(content(&journal, right).unwrap(), b"whole");
    let (wrong, refused) = stating(b"other");
    assert!(matches!(refused, Err(UploadError::Digest)));
    let state = journal.upload_state(wrong).unwrap();
    assert!(matches!(state, Some(UploadState::Ended)));
    assert!(!scratch.layout().body(wrong).exists());
}

#[test]
fn an_upload_that_stands_still_ends_after_its_lifetime() {
    let mut scratch = Scratch::new();
    scratch.limits.upload_lifetime = std::time::Duration::ZERO;
    let journal = scratch.journal();
    let id = opened(&journal, Some(9));
    let late = journal.append(id, 0, Received::Inline(b"late"), MORE);
    assert!(matches!(late, Err(UploadError::Ended)));
    let state = journal.upload_state(id).unwrap();
    assert!(matches!(state, Some(UploadState::Ended)));
    assert_eq!(journal.end_expired_uploads().unwrap(), 1);
    assert_eq!(journal.end_expired_uploads().unwrap(), 0);
    assert_eq!(journal.open_uploads().entries, 0);
    scratch.limits.upload_lifetime = HOUR;
}
