//! A whole file comes under the key of an upload that an earlier try has left.

use super::adoption::pending;
use super::cuts::{TEARS, lose};
use super::keys::request;
use super::scratch::{LARGE, Scratch, content, draft};
use super::stage::restart;
use super::uploads::{MORE, offset};
use crate::file::FileId;
use crate::journal::idempotency::Claim;
use crate::journal::{
    Adopted, Becomes, Completion, Draft, Fingerprint, Journal, UnderKey, UploadDraft,
};
use crate::spool::Received;
use crate::store::Sha256;

fn broken() -> Fingerprint {
    Fingerprint {
        content: Sha256([7; 32]),
        ..request(0)
    }
}

fn length() -> u64 {
    u64::try_from(LARGE.len()).unwrap()
}

/// Makes a journal with an upload that has the first bytes of the file.
fn start() -> (Scratch, Journal, FileId) {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let upload = UploadDraft {
        draft: Draft {
            request: Some(broken()),
            ..draft()
        },
        declared: Some(length()),
        becomes: Becomes::File,
        sha512: None,
    };
    let id = journal.open_upload(upload).unwrap().0;
    let first = Received::Inline(&LARGE[..5]);
    journal.append(id, 0, first, MORE).unwrap();
    scratch.disk.heal();
    (scratch, journal, id)
}

fn files_of(journal: &Journal) -> Vec<FileId> {
    let files = pending(journal).into_iter();
    files.filter(|&id| content(journal, id).is_some()).collect()
}

/// Sends the whole file. Returns it, if the disk allows that.
fn send(scratch: &Scratch, journal: &Journal) -> Option<FileId> {
    match journal.begin_whole(request(0), broken()).ok()? {
        Claim::First(_running) => {
            let draft = Draft {
                request: Some(request(0)),
                ..draft()
            };
            let adopted = journal.adopt(Some(&scratch.spooled(LARGE)), draft);
            Some(adopted.ok()?.id())
        }
        Claim::Answered(answer) => answer.first().map(Adopted::id),
        other @ (Claim::Elsewhere(..) | Claim::Open(_) | Claim::Running | Claim::Other) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_cut_while_a_whole_file_takes_the_place_of_an_upload_leaves_one_of_them_or_none() {
    let calls = {
        let (scratch, journal, _) = start();
        send(&scratch, &journal).unwrap();
        scratch.disk.calls()
    };
    for call in 0..=calls.len() {
        for tear in TEARS {
            let case = format!("cut before {call} of {calls:?}, {tear:?}");
            let (scratch, journal, id) = start();
            scratch.disk.stop_at(call);
            let told = send(&scratch, &journal);
            drop(journal);
            lose(&scratch, tear);
            let journal = restart(&case, &scratch);
            let is_open = offset(&journal, id).is_some();
            let files = files_of(&journal);
            assert!(files.len() + usize::from(is_open) <= 1, "{case}: {files:?}");
            let again = send(&scratch, &journal).expect(&case);
            assert!(told.is_none_or(|told| told == again), "{case}");
            assert_eq!(files_of(&journal), [again], "{case}");
            assert_eq!(content(&journal, again).unwrap(), LARGE, "{case}");
            assert_eq!(journal.open_uploads().entries, 0, "{case}");
        }
    }
}

#[test]
fn an_upload_that_is_complete_is_the_answer_and_one_of_other_statements_stays() {
    let (scratch, journal, id) = start();
    let other = Fingerprint {
        content: Sha256([8; 32]),
        ..request(0)
    };
    let claim = journal.begin_whole(request(0), other).unwrap();
    assert!(matches!(claim, Claim::Other), "{claim:?}");
    assert_eq!(offset(&journal, id), Some(5));
    assert_eq!(journal.room_under_key(request(0).key), length());
    assert_eq!(
        journal.under_key(request(0).key).unwrap(),
        UnderKey::One(id)
    );
    let rest = Received::Inline(&LARGE[5..]);
    journal.append(id, 5, rest, Completion::default()).unwrap();
    assert_eq!(send(&scratch, &journal), Some(id));
    assert_eq!(journal.room_under_key(request(0).key), 0);
}

#[test]
fn while_a_request_under_a_key_is_carried_out_nothing_is_told_of_the_key() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let key = request(0).key;
    let Claim::First(running) = journal.begin(request(0)).unwrap() else {
        panic!("it is new");
    };
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::Running);
    drop(running);
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::Nothing);
}
