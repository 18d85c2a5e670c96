//! Keys that a dead node had answered, while its journal is taken over, and after cuts in between.

use std::collections::HashSet;
use std::thread;

use super::keys::{KEYS, again, check, request, try_carry_out};
use super::rescue::{dead, take_all};
use super::scratch::{SMALL, Scratch, committed, draft};
use super::votes::{attempt, ballot, vote_on};
use crate::file::FileId;
use crate::journal::idempotency::{Claim, Standing};
use crate::journal::{Adopted, DeadJournal, Draft, Journal, Taken, UnderKey};
use crate::store::Vote;

/// A file; a form is key 2.
const FILE: u8 = 1;
const FORM: u8 = 2;

/// Room for the journal of node 2; the dead one is node 1.
pub(super) fn rescuer() -> Scratch {
    let mut own = Scratch::new();
    own.limits.node = 2;
    own
}

/// The journal of a dead node that has answered these keys, and the journal of its rescuer, which has voted for it.
fn cluster<const ANSWERS: usize>(
    (scratch, own): (&Scratch, &Scratch),
    keys: [u8; ANSWERS],
    mut live: impl FnMut(&Journal, FileId),
) -> (DeadJournal, Journal, [Vec<FileId>; ANSWERS]) {
    let journal = scratch.journal();
    let answers = keys.map(|key| {
        let ids = try_carry_out(scratch, &journal, request(key)).unwrap();
        for &id in &ids {
            live(&journal, id);
        }
        ids
    });
    let dead = dead(scratch, journal);
    let journal = own.journal();
    let ballots = keys.map(|key| ballot(key, attempt(1, key), &[]));
    let votes = journal.votes(&ballots).unwrap();
    assert!(votes.iter().all(|vote| *vote == Vote::Given));
    (dead, journal, answers)
}

fn settle(journal: &Journal, id: FileId) {
    journal.settle(&committed(id)).unwrap();
}

fn leave(journal: &Journal, id: FileId) {
    settle(journal, id);
    journal.leave_settled(id).unwrap();
}

/// Neither a request nor another node's attempt gets the key.
fn is_running(case: &str, journal: &Journal, key: u8) {
    let begun = journal.begin(request(key)).unwrap();
    assert!(matches!(begun, Claim::Running), "{case}: {begun:?}");
    let begun = journal.begin_unknown(request(key));
    assert!(matches!(begun, Some(Claim::Running)), "{case}: {begun:?}");
    let under = journal.under_key(request(key).key).unwrap();
    assert_eq!(under, UnderKey::Running, "{case}");
    let vote = vote_on(journal, ballot(key, attempt(3, 1), &[attempt(1, key)])).unwrap();
    assert_eq!(vote, Vote::Running, "{case}");
}

#[test]
fn a_key_stays_claimed_until_its_rescued_answer_can_be_read() {
    let lives: [fn(&Journal, FileId); 3] = [|_, _| {}, settle, leave];
    for live in lives {
        let (scratch, own) = (Scratch::new(), rescuer());
        let (dead, journal, [ids]) = cluster((&scratch, &own), [FILE], live);
        own.disk.pause_at(0);
        thread::scope(|scope| {
            let taking = scope.spawn(|| take_all(&journal, &dead));
            own.disk
                .during_pause(|| is_running("written", &journal, FILE));
            taking.join().unwrap();
        });
        let found = journal.begin(request(FILE)).unwrap();
        let Claim::Answered(answer) = found else {
            panic!("{found:?}");
        };
        assert_eq!(answer[0].id(), ids[0]);
    }
}

#[test]
fn a_rescued_answer_that_is_not_in_the_log_leaves_the_vote_as_it_was() {
    let (scratch, own) = (Scratch::new(), rescuer());
    let (dead, journal, [ids]) = cluster((&scratch, &own), [FILE], leave);
    own.disk.stop_at(0);
    journal.take_answers(&dead, &HashSet::new()).unwrap_err();
    let find = || journal.state().keys.find(request(FILE).key, journal.now());
    assert_eq!(find().unwrap()[0].id, attempt(1, FILE));
    own.disk.heal();
    // The start may find the frame.
    let journal = again("not taken", &own, journal);
    take_all(&journal, &dead);
    check("taken", &journal, FILE, &ids, Standing::Committed);
}

#[test]
fn a_request_that_has_the_key_ends_before_the_answer_of_a_dead_node_is_taken() {
    let lives: [fn(&Journal, FileId); 2] = [|_, _| {}, leave];
    for live in lives {
        let (scratch, own) = (Scratch::new(), rescuer());
        let (dead, journal, [ids]) = cluster((&scratch, &own), [FILE], live);
        let Claim::Elsewhere(running, _) = journal.begin(request(FILE)).unwrap() else {
            panic!("there is a vote");
        };
        for id in dead.ids() {
            assert_eq!(journal.take_over(&dead, id).unwrap(), Taken::Later);
            assert!(journal.known(id).is_none());
        }
        let adopted = thread::scope(|scope| {
            let taking = scope.spawn(|| journal.take_answers(&dead, &HashSet::new()));
            let draft = Draft {
                request: Some(request(FILE)),
                ..draft()
            };
            let adopted = journal.adopt(Some(&own.spooled(SMALL)), draft).unwrap();
            drop(running);
            assert_eq!(taking.join().unwrap().unwrap(), 0);
            adopted.id()
        });
        take_all(&journal, &dead);
        let journal = again("taken", &own, journal);
        check("taken", &journal, FILE, &[adopted], Standing::Pending);
        assert_ne!(adopted, ids[0]);
    }
}

#[test]
fn a_form_that_is_here_in_part_is_not_made_twice() {
    for has_left in [false, true] {
        for last in [0, 1] {
            let (scratch, own) = (Scratch::new(), rescuer());
            let mut position = 0;
            let (dead, mut journal, [ids]) = cluster((&scratch, &own), [FORM], |journal, id| {
                if has_left && position == last {
                    leave(journal, id);
                }
                position += 1;
            });
            let case = format!("{has_left} {last}");
            let taken = journal.take_over(&dead, ids[1 - last]).unwrap();
            assert_eq!(taken, Taken::Here);
            for _ in 0..2 {
                is_running(&case, &journal, FORM);
                journal = again(&case, &own, journal);
            }
            take_all(&journal, &dead);
            for _ in 0..2 {
                let found = journal.begin(request(FORM)).unwrap();
                let Claim::Answered(answer) = found else {
                    panic!("{case}: {found:?}");
                };
                assert!(answer.iter().map(Adopted::id).eq(ids.iter().copied()));
                journal = again(&case, &own, journal);
            }
        }
    }
}

#[test]
fn an_entry_that_is_taken_once_more_after_it_has_gone_keeps_its_key() {
    let (scratch, own) = (Scratch::new(), rescuer());
    let (dead, mut journal, answers) = cluster((&scratch, &own), KEYS, |_, _| {});
    // The rescue is cut, and the commits go on.
    for id in dead.ids() {
        journal.take_over(&dead, id).unwrap();
        leave(&journal, id);
    }
    journal = again("gone", &own, journal);
    take_all(&journal, &dead);
    for _ in 0..2 {
        for (key, ids) in KEYS.iter().zip(&answers) {
            check("taken once more", &journal, *key, ids, Standing::Pending);
        }
        journal = again("taken once more", &own, journal);
    }
}

#[test]
fn a_file_that_was_deleted_while_its_node_was_dead_still_answers() {
    let (scratch, own) = (Scratch::new(), rescuer());
    let (dead, mut journal, answers) = cluster((&scratch, &own), [FILE, FORM], |_, _| {});
    let deleted: HashSet<_> = answers.iter().map(|ids| ids[0]).collect();
    journal.take_over(&dead, answers[1][1]).unwrap();
    journal.take_answers(&dead, &deleted).unwrap();
    for _ in 0..2 {
        check("deleted", &journal, FILE, &answers[0], Standing::Deleted);
        let Claim::Answered(form) = journal.begin(request(FORM)).unwrap() else {
            panic!("the form is not answered");
        };
        let found = form.iter().map(|file| (file.id(), file.standing()));
        let standings = [Standing::Deleted, Standing::Pending];
        assert!(found.eq(answers[1].iter().copied().zip(standings)));
        journal = again("deleted", &own, journal);
    }
}
