//! Resumable uploads are cut before each of their calls to the disk, and each call fails once.

use super::cuts::{TEARS, lose};
use super::fault::Fault;
use super::scratch::{LARGE, Scratch, content};
use super::stage::restart;
use super::uploads::{LAST, MORE, offset, opened};
use crate::file::FileId;
use crate::journal::{Appended, Becomes, Journal, UploadError, UploadState};
use crate::spool::Received;

/// The appends: linked, from memory, copied.
const PIECES: [&[u8]; 3] = [LARGE, b"a small piece", b"the last piece, which is copied"];

fn whole() -> Vec<u8> {
    PIECES.concat()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}

/// Where each append begins, and the end.
fn bounds() -> Vec<u64> {
    (0..=PIECES.len())
        .map(|pieces| length(&PIECES[..pieces].concat()))
        .collect()
}

/// What callers were told of an upload.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    id: Option<FileId>,
    pieces: usize,
}

fn append(
    scratch: &Scratch,
    journal: &Journal,
    id: FileId,
    number: usize,
) -> Result<Appended, UploadError> {
    let is_last = number + 1 == PIECES.len();
    let completion = if is_last { LAST } else { MORE };
    let from = bounds()[number];
    if number == 1 {
        journal.append(id, from, Received::Inline(PIECES[number]), completion)
    } else {
        let body = scratch.spooled(PIECES[number]);
        journal.append(id, from, (&body).into(), completion)
    }
}

/// Appends the pieces from this one on, as far as the disk allows.
fn go_on(scratch: &Scratch, journal: &Journal, id: FileId, from: usize) -> Told {
    let mut pieces = from;
    while pieces < PIECES.len() && append(scratch, journal, id, pieces).is_ok() {
        pieces += 1;
    }
    Told {
        id: Some(id),
        pieces,
    }
}

fn try_open(journal: &Journal, declared: Option<u64>) -> Option<FileId> {
    let upload = crate::journal::UploadDraft {
        draft: super::scratch::draft(),
        declared,
        becomes: Becomes::File,
        sha512: None,
    };
    Some(journal.open_upload(upload).ok()?.0)
}

fn live(scratch: &Scratch, journal: &Journal, declared: Option<u64>) -> Told {
    try_open(journal, declared).map_or_else(Told::default, |id| go_on(scratch, journal, id, 0))
}

/// Checks that the upload is as was told, or one append further. Returns the number of its appends.
fn check(case: &str, journal: &Journal, id: FileId, told: usize) -> usize {
    let state = journal.upload_state(id).unwrap();
    let found = match state {
        Some(UploadState::Open(open)) => {
            let found = bounds().iter().position(|&bound| bound == open.offset);
            found.unwrap_or_else(|| panic!("{case}: {open:?}"))
        }
        Some(UploadState::Complete { .. }) => PIECES.len(),
        state => panic!("{case}: {state:?}"),
    };
    assert!([told, told + 1].contains(&found), "{case}: {found}");
    let is_whole = content(journal, id).is_some_and(|found| found == whole());
    assert_eq!(is_whole, found == PIECES.len(), "{case}");
    found
}

#[test]
fn a_cut_at_any_moment_leaves_what_was_told_and_the_upload_goes_on_from_there() {
    for declared in [None, Some(length(&whole()))] {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.disk.heal();
            assert_eq!(live(&scratch, &journal, declared).pieces, PIECES.len());
            scratch.disk.calls()
        };
        for call in 0..=calls.len() {
            for tear in TEARS {
                let case = format!("{declared:?}, cut before {call} of {calls:?}, {tear:?}");
                let scratch = Scratch::new();
                let journal = scratch.journal();
                scratch.disk.stop_at(call);
                let told = live(&scratch, &journal, declared);
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                let Some(id) = told.id else {
                    continue;
                };
                let found = check(&case, &journal, id, told.pieces);
                let done = go_on(&scratch, &journal, id, found);
                assert_eq!(done.pieces, PIECES.len(), "{case}");
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                check(&case, &journal, id, PIECES.len());
                let bodies = Scratch::names(&scratch.layout().bodies());
                assert_eq!(bodies, [id.to_string()], "{case}");
            }
        }
    }
}

#[test]
fn no_cut_after_an_empty_append_takes_the_small_ones_before_it() {
    for behind in [&b""[..], b"another small piece"] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = opened(&journal, None);
        let first = scratch.spooled(LARGE);
        journal.append(id, 0, (&first).into(), MORE).unwrap();
        let mut told = LARGE.to_vec();
        for piece in [b"a small piece", &b""[..], behind] {
            let body = Received::Inline(piece);
            journal.append(id, length(&told), body, MORE).unwrap();
            told.extend(piece);
        }
        drop(journal);
        scratch.cut_power();
        let journal = restart("after an empty append", &scratch);
        assert_eq!(offset(&journal, id), Some(length(&told)));
        let end = Received::Inline(b"the end");
        journal.append(id, length(&told), end, LAST).unwrap();
        told.extend(b"the end");
        assert_eq!(content(&journal, id).unwrap(), told, "{behind:?}");
    }
}

#[test]
fn an_append_that_meets_a_failing_call_leaves_the_offset_and_can_be_sent_again() {
    let start = || {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = opened(&journal, None);
        scratch.disk.heal();
        (scratch, journal, id)
    };
    let calls = {
        let (scratch, journal, id) = start();
        go_on(&scratch, &journal, id, 0);
        scratch.disk.calls()
    };
    for call in 0..calls.len() {
        for fault in Fault::ALL {
            let case = format!("{fault:?} in {call} of {calls:?}");
            let (scratch, journal, id) = start();
            scratch.disk.fail_once(call, fault);
            let told = go_on(&scratch, &journal, id, 0);
            let mut found = told.pieces;
            if journal.poison().is_none() {
                assert_eq!(check(&case, &journal, id, found), found, "{case}");
                found = go_on(&scratch, &journal, id, found).pieces;
                assert_eq!(found, PIECES.len(), "{case}");
            }
            drop(journal);
            scratch.disk.heal();
            scratch.cut_power();
            let journal = restart(&case, &scratch);
            let found = check(&case, &journal, id, found);
            assert_eq!(go_on(&scratch, &journal, id, found).pieces, PIECES.len());
            assert_eq!(content(&journal, id).unwrap(), whole(), "{case}");
        }
    }
}

/// An append that the log refused may be found by a start: then its own bytes must be there.
#[test]
fn no_start_finds_a_refused_append_with_the_bytes_of_a_later_one() {
    let (first, second) = (&b"0123456789"[..], &b"abcdefg"[..]);
    let start = || {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = opened(&journal, None);
        let begun = Received::Inline(b"begun");
        journal.append(id, 5, begun, MORE).unwrap_err();
        journal.append(id, 0, begun, MORE).unwrap();
        scratch.disk.heal();
        (scratch, journal, id)
    };
    for completion in [MORE, LAST] {
        let append = |journal: &Journal, id, bytes| {
            journal.append(id, 5, Received::Inline(bytes), completion)
        };
        let calls = {
            let (scratch, journal, id) = start();
            append(&journal, id, first).unwrap();
            scratch.disk.calls()
        };
        // Without a fault, the disk fails until it is healed: the log cannot take the group back.
        let faults: Vec<_> = Fault::ALL.map(Some).into_iter().chain([None]).collect();
        let faults =
            (0..calls.len()).flat_map(|call| faults.iter().map(move |fault| (call, *fault)));
        for (failing, fault) in faults {
            for cut in 0..calls.len() + 3 {
                let case = format!(
                    "{completion:?}: {fault:?} in {failing} of {calls:?}, cut before {cut}"
                );
                let (scratch, journal, id) = start();
                match fault {
                    Some(fault) => scratch.disk.fail_once(failing, fault),
                    None => scratch.disk.stop_at(failing),
                }
                if append(&journal, id, first).is_ok() || journal.poison().is_some() {
                    continue;
                }
                scratch.disk.stop_at(cut);
                let is_told = append(&journal, id, second).is_ok();
                drop(journal);
                scratch.disk.heal();
                let journal = restart(&case, &scratch);
                let is_open = offset(&journal, id).is_some();
                let bytes = if is_open {
                    let offset = offset(&journal, id).unwrap();
                    let bytes = std::fs::read(scratch.layout().body(id)).unwrap();
                    bytes[..usize::try_from(offset).unwrap()].to_vec()
                } else {
                    // It is sent as it is.
                    std::fs::read(scratch.layout().body(id)).unwrap()
                };
                let after = [first, second].map(|appended| [b"begun", appended].concat());
                let is_new = bytes == after[1];
                assert!(
                    is_new || !is_told && (bytes == b"begun" || bytes == after[0]),
                    "{case}: {bytes:?}"
                );
            }
        }
    }
}

#[test]
fn a_cut_while_an_upload_ends_keeps_it_or_lets_all_of_it_go() {
    let start = || {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = opened(&journal, None);
        append(&scratch, &journal, id, 0).unwrap();
        scratch.disk.heal();
        (scratch, journal, id)
    };
    let calls = {
        let (scratch, journal, id) = start();
        assert!(journal.end_upload(id).unwrap());
        scratch.disk.calls()
    };
    for call in 0..=calls.len() {
        for tear in TEARS {
            let case = format!("cut before {call} of {calls:?}, {tear:?}");
            let (scratch, journal, id) = start();
            scratch.disk.stop_at(call);
            let is_told = journal.end_upload(id).is_ok();
            drop(journal);
            lose(&scratch, tear);
            let journal = restart(&case, &scratch);
            if !is_told && offset(&journal, id).is_some() {
                assert_eq!(check(&case, &journal, id, 1), 1, "{case}");
                continue;
            }
            let state = journal.upload_state(id).unwrap();
            assert!(matches!(state, Some(UploadState::Ended)), "{case}");
            assert!(append(&scratch, &journal, id, 1).is_err(), "{case}");
            assert_eq!(journal.work(), [(id, None)], "{case}");
            journal.erase(id).unwrap();
            let bodies = Scratch::names(&scratch.layout().bodies());
            assert!(bodies.is_empty(), "{case}: {bodies:?}");
        }
    }
}
