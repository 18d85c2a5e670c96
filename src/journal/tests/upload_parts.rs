//! The keys of resumable uploads, and files that are put together.

use super::cuts::{TEARS, lose};
use super::keys::request;
use super::scratch::{LARGE, Scratch, absent, content, draft, sha256_of};
use super::stage::restart;
use super::uploads::{LAST, MORE, opened};
use crate::file::FileId;
use crate::journal::idempotency::Claim;
use crate::journal::{Becomes, Draft, Fingerprint, Journal, UploadDraft, UploadError};
use crate::spool::Received;
use crate::store::Sha256;

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
            becomes: Becomes::File,
            sha512: None,
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
        becomes: Becomes::Part,
        sha512: None,
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
    // One that lacks its last bytes, and one whose length nobody has told.
    for declared in [Some(9), None] {
        let unfinished = UploadDraft {
            draft: draft(),
            declared,
            becomes: Becomes::Part,
            sha512: None,
        };
        let (unfinished, _) = journal.open_upload(unfinished).unwrap();
        let some = Received::Inline(b"the end");
        journal.append(unfinished, 0, some, MORE).unwrap();
        let refused = journal.concatenate(&[parts[0], unfinished], draft());
        assert!(matches!(refused, Err(UploadError::Part(part)) if part == unfinished));
        journal.end_upload(unfinished).unwrap();
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
