//! Requests that come again under their keys.

use std::time::Duration;

use super::scratch::{Scratch, committed, draft, id, room};
use crate::file::{FileId, UnixMillis, Window};
use crate::journal::answers::memory::Memory;
use crate::journal::answers::{AnswerTo, Seat};
use crate::journal::{
    AdoptError, Adopted, Draft, Journal, JournalError, Request, Sender, Standing, Turn,
};
use crate::store::Sha256;

/// Another request for each number, another sender for each thousand of them.
pub(super) fn request(number: usize) -> Request {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    Request {
        key: Sha256(digest),
        content: Sha256([9; 32]),
        sender: Sender(u64::try_from(number / 1000).unwrap()),
    }
}

/// The answer that was given; `None` if the request is to be carried out.
pub(super) fn answer(journal: &Journal, request: Request) -> Option<Vec<(FileId, Standing)>> {
    match journal.begin(request).unwrap() {
        Turn::First(_) => None,
        Turn::Answered(files) => Some(
            files
                .iter()
                .map(|file| (file.id(), file.standing()))
                .collect(),
        ),
        turn @ (Turn::Running | Turn::Other) => panic!("{turn:?}"),
    }
}

pub(super) fn assert_answered(case: &str, journal: &Journal, request: Request, ids: &[FileId]) {
    let found = answer(journal, request);
    let found = found.unwrap_or_else(|| panic!("{case}: the key is forgotten"));
    let found: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, ids, "{case}");
}

fn keyed(number: usize) -> Draft {
    Draft {
        request: Some(request(number)),
        ..draft()
    }
}

/// Journals that keep uploads in files and in the log.
pub(super) fn scratches() -> [Scratch; 2] {
    [0, 100].map(|log_body_bytes| {
        let mut scratch = Scratch::new();
        scratch.limits.log_body_bytes = log_body_bytes;
        scratch.limits.settled_grace = Duration::ZERO;
        scratch
    })
}

pub(super) fn try_adopt(
    scratch: &Scratch,
    journal: &Journal,
    number: usize,
) -> Result<FileId, AdoptError> {
    let adopted = journal.adopt(Some(&scratch.spooled(b"hello")), keyed(number));
    adopted.map(|adopted| adopted.id())
}

/// A form of two files under a key.
pub(super) fn try_adopt_form(
    scratch: &Scratch,
    journal: &Journal,
    number: usize,
) -> Result<Vec<FileId>, AdoptError> {
    let body = scratch.spooled(b"onetwo");
    let parts = [0, 3].map(|offset| (Window { offset, length: 3 }, keyed(number)));
    let adopted = journal.adopt_form(&body, parts.into())?;
    Ok(adopted.iter().map(Adopted::id).collect())
}

pub(super) fn restart(scratch: &Scratch, journal: Journal) -> Journal {
    drop(journal);
    scratch.disk.heal();
    let (journal, recovered) = scratch.open();
    assert_eq!(recovered.corrupt, 0);
    journal
}

/// Names of the files of answers.
pub(super) fn kept(scratch: &Scratch) -> usize {
    std::fs::read_dir(scratch.layout().answered())
        .unwrap()
        .count()
}

pub(super) type Step = (fn(&Journal, FileId) -> Result<(), JournalError>, Standing);

/// The lives of an entry, step by step, with how far the file has come after each.
pub(super) fn lives() -> Vec<Vec<Step>> {
    let settle: Step = (
        |journal, id| journal.settle(&committed(id)).map(drop),
        Standing::Committed,
    );
    let sweep: Step = (
        |journal, _| journal.evict_settled().map(drop),
        Standing::Committed,
    );
    let defer: Step = (
        |journal, id| journal.defer(id, "why", UnixMillis(1)),
        Standing::Pending,
    );
    let hold: Step = (|journal, id| journal.hold(id, "why"), Standing::Pending);
    let delete: Step = (
        |journal, id| journal.delete(id).map(drop),
        Standing::Deleted,
    );
    let erase: Step = (|journal, id| journal.erase(id), Standing::Deleted);
    // Once it has left, the store is asked alone.
    let delete_later: Step = (delete.0, Standing::Committed);
    vec![
        vec![settle, sweep, sweep, delete_later],
        vec![defer, hold, settle, sweep],
        vec![delete, erase],
        vec![hold, settle, delete],
        vec![settle, delete_later, sweep],
    ]
}

#[test]
fn a_key_gives_the_first_answer_through_all_of_an_entrys_life() {
    for (route, scratch) in scratches().into_iter().enumerate() {
        let journal = scratch.journal();
        for (number, life) in lives().into_iter().enumerate() {
            assert_eq!(answer(&journal, request(number)), None);
            let id = try_adopt(&scratch, &journal, number).unwrap();
            let answered = Some(vec![(id, Standing::Pending)]);
            assert_eq!(answer(&journal, request(number)), answered);
            for (at, (step, standing)) in life.into_iter().enumerate() {
                step(&journal, id).unwrap();
                // A settled entry of files is deleted here as long as its body is.
                let is_here = (route, number) == (0, 4) && at > 0;
                let standing = if is_here { Standing::Deleted } else { standing };
                let found = answer(&journal, request(number));
                assert_eq!(found, Some(vec![(id, standing)]), "life {number}, {at}");
            }
        }
        assert!(kept(&scratch) > 0);
    }
}

#[test]
fn a_key_gives_the_first_answer_after_every_restart() {
    for scratch in scratches() {
        for (number, life) in lives().into_iter().enumerate() {
            let mut journal = scratch.journal();
            let id = try_adopt(&scratch, &journal, number).unwrap();
            for (at, (step, _)) in life.into_iter().enumerate() {
                step(&journal, id).unwrap();
                journal = restart(&scratch, journal);
                let case = format!("life {number}, step {at}");
                assert_answered(&case, &journal, request(number), &[id]);
            }
        }
    }
}

#[test]
fn a_form_is_answered_with_all_its_files_in_their_order_wherever_each_of_them_is() {
    for scratch in scratches() {
        let journal = scratch.journal();
        let ids = try_adopt_form(&scratch, &journal, 1).unwrap();
        assert_answered("pending", &journal, request(1), &ids);
        journal.settle(&committed(ids[1])).unwrap();
        journal.evict_settled().unwrap();
        assert_eq!(room(&journal, ids[1]), None);
        let states = [Standing::Pending, Standing::Committed];
        let expected: Vec<_> = ids.iter().copied().zip(states).collect();
        assert_eq!(answer(&journal, request(1)), Some(expected.clone()));
        let journal = restart(&scratch, journal);
        assert_eq!(answer(&journal, request(1)), Some(expected));
        journal.delete(ids[0]).unwrap();
        journal.erase(ids[0]).unwrap();
        let journal = restart(&scratch, journal);
        assert_answered("one deleted", &journal, request(1), &ids);
    }
}

#[test]
fn a_key_with_other_content_and_a_request_that_runs_are_told_apart() {
    let [scratch, _] = scratches();
    let journal = scratch.journal();
    let Turn::First(running) = journal.begin(request(1)).unwrap() else {
        panic!("it never came before");
    };
    assert!(matches!(journal.begin(request(1)), Ok(Turn::Running)));
    assert!(matches!(journal.begin(request(2)), Ok(Turn::First(_))));
    let id = try_adopt(&scratch, &journal, 1).unwrap();
    assert!(matches!(journal.begin(request(1)), Ok(Turn::Running)));
    drop(running);
    assert_answered("done", &journal, request(1), &[id]);
    let other = Request {
        content: Sha256([8; 32]),
        ..request(1)
    };
    for _ in 0..2 {
        assert!(matches!(journal.begin(other), Ok(Turn::Other)));
    }
    let failed = journal.begin(request(3)).unwrap();
    drop(failed);
    assert_eq!(answer(&journal, request(3)), None, "it may be tried again");
}

#[test]
fn of_two_answers_to_one_key_the_later_one_counts_whatever_is_found_first() {
    let answer_of = |first: u8, position| AnswerTo {
        request: request(1),
        seat: Seat {
            first: id(first),
            position,
            files: 2,
        },
        is_deleted: false,
    };
    // Ids have times far back.
    let mut found = vec![(1, 1, 0), (2, 1, 1), (3, 3, 0), (4, 3, 1)];
    for _ in 0..found.len() {
        found.rotate_left(1);
        let mut memory = Memory::default();
        for &(file, first, position) in &found {
            memory.learn(id(file), &answer_of(first, position));
        }
        let newest = Some(vec![id(3), id(4)]);
        assert_eq!(memory.complete(request(1).key), newest, "{found:?}");
        assert_eq!(memory.files(), 2);
        memory.forget(request(1).key);
        assert_eq!(memory.files(), 0);
    }
}

#[test]
fn an_answer_whose_record_is_damaged_is_forgotten_and_the_rest_is_given() {
    let [scratch, _] = scratches();
    let journal = scratch.journal();
    let ids: Vec<_> = (0..2)
        .map(|number| {
            let id = try_adopt(&scratch, &journal, number).unwrap();
            journal.settle(&committed(id)).unwrap();
            journal.evict_settled().unwrap();
            id
        })
        .collect();
    let path = scratch.layout().answers(1);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_answered("untouched", &journal, request(0), &ids[..1]);
    assert_eq!(answer(&journal, request(1)), None);
    let journal = restart(&scratch, journal);
    assert_answered("after", &journal, request(0), &ids[..1]);
    assert_eq!(answer(&journal, request(1)), None);
}

#[test]
fn a_delete_waits_until_the_answer_of_a_logged_entry_is_kept() {
    // Else its frame would bring the file back.
    let [_, scratch] = scratches();
    let journal = scratch.journal();
    let id = try_adopt(&scratch, &journal, 1).unwrap();
    journal.settle(&committed(id)).unwrap();
    assert_eq!(kept(&scratch), 0);
    journal.delete(id).unwrap();
    assert_eq!(kept(&scratch), 1);
    let journal = restart(&scratch, journal);
    assert_eq!(room(&journal, id), None);
    assert_answered("deleted", &journal, request(1), &[id]);
}

#[test]
fn the_log_does_not_note_an_entry_as_gone_before_its_answer_is_kept() {
    let [_, scratch] = scratches();
    let journal = scratch.journal();
    let id = try_adopt(&scratch, &journal, 1).unwrap();
    journal.settle(&committed(id)).unwrap();
    // Notes go along with whatever comes next.
    try_adopt(&scratch, &journal, 2).unwrap();
    let journal = restart(&scratch, journal);
    assert_answered("no sweep came in between", &journal, request(1), &[id]);
}
