//! Uploads that become a message or the files of a form, cut before each of their calls to the disk.

use super::adoption::pending;
use super::cuts::{TEARS, lose};
use super::keys::request;
use super::message::{check as check_message, message_draft};
use super::scratch::{LARGE, SMALL, Scratch, content, draft};
use super::stage::restart;
use super::uploads::{LAST, MORE};
use crate::file::{FileId, Window};
use crate::journal::idempotency::Claim;
use crate::journal::{
    Adopted, Appended, Becomes, Draft, Journal, JournalError, MadeFiles, UploadDraft, UploadError,
    UploadState,
};
use crate::spool::Received;

/// The key under which all of these uploads are made.
pub(super) const KEY: u8 = 1;

/// The parts of a small body, and of large ones.
const SHAPES: [&[&[u8]]; 3] = [&[b"clip", SMALL], &[b"clip", LARGE, b""], &[LARGE]];

fn body_of(parts: &[&[u8]]) -> Vec<u8> {
    [b"--", parts.concat().as_slice()].concat()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}

fn opened(journal: &Journal, draft: Draft, becomes: Becomes) -> Result<FileId, UploadError> {
    let upload = UploadDraft {
        draft,
        declared: None,
        becomes,
        sha512: None,
    };
    Ok(journal.open_upload(upload)?.0)
}

/// Sends the rest of the body in two appends. All of it is there then.
fn send(scratch: &Scratch, journal: &Journal, id: FileId, body: &[u8]) -> Result<(), UploadError> {
    let half = body.len() / 2;
    let from = match journal.upload_state(id)? {
        Some(UploadState::Open(open)) => usize::try_from(open.offset).unwrap(),
        Some(UploadState::Made(_)) => return Ok(()),
        state => panic!("{state:?}"),
    };
    if from < half {
        let first = scratch.spooled(&body[from..half]);
        let from = u64::try_from(from).unwrap();
        let grown = journal.append(id, from, (&first).into(), MORE)?;
        assert!(matches!(grown, Appended::Grown(_)));
    }
    let from = from.max(half);
    let rest = Received::Inline(&body[from..]);
    let whole = journal.append(id, u64::try_from(from).unwrap(), rest, LAST)?;
    assert!(matches!(whole, Appended::Whole(open) if open.offset == length(body)));
    Ok(())
}

/// Makes of a whole upload what it becomes, as the intake does. Returns the ids of the answer.
fn make(
    journal: &Journal,
    id: FileId,
    becomes: Becomes,
    parts: &[&[u8]],
) -> Result<Vec<FileId>, UploadError> {
    let _held = journal.hold_upload(id)?;
    let asked = Draft {
        request: Some(request(KEY)),
        ..draft()
    };
    let files = match journal.begin(request(KEY))? {
        Claim::Answered(files) => files,
        Claim::First(_running) => {
            let body = journal.body_of_upload(id)?;
            assert_eq!(body.length(), length(&body_of(parts)));
            let message = message_draft(parts, asked.clone());
            if becomes == Becomes::Message {
                journal.adopt_message(Some(&body), message)?.files
            } else {
                let windows = message.parts.iter().map(|part| part.window);
                let files = windows.map(|window: Window| (window, asked.clone()));
                journal.adopt_form(&body, files.collect())?
            }
        }
        claim @ (Claim::Open(_) | Claim::Elsewhere(..) | Claim::Running | Claim::Other) => {
            panic!("{claim:?}")
        }
    };
    let ids: Vec<_> = files.iter().map(Adopted::id).collect();
    journal.made(id, request(KEY).key, ids.last().copied())?;
    Ok(ids)
}

/// The answer that an upload tells; `None` if it is still open.
fn told(journal: &Journal, id: FileId) -> Result<Option<Vec<FileId>>, JournalError> {
    Ok(match journal.upload_state(id)? {
        Some(UploadState::Made(made)) => {
            let MadeFiles::Under(key) = made.files else {
                panic!("it was made here");
            };
            let files = journal.answer_to(key)?;
            files.map(|files| files.iter().map(Adopted::id).collect())
        }
        _ => None,
    })
}

pub(super) fn live(
    scratch: &Scratch,
    journal: &Journal,
    draft: Draft,
    (becomes, parts): (Becomes, &[&[u8]]),
) -> (Option<FileId>, Option<Vec<FileId>>) {
    let Ok(id) = opened(journal, draft, becomes) else {
        return (None, None);
    };
    let made = send(scratch, journal, id, &body_of(parts))
        .and_then(|()| make(journal, id, becomes, parts));
    (Some(id), made.ok())
}

/// Checks that all files are there once, and the upload tells them.
fn check(case: &str, scratch: &Scratch, journal: &Journal, becomes: Becomes, parts: &[&[u8]]) {
    if becomes == Becomes::Message {
        check_message(case, scratch, journal, parts);
        return;
    }
    let mut found: Vec<_> = pending(journal)
        .into_iter()
        .map(|id| content(journal, id).unwrap())
        .collect();
    let mut expected: Vec<_> = parts.iter().map(|part| part.to_vec()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{case}");
}

#[test]
fn a_cut_at_any_moment_leaves_one_message_or_one_form_and_the_retry_gets_its_answer() {
    for (becomes, parts) in SHAPES
        .into_iter()
        .flat_map(|parts| [(Becomes::Message, parts), (Becomes::Form, parts)])
    {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.disk.heal();
            assert!(
                live(&scratch, &journal, draft(), (becomes, parts))
                    .1
                    .is_some()
            );
            scratch.disk.calls()
        };
        for call in 0..=calls.len() {
            for tear in TEARS {
                let case = format!("{becomes:?}, cut before {call} of {calls:?}, {tear:?}");
                let scratch = Scratch::new();
                let journal = scratch.journal();
                scratch.disk.stop_at(call);
                let (id, made) = live(&scratch, &journal, draft(), (becomes, parts));
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                let Some(id) = id else {
                    continue;
                };
                send(&scratch, &journal, id, &body_of(parts)).unwrap();
                let answer = match told(&journal, id).unwrap() {
                    Some(answer) => answer,
                    None => make(&journal, id, becomes, parts).unwrap(),
                };
                assert!(made.is_none_or(|made| made == answer), "{case}");
                check(&case, &scratch, &journal, becomes, parts);
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                assert_eq!(told(&journal, id).unwrap(), Some(answer), "{case}");
                check(&case, &scratch, &journal, becomes, parts);
                let late = journal.append(id, length(&body_of(parts)), Received::Inline(b""), LAST);
                assert!(
                    matches!(late, Err(UploadError::Made(_))),
                    "{case}: {late:?}"
                );
                let bodies = Scratch::names(&scratch.layout().bodies());
                assert!(!bodies.contains(&id.to_string()), "{case}: {bodies:?}");
            }
        }
    }
}

#[test]
fn an_upload_that_has_become_something_takes_no_room_and_is_told_until_it_lapses() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let parts = SHAPES[1];
    let (id, made) = live(&scratch, &journal, draft(), (Becomes::Message, parts));
    let (id, made) = (id.unwrap(), made.unwrap());
    let bytes = journal.pending_bytes(draft().subject);
    for _ in 0..2 {
        assert_eq!(journal.open_uploads().entries, 0);
        assert_eq!(journal.open_uploads().bytes, 0);
        assert_eq!(journal.pending_bytes(draft().subject), bytes);
        assert_eq!(told(&journal, id).unwrap().as_ref(), Some(&made));
        assert!(journal.end_expired_uploads().unwrap() == 0);
        drop(journal);
        journal = scratch.journal();
    }
    assert!(journal.end_upload(id).unwrap());
    assert!(matches!(
        journal.upload_state(id).unwrap(),
        Some(UploadState::Ended)
    ));
    journal.erase(id).unwrap();
    check_message("it has ended", &scratch, &journal, parts);
}
