//! Resumable uploads: single steps.

use sha2::Digest as _;

use super::adoption::pending;
use super::scratch::{HOUR, LARGE, Scratch, content, draft, room, sha256_of};
use crate::file::{FileId, Sha512, WholeDigests};
use crate::journal::{
    Appended, Becomes, Completion, Draft, Ends, Journal, Room, UploadDraft, UploadError,
    UploadState,
};
use crate::spool::Received;

pub(super) const LAST: Completion = Completion {
    declared: None,
    ends: Ends::Now,
    stated: WholeDigests {
        sha256: None,
        sha512: None,
    },
};

pub(super) const MORE: Completion = Completion {
    ends: Ends::AtLength,
    ..LAST
};

pub(super) fn opened(journal: &Journal, declared: Option<u64>) -> FileId {
    let upload = UploadDraft {
        draft: draft(),
        declared,
        becomes: Becomes::File,
        sha512: None,
    };
    journal.open_upload(upload).unwrap().0
}

/// The offset of an open upload; `None` if it is not open.
pub(super) fn offset(journal: &Journal, id: FileId) -> Option<u64> {
    match journal.upload_state(id).unwrap() {
        Some(UploadState::Open(open)) => Some(open.offset),
        Some(UploadState::Complete { .. } | UploadState::Made(_) | UploadState::Ended) | None => {
            None
        }
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
    // The length alone completes nothing.
    assert_eq!(offset(&journal, declared), Some(0));
    let unknown = opened(&journal, None);
    let nothing = Received::Inline(&[]);
    journal.append(declared, 0, nothing, MORE).unwrap();
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
    let sha256 = |bytes| WholeDigests {
        sha256: Some(sha256_of(bytes)),
        sha512: None,
    };
    let sha512 = |bytes| WholeDigests {
        sha256: None,
        sha512: Some(Sha512(sha2::Sha512::digest(bytes).into())),
    };
    // All digests count, whether they are told at the beginning or at the end.
    let stating = |at_first: WholeDigests, at_last: WholeDigests| {
        let journal = scratch.journal();
        let upload = UploadDraft {
            draft: Draft {
                stated: at_first.sha256,
                ..draft()
            },
            declared: None,
            becomes: Becomes::File,
            sha512: at_first.sha512,
        };
        let (id, _) = journal.open_upload(upload).unwrap();
        let first = journal.append(id, 0, Received::Inline(b"wh"), MORE);
        first.unwrap();
        drop(journal);
        let journal = scratch.journal();
        let last = Completion {
            stated: at_last,
            ..LAST
        };
        let appended = journal.append(id, 2, Received::Inline(b"ole"), last);
        (journal, id, appended)
    };
    let (right, wrong): (&[u8], &[u8]) = (b"whole", b"other");
    let none = WholeDigests::default();
    for (at_first, at_last) in [
        (sha256(right), none),
        (sha512(right), none),
        (none, sha512(right)),
        (sha512(right), sha256(right)),
    ] {
        let (journal, id, complete) = stating(at_first, at_last);
        assert!(matches!(complete, Ok(Appended::Complete(_))));
        assert_eq!(content(&journal, id).unwrap(), right);
    }
    for (at_first, at_last) in [
        (sha256(wrong), none),
        (sha512(wrong), none),
        (none, sha512(wrong)),
        (sha512(wrong), sha512(right)),
        (sha256(wrong), sha256(right)),
    ] {
        let (journal, id, refused) = stating(at_first, at_last);
        assert!(matches!(refused, Err(UploadError::Digest)));
        let state = journal.upload_state(id).unwrap();
        assert!(matches!(state, Some(UploadState::Ended)));
        assert!(!scratch.layout().body(id).exists());
    }
}

#[test]
fn an_upload_that_waits_for_its_last_append_stays_open_at_its_length() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, Some(3));
    let later = Completion {
        ends: Ends::Later,
        ..LAST
    };
    let grown = journal.append(id, 0, Received::Inline(b"abc"), later);
    assert!(matches!(grown, Ok(Appended::Grown(open)) if open.offset == 3));
    let beyond = journal.append(id, 3, Received::Inline(b"d"), later);
    assert!(matches!(beyond, Err(UploadError::TooLong { declared: 3 })));
    drop(journal);
    let journal = scratch.journal();
    assert_eq!(offset(&journal, id), Some(3));
    let complete = journal.append(id, 3, Received::Inline(b""), LAST);
    assert!(matches!(complete, Ok(Appended::Complete(_))));
    assert_eq!(content(&journal, id).unwrap(), b"abc");
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
