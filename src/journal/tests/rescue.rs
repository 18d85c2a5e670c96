//! Entries of a dead node's journal, taken over by another journal.

use std::collections::HashSet;
use std::fs;

use super::keys::{KEYS, again, check, request, try_carry_out};
use super::rescue_keys::rescuer;
use super::scratch::{LARGE, SMALL, Scratch, committed, content, room};
use super::uploads::{MORE, offset, opened};
use super::votes::{attempt, ballot};
use crate::file::FileId;
use crate::journal::idempotency::Standing;
use crate::journal::{DeadJournal, Journal, OpenError, Room, Taken};
use crate::spool::Received;
use crate::store::Vote;

/// A journal that ends with a power cut, on which node 2 then works.
pub(super) fn dead(scratch: &Scratch, journal: Journal) -> DeadJournal {
    drop(journal);
    scratch.cut_power();
    let dead = DeadJournal::open(scratch.path(), scratch.limits.clone(), 2).unwrap();
    dead.begin().unwrap();
    dead
}

pub(super) fn take_all(own: &Journal, dead: &DeadJournal) -> Vec<(FileId, Taken)> {
    let ids = dead.ids().into_iter();
    let taken = ids
        .map(|id| (id, own.take_over(dead, id).unwrap()))
        .collect();
    own.take_answers(dead, &HashSet::new()).unwrap();
    taken
}

#[test]
fn keys_are_heeded_wherever_the_files_of_their_answers_were() {
    for state in [Standing::Pending, Standing::Committed, Standing::Deleted] {
        for (is_evicted, has_voted) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            let answers = KEYS.map(|key| {
                let ids = try_carry_out(&scratch, &journal, request(key)).unwrap();
                for &id in &ids {
                    match state {
                        Standing::Pending => {}
                        Standing::Committed => drop(journal.settle(&committed(id)).unwrap()),
                        Standing::Deleted => drop(journal.delete(id).unwrap()),
                    }
                    match state {
                        Standing::Deleted if is_evicted => journal.erase(id).unwrap(),
                        _ if is_evicted => journal.leave_settled(id).unwrap(),
                        Standing::Pending | Standing::Committed | Standing::Deleted => {}
                    }
                }
                (key, ids)
            });
            let dead = dead(&scratch, journal);
            let own = rescuer();
            let mut journal = own.journal();
            if has_voted {
                // Later than the answers.
                let ballots = KEYS.map(|key| ballot(key, attempt(1, key), &[]));
                assert_eq!(journal.votes(&ballots).unwrap(), [Vote::Given; 4]);
            }
            for case in ["taken", "taken once more", "after a power cut"] {
                take_all(&journal, &dead);
                for (key, ids) in &answers {
                    let case = format!("{state:?} {is_evicted} {has_voted} {case}");
                    check(&case, &journal, *key, ids, state);
                }
                journal = again(case, &own, journal);
            }
        }
    }
}

#[test]
fn an_open_upload_goes_on_here_and_its_old_body_stays_as_it_was() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = opened(&journal, None);
    let spooled = scratch.spooled(LARGE);
    journal.append(id, 0, (&spooled).into(), MORE).unwrap();
    // These bytes are in the log, and perhaps in the body.
    journal
        .append(id, 56, Received::Inline(SMALL), MORE)
        .unwrap();
    let empty = opened(&journal, Some(7));
    let dead = dead(&scratch, journal);
    let own = Scratch::new();
    let journal = own.journal();
    assert_eq!(
        take_all(&journal, &dead),
        [(id, Taken::Here), (empty, Taken::Here)]
    );
    let journal = again("taken", &own, journal);
    assert_eq!(
        (offset(&journal, id), offset(&journal, empty)),
        (Some(61), Some(0))
    );
    let body = scratch.layout().body(id);
    let before = fs::read(&body).unwrap();
    assert_eq!(before, [LARGE, SMALL].concat());
    journal
        .append(id, 61, Received::Inline(SMALL), MORE)
        .unwrap();
    let grown = own.spooled(LARGE);
    journal.append(id, 66, (&grown).into(), MORE).unwrap();
    assert_eq!(fs::read(&body).unwrap(), before);
    assert_eq!(offset(&journal, id), Some(122));
}

#[test]
fn what_is_here_or_settled_is_left_and_what_cannot_be_read_is_told() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let [settled, lost, small, large, held] =
        [SMALL, LARGE, SMALL, LARGE, LARGE].map(|body| scratch.adopt(&journal, body));
    let form = scratch
        .try_adopt_form(&journal, &[LARGE, b"second"])
        .unwrap();
    journal.settle(&committed(settled)).unwrap();
    journal.hold(held, "an admin is asked").unwrap();
    let dead = dead(&scratch, journal);
    fs::remove_file(scratch.layout().body(lost)).unwrap();
    let own = Scratch::new();
    let journal = own.journal();
    let taken = take_all(&journal, &dead);
    let of = |id| {
        taken
            .iter()
            .find(|(other, _)| *other == id)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        (of(settled), of(small), of(large)),
        (Taken::Settled, Taken::Here, Taken::Here)
    );
    assert!(matches!(of(lost), Taken::Unreadable(_)), "{taken:?}");
    let journal = again("taken", &own, journal);
    for (id, body) in [
        (small, SMALL),
        (large, LARGE),
        (held, LARGE),
        (form[0], LARGE),
        (form[1], b"second"),
    ] {
        assert_eq!(content(&journal, id).unwrap(), body);
        assert_eq!(room(&journal, id), Some(Room::Incoming));
        assert!(journal.known(id).unwrap().may_be_stored);
        assert_eq!(journal.take_over(&dead, id).unwrap(), Taken::Before);
    }
    assert!(content(&journal, settled).is_none() && content(&journal, lost).is_none());
}

#[test]
fn the_first_attempt_here_looks_for_what_an_attempt_of_the_dead_node_has_left() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    let deleted = scratch.adopt(&journal, LARGE);
    journal.delete(deleted).unwrap();
    let dead = dead(&scratch, journal);
    let own = Scratch::new();
    let journal = own.journal();
    take_all(&journal, &dead);
    for id in [id, deleted] {
        assert!(journal.known(id).unwrap().may_be_stored, "{id}");
    }
    assert!(journal.is_deleted(deleted));
    assert_eq!(journal.work().len(), 2);
}

#[test]
fn a_marked_journal_is_opened_by_its_rescuer_alone() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let locked = DeadJournal::open(scratch.path(), scratch.limits.clone(), 2);
    assert!(matches!(locked, Err(OpenError::Locked(_))));
    assert!(!scratch.layout().rescued().exists());
    let dead = dead(&scratch, journal);
    drop(dead);
    let own = scratch.try_open();
    assert!(matches!(own, Err(OpenError::Rescued { .. })));
    let other = DeadJournal::open(scratch.path(), scratch.limits.clone(), 3);
    assert!(matches!(other, Err(OpenError::Rescued { .. })));
    let again = DeadJournal::open(scratch.path(), scratch.limits.clone(), 2).unwrap();
    assert!(!again.is_over());
    again.close().unwrap();
    drop(again);
    let over = DeadJournal::open(scratch.path(), scratch.limits.clone(), 2).unwrap();
    assert!(over.is_over());
    assert!(matches!(scratch.try_open(), Err(OpenError::Rescued { .. })));
}
