//! The lives of keyed entries, whole, cut and failing: no given answer is forgotten.

use std::fs;
use std::time::Duration;

use super::cuts::lose;
use super::keys::{KEYS, again, check, request, try_carry_out};
use super::scratch::{Scratch, committed, room};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::idempotency::{Claim, Fingerprint, Standing};
use crate::journal::tests::fault::Fault;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{Adopted, Journal};
use crate::journal::{JournalError, Room};

/// An operation on an entry, and the standing of its file after it.
type Step = (fn(&Journal, FileId) -> Result<(), JournalError>, Standing);

const SETTLE: Step = (
    |journal, id| journal.settle(&committed(id)).map(drop),
    Standing::Committed,
);
const SWEEP: Step = (
    |journal, _| journal.evict_settled().map(drop),
    Standing::Committed,
);
const DEFER: Step = (
    |journal, id| journal.defer(id, "why", Duration::ZERO),
    Standing::Pending,
);
const HOLD: Step = (|journal, id| journal.hold(id, "why"), Standing::Pending);
const COPY: Step = (|journal, id| journal.copy_one(id), Standing::Pending);
const DELETE: Step = (
    |journal, id| journal.delete(id).map(drop),
    Standing::Deleted,
);
const ERASE: Step = (Journal::erase, Standing::Deleted);
/// After the entry has left, only the store is asked.
const DELETE_LATER: Step = (DELETE.0, Standing::Committed);
const SWEEP_DELETED: Step = (SWEEP.0, Standing::Deleted);

const LIVES: [&[Step]; 5] = [
    &[SETTLE, SWEEP, SWEEP, DELETE_LATER],
    &[DEFER, COPY, HOLD, SETTLE, SWEEP],
    &[DELETE, ERASE],
    &[HOLD, SETTLE, DELETE],
    &[SETTLE, DELETE, SWEEP_DELETED],
];

fn scratch() -> Scratch {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    scratch
}

/// Returns the given answer; `None` if the request must be carried out.
pub(super) fn answer(journal: &Journal, request: Fingerprint) -> Option<Vec<FileId>> {
    match journal.begin(request).unwrap() {
        Claim::First(_) => None,
        Claim::Answered(files) => Some(files.iter().map(Adopted::id).collect()),
        other @ (Claim::Elsewhere(..) | Claim::Open(_) | Claim::Running | Claim::Other) => {
            panic!("{other:?}")
        }
    }
}

/// Adopts with a key, and goes on as long as the disk allows; returns the promises.
fn live(scratch: &Scratch, journal: &Journal, life: &[Step], key: u8) -> Option<Vec<FileId>> {
    let ids = try_carry_out(scratch, journal, request(key)).ok()?;
    for (step, _) in life {
        for &id in &ids {
            if step(journal, id).is_err() {
                return Some(ids);
            }
        }
    }
    Some(ids)
}

fn each_life(mut act: impl FnMut(&str, &[Step], u8)) {
    for (number, life) in LIVES.into_iter().enumerate() {
        for key in KEYS {
            act(&format!("life {number}, key {key}"), life, key);
        }
    }
}

fn calls_of(life: &[Step], key: u8) -> usize {
    let scratch = scratch();
    let journal = scratch.journal();
    scratch.disk.heal();
    live(&scratch, &journal, life, key).unwrap();
    scratch.disk.calls().len()
}

#[test]
fn a_key_gives_the_first_answer_through_all_of_an_entrys_life_and_after_every_cut() {
    each_life(|name, life, key| {
        for is_cut in [false, true] {
            let scratch = scratch();
            let mut journal = scratch.journal();
            assert_eq!(answer(&journal, request(key)), None);
            let ids = try_carry_out(&scratch, &journal, request(key)).unwrap();
            check(name, &journal, key, &ids, Standing::Pending);
            for (at, (step, standing)) in life.iter().enumerate() {
                let case = format!("{name}, step {at}, {is_cut}");
                for &id in &ids {
                    step(&journal, id).expect(&case);
                }
                check(&case, &journal, key, &ids, *standing);
                if is_cut {
                    journal = again(&case, &scratch, journal);
                    check(&case, &journal, key, &ids, *standing);
                }
            }
        }
    });
}

#[test]
fn a_cut_at_any_moment_of_an_entrys_life_loses_no_key_whose_answer_was_given() {
    each_life(|name, life, key| {
        for call in 0..=calls_of(life, key) {
            for tear in [
                None,
                Some(Tear::Nothing),
                Some(Tear::All),
                Some(Tear::Sectors(1)),
            ] {
                let case = format!("{name}, cut before {call}, {tear:?}");
                let scratch = scratch();
                let journal = scratch.journal();
                scratch.disk.stop_at(call);
                let told = live(&scratch, &journal, life, key);
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                let found = answer(&journal, request(key));
                match (&told, &found) {
                    (Some(_), _) => assert_eq!(found, told, "{case}"),
                    (None, None) => assert_eq!(journal.work(), [], "{case}"),
                    // It was promised, though no caller was told: it is the answer all the same.
                    (None, Some(ids)) => {
                        assert_eq!(ids.len(), if key < 2 { 1 } else { 2 }, "{case}");
                        for &id in ids {
                            assert_eq!(room(&journal, id), Some(Room::Incoming), "{case}");
                        }
                    }
                }
                let journal = again(&case, &scratch, journal);
                let later = answer(&journal, request(key));
                assert_eq!(later, found, "{case}, told and cut");
            }
        }
    });
}

#[test]
fn one_failing_call_in_an_entrys_life_loses_no_key_whose_answer_was_given() {
    each_life(|name, life, key| {
        for call in 0..calls_of(life, key) {
            for fault in Fault::ALL {
                let case = format!("{name}, {fault:?} in {call}");
                let scratch = scratch();
                let journal = scratch.journal();
                scratch.disk.fail_once(call, fault);
                let told = live(&scratch, &journal, life, key);
                scratch.disk.heal();
                assert_eq!(answer(&journal, request(key)), told, "{case}");
                let Some(ids) = told else {
                    continue;
                };
                for (step, _) in life {
                    // Some of it was done already.
                    for &id in &ids {
                        drop(step(&journal, id));
                    }
                }
                let told = Some(ids);
                assert_eq!(answer(&journal, request(key)), told, "{case}");
                let journal = again(&case, &scratch, journal);
                assert_eq!(answer(&journal, request(key)), told, "{case}, after");
            }
        }
    });
}

#[test]
fn a_form_is_answered_with_all_its_files_in_their_order_wherever_each_of_them_is() {
    for key in [2, 3] {
        let scratch = scratch();
        let journal = scratch.journal();
        let ids = try_carry_out(&scratch, &journal, request(key)).unwrap();
        let standings = |journal: &Journal| -> Vec<_> {
            match journal.begin(request(key)).unwrap() {
                Claim::Answered(files) => {
                    let files = files.iter();
                    files.map(|file| (file.id(), file.standing())).collect()
                }
                other @ (Claim::First(_)
                | Claim::Elsewhere(..)
                | Claim::Open(_)
                | Claim::Running
                | Claim::Other) => {
                    panic!("{other:?}")
                }
            }
        };
        let expected =
            |states: [Standing; 2]| -> Vec<_> { ids.iter().copied().zip(states).collect() };
        journal.settle(&committed(ids[1])).unwrap();
        journal.evict_settled().unwrap();
        assert_eq!(room(&journal, ids[1]), None);
        let left = expected([Standing::Pending, Standing::Committed]);
        assert_eq!(standings(&journal), left);
        let journal = again("one has left", &scratch, journal);
        assert_eq!(standings(&journal), left);
        journal.delete(ids[0]).unwrap();
        journal.erase(ids[0]).unwrap();
        let gone = expected([Standing::Deleted, Standing::Committed]);
        assert_eq!(standings(&journal), gone);
        let journal = again("none is here", &scratch, journal);
        assert_eq!(standings(&journal), gone);
    }
}

#[test]
fn a_request_that_came_to_nothing_may_come_again_and_others_do_not_wait_for_it() {
    let scratch = scratch();
    let journal = scratch.journal();
    let Claim::First(running) = journal.begin(request(1)).unwrap() else {
        panic!("it never came before");
    };
    assert!(matches!(journal.begin(request(1)), Ok(Claim::Running)));
    assert!(matches!(journal.begin(request(2)), Ok(Claim::First(_))));
    drop(running);
    assert_eq!(answer(&journal, request(1)), None);
    try_carry_out(&scratch, &journal, request(1)).unwrap();
}

#[test]
fn an_answer_that_is_damaged_is_forgotten_and_the_rest_is_given() {
    let scratch = scratch();
    let journal = scratch.journal();
    let answers = [4, 5].map(|key| {
        let ids = try_carry_out(&scratch, &journal, request(key)).unwrap();
        journal.settle(&committed(ids[0])).unwrap();
        journal.evict_settled().unwrap();
        ids
    });
    // The key also stands in the records of its file, which has left.
    let mut damaged = 0;
    for name in Scratch::names(&scratch.layout().wal()) {
        let path = scratch.layout().wal().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let places = 0..bytes.len() - 32;
        for place in places {
            if bytes[place..].starts_with(&[5; 32]) {
                bytes[place] ^= 2;
                damaged += 1;
            }
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(damaged > 1, "{damaged}");
    for _ in 0..2 {
        assert_eq!(answer(&journal, request(4)).as_ref(), Some(&answers[0]));
        assert_eq!(answer(&journal, request(5)), None);
    }
    drop(journal);
    let (journal, recovered) = scratch.try_open().unwrap();
    assert!(recovered.corrupt > 0);
    assert_eq!(answer(&journal, request(4)).as_ref(), Some(&answers[0]));
    assert_eq!(answer(&journal, request(5)), None);
}
