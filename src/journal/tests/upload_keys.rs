//! A whole request comes under the key of an upload that an earlier try has left.

use super::adoption::pending;
use super::cuts::{TEARS, lose};
use super::fault::Fault;
use super::keys::request;
use super::message::message_draft;
use super::scratch::{LARGE, SMALL, Scratch, content, draft};
use super::stage::restart;
use super::uploads::{MORE, offset};
use crate::file::{FileId, Window};
use crate::journal::idempotency::Claim;
use crate::journal::{
    AdoptError, Adopted, Becomes, Completion, Draft, Fingerprint, Journal, JournalError, Running,
    UnderKey, UploadDraft, UploadError, UploadState,
};
use crate::spool::Received;
use crate::store::Sha256;

/// The whole that a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Large,
    Small,
    Form,
    Message,
}

const WHOLES: [Whole; 4] = [Whole::Large, Whole::Small, Whole::Form, Whole::Message];

/// The parts of a form or a message.
const PARTS: [&[u8]; 2] = [b"clip", LARGE];

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

/// The files of the journal, in their order.
fn files_of(journal: &Journal) -> Vec<FileId> {
    let mut files = pending(journal);
    files.retain(|&id| content(journal, id).is_some());
    files.sort_unstable();
    files
}

fn ids(files: &[Adopted]) -> Vec<FileId> {
    files.iter().map(Adopted::id).collect()
}

fn adopt(scratch: &Scratch, journal: &Journal, whole: Whole) -> Result<Vec<FileId>, AdoptError> {
    let draft = || Draft {
        request: Some(request(0)),
        ..draft()
    };
    let files = match whole {
        Whole::Large => vec![journal.adopt(Some(&scratch.spooled(LARGE)), draft())?],
        Whole::Small => vec![journal.adopt(Received::Inline(SMALL), draft())?],
        Whole::Form => {
            let part = |offset| (Window { offset, length: 9 }, draft());
            journal.adopt_form(&scratch.spooled(LARGE), vec![part(0), part(9)])?
        }
        Whole::Message => {
            let body = [b"--", &PARTS.concat()[..]].concat();
            let message = message_draft(&PARTS, draft());
            let adopted = journal.adopt_message(Some(&scratch.spooled(&body)), message)?;
            adopted.files
        }
    };
    Ok(ids(&files))
}

fn claim(journal: &Journal) -> Result<Result<Running, Vec<FileId>>, JournalError> {
    Ok(match journal.begin_whole(request(0), broken())? {
        Claim::First(running) => Ok(running),
        Claim::Answered(answer) => Err(ids(&answer)),
        other @ (Claim::Elsewhere(..) | Claim::Open(_) | Claim::Running | Claim::Other) => {
            panic!("{other:?}")
        }
    })
}

/// Sends the whole. Returns its files, if the disk allows that.
fn send(scratch: &Scratch, journal: &Journal, whole: Whole) -> Option<Vec<FileId>> {
    match claim(journal).ok()? {
        Ok(running) => {
            let files = adopt(scratch, journal, whole).ok()?;
            journal.carried_out(Some(running));
            Some(files)
        }
        Err(answer) => Some(answer),
    }
}

/// Appends the rest of the file to the upload.
fn go_on(journal: &Journal, id: FileId) -> Result<(), UploadError> {
    let rest = Received::Inline(&LARGE[5..]);
    journal
        .append(id, 5, rest, Completion::default())
        .map(|_| ())
}

/// Checks that the key stands for exactly one of both: the upload as it was, or the whole. Returns the
/// files of the whole.
fn check(case: &str, journal: &Journal, id: FileId) -> Vec<FileId> {
    let files = files_of(journal);
    let is_open = offset(journal, id).inspect(|&offset| assert_eq!(offset, 5, "{case}"));
    assert_eq!(is_open.is_some(), files.is_empty(), "{case}: {files:?}");
    assert_eq!(
        journal.open_uploads().entries,
        u64::from(is_open.is_some()),
        "{case}"
    );
    let under_key = journal.under_key(request(0).key).unwrap();
    let one = files.first().copied().unwrap_or(id);
    let expected = if files.len() > 1 {
        UnderKey::Nothing
    } else {
        UnderKey::One(one)
    };
    assert_eq!(under_key, expected, "{case}");
    if is_open.is_none() {
        let state = journal.upload_state(id).unwrap();
        assert!(matches!(state, None | Some(UploadState::Ended)), "{case}");
        go_on(journal, id).expect_err(case);
    }
    files
}

#[test]
fn a_cut_while_a_whole_takes_the_place_of_an_upload_leaves_one_of_them_never_none() {
    for whole in WHOLES {
        let calls = {
            let (scratch, journal, _) = start();
            send(&scratch, &journal, whole).unwrap();
            scratch.disk.calls()
        };
        for call in 0..=calls.len() {
            for (tear, goes_on) in TEARS.into_iter().zip([false, true].into_iter().cycle()) {
                let case = format!("{whole:?} cut before {call} of {calls:?}, {tear:?}");
                let (scratch, journal, id) = start();
                scratch.disk.stop_at(call);
                let told = send(&scratch, &journal, whole);
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                let files = check(&case, &journal, id);
                assert!(told.is_none_or(|told| told == files), "{case}");
                let is_open = files.is_empty();
                if is_open && goes_on {
                    go_on(&journal, id).expect(&case);
                    assert_eq!(content(&journal, id).unwrap(), LARGE, "{case}");
                }
                let again = send(&scratch, &journal, whole).expect(&case);
                assert_eq!(files_of(&journal), again, "{case}");
                if is_open {
                    assert_eq!(again == [id], goes_on, "{case}");
                } else {
                    assert_eq!(again, files, "{case}");
                }
                assert_eq!(journal.open_uploads().entries, 0, "{case}");
            }
        }
    }
}

#[test]
fn a_start_that_is_cut_while_it_ends_an_upload_that_gave_way_leaves_that_to_the_next_one() {
    let both = || {
        let (scratch, journal, id) = start();
        let _running = claim(&journal).unwrap().unwrap();
        let files = adopt(&scratch, &journal, Whole::Large).unwrap();
        drop(journal);
        scratch.disk.heal();
        (scratch, id, files)
    };
    let calls = {
        let (scratch, id, files) = both();
        let (journal, _) = scratch.try_open().unwrap();
        assert_eq!(check("no cut", &journal, id), files);
        scratch.disk.calls()
    };
    for call in 0..=calls.len() {
        for tear in TEARS {
            let case = format!("cut before {call} of {calls:?}, {tear:?}");
            let (scratch, id, files) = both();
            scratch.disk.stop_at(call);
            drop(scratch.try_open());
            lose(&scratch, tear);
            let journal = restart(&case, &scratch);
            assert_eq!(check(&case, &journal, id), files, "{case}");
            assert_eq!(send(&scratch, &journal, Whole::Large), Some(files));
        }
    }
}

#[test]
fn an_upload_whose_end_the_disk_refuses_never_grows_beside_the_whole() {
    let calls = {
        let (scratch, journal, _) = start();
        send(&scratch, &journal, Whole::Large).unwrap();
        scratch.disk.calls()
    };
    let mut refused = 0;
    for call in 0..calls.len() {
        for fault in Fault::ALL {
            let case = format!("{fault:?} in {call} of {calls:?}");
            let (scratch, journal, id) = start();
            scratch.disk.fail_once(call, fault);
            let told = send(&scratch, &journal, Whole::Large);
            scratch.disk.heal();
            if let Some(told) = &told {
                assert_eq!(files_of(&journal), *told, "{case}");
                go_on(&journal, id).expect_err(&case);
                let now = journal.under_key(request(0).key).unwrap();
                assert_eq!(now, UnderKey::One(told[0]), "{case}");
                refused += usize::from(offset(&journal, id).is_some());
            } else if journal.poison().is_none() {
                assert_eq!(offset(&journal, id), Some(5), "{case}");
            }
            drop(journal);
            let journal = restart(&case, &scratch);
            let files = check(&case, &journal, id);
            assert!(told.is_none_or(|told| told == files), "{case}");
        }
    }
    assert!(refused > 0, "no end was refused");
}

#[test]
fn an_upload_is_held_while_a_whole_may_take_its_place_and_free_if_that_is_refused() {
    let (scratch, journal, id) = start();
    let running = claim(&journal).unwrap().unwrap();
    assert!(running.has_earlier());
    let busy = go_on(&journal, id).unwrap_err();
    assert!(matches!(busy, UploadError::Busy), "{busy}");
    let key = request(0).key;
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::Running);
    let again = journal.begin_whole(request(0), broken()).unwrap();
    assert!(matches!(again, Claim::Running), "{again:?}");
    assert_eq!(offset(&journal, id), Some(5));
    // Nothing became of it.
    drop(running);
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::One(id));
    // Another node carries it out.
    let running = claim(&journal).unwrap().unwrap();
    journal.end_for_another_node(running).unwrap();
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::Nothing);
    assert_eq!(offset(&journal, id), None);
    drop(scratch);
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
    assert_eq!(journal.room_under_key(request(0).key), Some(length()));
    assert_eq!(
        journal.under_key(request(0).key).unwrap(),
        UnderKey::One(id)
    );
    go_on(&journal, id).unwrap();
    assert_eq!(send(&scratch, &journal, Whole::Large), Some(vec![id]));
    assert_eq!(journal.room_under_key(request(0).key), None);
}
