//! The bounds on the age and the number of kept answers.

use std::time::Duration;

use super::keys::{again, request, try_carry_out};
use super::lives::answer;
use super::scratch::{LARGE, SMALL, Scratch, committed};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::Journal;
use crate::journal::idempotency::Fingerprint;
use crate::journal::record::Subject;
use crate::journal::tests::fault::Fault;

fn scratch() -> Scratch {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    scratch
}

/// Each request comes from another sender.
fn from(sender: u64, key: u8) -> Fingerprint {
    Fingerprint {
        sender: Subject(sender),
        ..request(key)
    }
}

fn adopt(scratch: &Scratch, journal: &Journal, request: Fingerprint) -> FileId {
    try_carry_out(scratch, journal, request).unwrap()[0]
}

fn leave(journal: &Journal, id: FileId) {
    journal.settle(&committed(id)).unwrap();
    journal.evict_settled().unwrap();
}

fn is_answered(case: &str, journal: &Journal, request: Fingerprint, id: FileId) {
    assert_eq!(answer(journal, request), Some(vec![id]), "{case}");
}

#[test]
fn answers_go_when_their_time_is_over_and_hold_the_log_no_longer() {
    let mut scratch = scratch();
    let journal = scratch.journal();
    for key in 10..20 {
        leave(&journal, adopt(&scratch, &journal, request(key)));
    }
    assert_eq!(journal.answers_kept(), 10);
    assert!(journal.state().keys.live_bytes() > 0);
    drop(journal);
    scratch.limits.answer_lifetime = Duration::ZERO;
    let journal = restart("without any time", &scratch);
    assert_eq!(answer(&journal, request(19)), None);
    assert_eq!(journal.answers_kept(), 0);
    assert_eq!(journal.state().keys.oldest(), None);
    let id = adopt(&scratch, &journal, request(11));
    assert_eq!(answer(&journal, request(11)), None, "no time at all");
    leave(&journal, id);
    assert_eq!(journal.answers_kept(), 0);
    assert_eq!(journal.state().keys.live_bytes(), 0);
}

#[test]
fn of_too_many_answers_the_oldest_go() {
    let mut scratch = scratch();
    scratch.limits.max_answers = 3;
    let journal = scratch.journal();
    let mut ids = Vec::new();
    for key in 10..22 {
        let id = adopt(&scratch, &journal, request(key));
        if key % 2 == 0 {
            leave(&journal, id);
        }
        ids.push((key, id));
    }
    let seen = |case: &str, journal: &Journal| {
        assert_eq!(journal.answers_kept(), 3, "{case}");
        for &(key, id) in &ids[9..] {
            is_answered(case, journal, request(key), id);
        }
        assert_eq!(answer(journal, request(18)), None, "{case}");
    };
    seen("running", &journal);
    let journal = again("too many", &scratch, journal);
    seen("after a start", &journal);
}

#[test]
fn one_sender_drives_out_its_own_answers_and_nobody_elses() {
    let mut scratch = scratch();
    scratch.limits.max_answers = 5;
    let journal = scratch.journal();
    let mut kept: Vec<_> = [from(1, 100), from(2, 101), from(2, 102)]
        .into_iter()
        .map(|request| (request, adopt(&scratch, &journal, request)))
        .collect();
    for key in 10..30 {
        let id = adopt(&scratch, &journal, request(key));
        if key % 3 == 0 {
            leave(&journal, id);
        }
        if key >= 28 {
            kept.push((request(key), id));
        }
    }
    let seen = |case: &str, journal: &Journal| {
        assert_eq!(journal.answers_kept(), 5, "{case}");
        for &(request, id) in &kept {
            is_answered(case, journal, request, id);
        }
        assert_eq!(answer(journal, request(27)), None, "{case}");
    };
    seen("running", &journal);
    let journal = again("a flood", &scratch, journal);
    seen("after a start", &journal);
}

#[test]
fn an_answer_that_cannot_be_kept_holds_its_entry_back() {
    let left = |fault: Option<(usize, Fault)>| {
        let scratch = scratch();
        let journal = scratch.journal();
        let plain = scratch.adopt(&journal, LARGE);
        let keyed = adopt(&scratch, &journal, request(0));
        for id in [plain, keyed] {
            journal.settle(&committed(id)).unwrap();
        }
        scratch.disk.heal();
        if let Some((call, fault)) = fault {
            scratch.disk.fail_once(call, fault);
        }
        drop(journal.evict_settled());
        let calls = scratch.disk.calls();
        scratch.disk.heal();
        (scratch, journal, keyed, calls)
    };
    let (_, _, _, calls) = left(None);
    // It comes after the bodies' fsync.
    let synced = calls.iter().position(|&call| call == "sync_directory");
    for call in synced.unwrap() + 1..calls.len() {
        for fault in Fault::ALL {
            let case = format!("{fault:?} in {call} of {calls:?}");
            let (scratch, journal, keyed, _) = left(Some((call, fault)));
            is_answered(&case, &journal, request(0), keyed);
            if journal.poison().is_none() {
                journal.evict_settled().expect(&case);
                assert_eq!(journal.state().index.len(), 0, "{case}");
                is_answered(&case, &journal, request(0), keyed);
            }
            let journal = again(&case, &scratch, journal);
            is_answered(&case, &journal, request(0), keyed);
        }
    }
}

#[test]
fn keys_that_nobody_sends_cost_nothing() {
    for body in [SMALL, LARGE] {
        let scratch = scratch();
        let journal = scratch.journal();
        leave(&journal, scratch.adopt(&journal, body));
        assert_eq!(journal.answers_kept(), 0);
        assert_eq!(journal.state().keys.live_bytes(), 0);
    }
}
