//! Votes on keys: of witnesses that are cut at any point, and of those that are asked by several.

use std::thread;
use std::time::Duration;

use super::cuts::{TEARS, lose};
use super::keys::{again, request, try_carry_out};
use super::lives::answer;
use super::log::copy_forward;
use super::scratch::{SMALL, Scratch, committed};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::idempotency::{Claim, Standing};
use crate::journal::{Journal, JournalError};
use crate::store::{Ballot, Sha256, Vote};

/// The attempt with this number of a node.
pub(super) fn attempt(node: u8, number: u8) -> FileId {
    FileId::from_bytes([9, 9, 9, 9, 0, node, 0, 0, 0, 0, 0, number])
}

pub(super) fn ballot(key: u8, attempt: FileId, replaces: &[FileId]) -> Ballot {
    let request = request(key);
    Ballot {
        key: request.key,
        sender: request.sender.0,
        attempt,
        replaces: replaces.to_vec(),
    }
}

fn vote(journal: &Journal, attempt: FileId, replaces: &[FileId]) -> Vote {
    vote_on(journal, ballot(1, attempt, replaces)).unwrap()
}

/// The vote on one ballot.
pub(super) fn vote_on(journal: &Journal, ballot: Ballot) -> Result<Vote, JournalError> {
    journal.votes(&[ballot]).map(|votes| votes[0])
}

/// The attempt that a vote was given to, as this node meets it under the key; `None` without a vote.
fn voted(journal: &Journal, key: u8) -> Option<FileId> {
    match journal.begin(request(key)).unwrap() {
        Claim::First(_) => None,
        Claim::Elsewhere(_, attempt) => Some(attempt),
        other @ (Claim::Answered(_) | Claim::Open(_) | Claim::Running | Claim::Other) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_vote_stands_until_it_is_taken_from_the_very_attempt_that_has_it() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let [first, second, third] = [attempt(2, 1), attempt(2, 2), attempt(3, 1)];
    assert_eq!(vote(&journal, first, &[]), Vote::Given);
    for _ in 0..2 {
        assert_eq!(
            vote(&journal, first, &[]),
            Vote::Given,
            "the answer was lost"
        );
        // The same node begins anew; a node that took another attempt for dead comes too late.
        assert_eq!(vote(&journal, second, &[]), Vote::Taken(first));
        assert_eq!(vote(&journal, third, &[second]), Vote::Taken(first));
        assert_eq!(voted(&journal, 1), Some(first));
        assert_eq!(voted(&journal, 2), None, "another key");
        journal = again("voted", &scratch, journal);
    }
    assert_eq!(vote(&journal, third, &[second, first]), Vote::Given);
    for _ in 0..2 {
        assert_eq!(vote(&journal, first, &[]), Vote::Taken(third));
        assert_eq!(vote(&journal, second, &[first]), Vote::Taken(third));
        journal = again("taken over", &scratch, journal);
    }
}

#[test]
fn ballots_that_come_together_are_judged_one_by_one_and_share_a_frame() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let [first, second] = [attempt(2, 1), attempt(2, 2)];
    assert_eq!(vote(&journal, first, &[]), Vote::Given);
    let ballots = [
        ballot(2, first, &[]),
        ballot(1, second, &[]),
        ballot(2, second, &[]),
        ballot(3, second, &[]),
    ];
    let told = [Vote::Given, Vote::Taken(first), Vote::Running, Vote::Given];
    assert_eq!(journal.votes(&ballots).unwrap(), told);
    for _ in 0..2 {
        let votes = [1, 2, 3].map(|key| voted(&journal, key));
        assert_eq!(votes, [Some(first), Some(first), Some(second)]);
        journal = again("voted together", &scratch, journal);
    }
}

#[test]
fn a_witness_at_work_gives_no_vote_and_one_with_an_answer_names_itself() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = scratch.journal();
    let other = attempt(2, 1);
    let Claim::First(running) = journal.begin(request(1)).unwrap() else {
        panic!("it is new");
    };
    assert_eq!(vote(&journal, other, &[]), Vote::Running);
    drop(running);
    let id = try_carry_out(&scratch, &journal, request(1)).unwrap()[0];
    let names_itself = |journal: &Journal| {
        let Vote::Taken(own) = vote(journal, other, &[id]) else {
            panic!("an answer gives way to nothing");
        };
        assert_eq!(own.node(), 1);
        assert_eq!(answer(journal, request(1)), Some(vec![id]));
    };
    names_itself(&journal);
    journal.settle(&committed(id)).unwrap();
    journal.evict_settled().unwrap();
    names_itself(&journal);
    names_itself(&again("evicted", &scratch, journal));
}

#[test]
fn a_promise_under_a_key_with_a_vote_is_the_answer_after_every_start() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let mut journal = scratch.journal();
    // Without a wait for the clock some of them would have the time of the vote.
    let keys: Vec<u8> = (10..40).collect();
    let promised: Vec<_> = keys
        .iter()
        .map(|&key| {
            // If two had the same time, the one with the higher id would count.
            let dead = FileId::from_bytes([255, 255, 255, 255, 0, 2, 0, 0, 0, 0, 0, key]);
            assert_eq!(
                vote_on(&journal, ballot(key, dead, &[])).unwrap(),
                Vote::Given
            );
            let Claim::Elsewhere(running, found) = journal.begin(request(key)).unwrap() else {
                panic!("there is a vote");
            };
            assert_eq!(found, dead);
            let draft = crate::journal::Draft {
                request: Some(request(key)),
                ..super::scratch::draft()
            };
            let id = journal
                .adopt(Some(&scratch.spooled(SMALL)), draft)
                .unwrap()
                .id();
            drop(running);
            id
        })
        .collect();
    for round in 0..3 {
        for (&key, &id) in keys.iter().zip(&promised) {
            assert_eq!(answer(&journal, request(key)), Some(vec![id]), "{round}");
        }
        if round == 0 {
            for &id in &promised {
                journal.settle(&committed(id)).unwrap();
            }
            journal.evict_settled().unwrap();
        }
        journal = again("promised", &scratch, journal);
    }
}

#[test]
fn votes_are_copied_forward_and_end_with_the_lifetime_and_the_bound_of_answers() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    scratch.limits.max_answers = 3;
    let journal = scratch.journal();
    let all = |journal: &Journal| -> Vec<_> {
        (10..15).map(|key| voted(journal, key).is_some()).collect()
    };
    for key in 10..15 {
        vote_on(&journal, ballot(key, attempt(2, key), &[])).unwrap();
    }
    let left = [false, false, true, true, true];
    assert_eq!(all(&journal), left);
    copy_forward(&scratch, &journal);
    assert_eq!(all(&journal), left);
    let journal = again("copied forward", &scratch, journal);
    assert_eq!(all(&journal), left);
    drop(journal);
    scratch.limits.answer_lifetime = Duration::ZERO;
    let journal = restart("without any time", &scratch);
    assert_eq!(all(&journal), [false; 5]);
    assert!(!journal.keeps_answers());
}

#[test]
fn a_cut_at_any_moment_of_a_vote_leaves_the_vote_before_or_the_one_that_was_told() {
    let [before, now] = [attempt(2, 1), attempt(3, 1)];
    for replaced in [None, Some(before)] {
        let start = || {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            let given = replaced.map(|before| vote(&journal, before, &[]));
            assert!(given.is_none_or(|given| given == Vote::Given));
            scratch.disk.heal();
            (scratch, journal)
        };
        let calls = {
            let (scratch, journal) = start();
            vote(&journal, now, &[before]);
            scratch.disk.calls().len()
        };
        assert!(calls > 0);
        for call in 0..=calls {
            for tear in TEARS {
                let case = format!("{replaced:?}: cut before {call}, {tear:?}");
                let (scratch, journal) = start();
                scratch.disk.stop_at(call);
                let told = vote_on(&journal, ballot(1, now, &[before]));
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                let found = voted(&journal, 1);
                assert!(found == Some(now) || found == replaced, "{case}: {found:?}");
                assert!(told.is_err() || found == Some(now), "{case}: {found:?}");
                let journal = again(&case, &scratch, journal);
                assert_eq!(voted(&journal, 1), found, "{case}");
            }
        }
    }
}

#[test]
fn votes_that_are_asked_for_at_once_share_syncs() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    scratch.disk.heal();
    // The first one waits at the disk until all others are queued.
    scratch.disk.pause_at(0);
    thread::scope(|scope| {
        let ask = |key: u8| vote_on(&journal, ballot(key, attempt(2, key), &[])).unwrap();
        let first = scope.spawn(move || ask(10));
        let mut others = Vec::new();
        scratch.disk.during_pause(|| {
            others.extend((11..31).map(|key| scope.spawn(move || ask(key))));
            while journal.wal.queued() < 20 {
                thread::yield_now();
            }
        });
        for asked in others.into_iter().chain([first]) {
            assert_eq!(asked.join().unwrap(), Vote::Given);
        }
    });
    let syncs = scratch.disk.calls().into_iter();
    let syncs = syncs.filter(|call| *call == "sync_bytes").count();
    assert!(syncs < 7, "{syncs} syncs of 21 votes");
    let journal = again("shared", &scratch, journal);
    for key in 10..31 {
        assert_eq!(voted(&journal, key), Some(attempt(2, key)));
    }
}

#[test]
fn a_program_that_knows_no_votes_takes_the_key_for_that_of_another_upload() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    vote(&journal, attempt(2, 1), &[]);
    let known = journal.state().keys.find(request(1).key, journal.now());
    let kept = journal.retained(&known.unwrap()[0]).unwrap().unwrap();
    assert!(!request(1).is_answered_by(&kept.answer.request));
    assert_eq!(kept.answer.request.content, Sha256([0; 32]));
    assert_eq!(Standing::retained(kept.is_deleted), Standing::Committed);
}
