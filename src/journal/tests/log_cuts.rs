//! The log, cut and failing: no promise is lost, and nothing that is gone comes back.

use super::cuts::End;
use super::disk::Fault;
use super::log::{WAITS, check_three, content, is_logged, logging, restart, three};
use super::scratch::{Scratch, committed, draft, room};
use crate::file::FileId;
use crate::journal::{AdoptError, Deletion, Journal, Room};

/// What is done to an entry of the log, and where it may be found after a restart.
type Act = (
    &'static str,
    fn(&Journal, FileId) -> bool,
    &'static [Option<Room>],
);

const ACTS: [Act; 6] = [
    (
        "delete",
        |journal, id| journal.delete(id).is_ok(),
        &[Some(Room::Deleted)],
    ),
    (
        "delete and erase",
        |journal, id| journal.delete(id).is_ok() && journal.erase(id).is_ok(),
        // The record may come back, and is erased once more.
        &[None, Some(Room::Deleted)],
    ),
    (
        "defer",
        |journal, id| journal.defer(id, "why", crate::file::UnixMillis(1)).is_ok(),
        &[Some(Room::Deferred)],
    ),
    (
        "hold and retry",
        |journal, id| journal.hold(id, "why").is_ok() && journal.retry(id).is_ok(),
        &[WAITS],
    ),
    (
        "settle and delete",
        // What is not here is deleted from the store.
        |journal, id| {
            journal.settle(&committed(id)).is_ok()
                && matches!(journal.delete(id), Ok(Deletion::NotHere))
        },
        &[None],
    ),
    (
        "unpack, settle, evict and delete",
        |journal, id| {
            journal.unpack(id).is_ok()
                && journal.settle(&committed(id)).is_ok()
                && journal.evict_settled().is_ok()
                && matches!(journal.delete(id), Ok(Deletion::NotHere))
        },
        &[None],
    ),
];

#[test]
fn a_cut_at_any_moment_of_what_is_done_to_a_logged_entry_loses_no_promise() {
    for (name, act, done) in ACTS {
        let (scratch, journal, [_, target, _]) = three();
        assert!(act(&journal, target), "{name}");
        let calls = scratch.disk.calls();
        for call in 0..=calls.len() {
            for end in End::all() {
                let case = format!("{name}, cut before {call} of {calls:?}, {end:?}");
                let (scratch, journal, ids) = three();
                end.stop(&scratch.disk, call);
                let is_ok = act(&journal, ids[1]);
                assert_eq!(is_ok, call == calls.len(), "{case}");
                drop(journal);
                let told = end.lose(&scratch, |journal| ids.map(|id| room(journal, id)));
                let mut places = done.to_vec();
                if !is_ok {
                    places.extend([WAITS, None].into_iter().chain(Room::ALL.map(Some)));
                    places.retain(|place| place.is_some() || done.contains(&None));
                }
                let (journal, recovered) = scratch.open();
                assert_eq!(recovered.corrupt, 0, "{case}");
                check_three(&case, &journal, ids, &places);
                let place = room(&journal, ids[1]);
                if let Some(told) = told {
                    assert_eq!(ids.map(|id| room(&journal, id)), told, "{case}");
                }
                let journal = restart(&scratch, journal);
                check_three(&format!("{case}, twice"), &journal, ids, &[place]);
            }
        }
    }
}

#[test]
fn one_failing_call_of_what_is_done_to_a_logged_entry_loses_no_promise() {
    for (name, act, done) in ACTS {
        let (scratch, journal, [_, target, _]) = three();
        act(&journal, target);
        for call in 0..scratch.disk.calls().len() {
            for fault in Fault::ALL {
                let (scratch, journal, ids) = three();
                scratch.disk.fail_once(call, fault);
                let first = act(&journal, ids[1]);
                let calls = scratch.disk.calls();
                let case = format!("{name}, {call} of {calls:?} {fault:?}: {first}");
                scratch.disk.heal();
                // After a failed fsync a start alone finds out what became of a move.
                let journal = match journal.poison() {
                    Some(_) => restart(&scratch, journal),
                    None => journal,
                };
                assert!(journal.look(ids[1]).is_ok(), "{case}");
                // Whatever was done: once it is deleted it does not come back.
                let is_gone = journal.delete(ids[1]).is_ok() && journal.erase(ids[1]).is_ok();
                assert!(is_gone, "{case}");
                check_three(&case, &journal, ids, &[None]);
                let journal = restart(&scratch, journal);
                check_three(&format!("{case}, after"), &journal, ids, &[None]);
                drop(journal);
                assert!(!done.is_empty());
            }
        }
    }
}

#[test]
fn a_cut_at_any_moment_of_adoptions_leaves_each_whole_or_not_at_all() {
    let adopt_three = |scratch: &Scratch, journal: &Journal| {
        [&b"one"[..], b"two", b"three"].map(|body| (scratch.try_adopt(journal, body), body))
    };
    let scratch = logging();
    drop(adopt_three(&scratch, &scratch.journal()));
    for call in 0..=scratch.disk.calls().len() {
        for end in End::all() {
            let case = format!("cut before {call}, {end:?}");
            let scratch = logging();
            let journal = scratch.journal();
            end.stop(&scratch.disk, call);
            let adopted = adopt_three(&scratch, &journal);
            drop(journal);
            let told = end.lose(&scratch, |journal| journal.index().in_room(Room::Incoming));
            let journal = restart(&scratch, scratch.journal());
            for id in told.into_iter().flatten() {
                assert_eq!(room(&journal, id), WAITS, "{case}");
            }
            let kept = journal.totals(Room::Incoming).entries;
            let promised = adopted.iter().filter(|(one, _)| one.is_ok());
            let told = u64::try_from(promised.clone().count()).unwrap();
            assert!(kept == told || kept == told + 1, "{case}: {kept}, {told}");
            for (one, body) in promised {
                let id = one.as_ref().unwrap().id();
                assert_eq!(&content(&journal, id), body, "{case}");
            }
        }
    }
}

#[test]
fn a_cut_in_the_middle_of_a_shared_group_loses_nothing_that_was_promised() {
    // Calls: two of admissions come in any order, so count from the writes.
    for call in 1..8 {
        for end in End::all() {
            let case = format!("cut before {call}, {end:?}");
            let (scratch, journal, ids) = three();
            let bodies: Vec<_> = (0..4)
                .map(|n| scratch.spooled_as(&format!("{n:010}"), b"beside"))
                .collect();
            end.stop(&scratch.disk, call);
            let told: Vec<_> = std::thread::scope(|scope| {
                let journal = &journal;
                let running: Vec<_> = bodies
                    .iter()
                    .map(|body| scope.spawn(move || journal.adopt(body, draft())))
                    .collect();
                let done = running.into_iter().map(|one| one.join().unwrap());
                done.filter_map(Result::ok).collect()
            });
            drop(journal);
            let found = end.lose(&scratch, |journal| journal.index().in_room(Room::Incoming));
            let journal = restart(&scratch, scratch.journal());
            for id in found.into_iter().flatten() {
                assert_eq!(room(&journal, id), WAITS, "{case}");
            }
            check_three(&case, &journal, ids, &[WAITS]);
            for one in told {
                assert_eq!(content(&journal, one.id()), b"beside", "{case}");
            }
        }
    }
}

#[test]
fn an_adoption_that_meets_one_failing_call_promises_nothing_and_keeps_nothing() {
    for is_first in [true, false] {
        let stage = || {
            let scratch = logging();
            let journal = scratch.journal();
            let old = (!is_first).then(|| scratch.adopt(&journal, b"old"));
            let body = scratch.spooled(b"new");
            scratch.disk.heal();
            (scratch, journal, old, body)
        };
        let (scratch, journal, _, body) = stage();
        journal.adopt(Some(&body), draft()).unwrap();
        for (call, step) in scratch.disk.calls().into_iter().enumerate() {
            for fault in Fault::ALL {
                let case = format!("first {is_first}, {step}, {fault:?}");
                let (scratch, journal, old, body) = stage();
                scratch.disk.fail_once(call, fault);
                let refusal = journal.adopt(Some(&body), draft()).unwrap_err();
                let is_poisoned = step.starts_with("sync") && fault != Fault::TooManyFiles;
                assert_eq!(journal.poison().is_some(), is_poisoned, "{case}");
                let is_full = matches!(refusal, AdoptError::NoSpace(_));
                assert_eq!(is_full, fault.is_no_space(), "{case}: {refusal}");
                scratch.disk.heal();
                // Of the same length: it comes where the refused one was.
                let again = journal.adopt(Some(&body), draft());
                assert_eq!(again.is_err(), is_poisoned, "{case}: {again:?}");
                let journal = restart(&scratch, journal);
                let kept: Vec<_> = old.into_iter().chain(again.map(|one| one.id())).collect();
                let entries = usize::try_from(journal.totals(Room::Incoming).entries).unwrap();
                assert_eq!(entries, kept.len(), "{case}");
                for id in kept {
                    content(&journal, id);
                }
            }
        }
    }
}

#[test]
fn nothing_comes_behind_a_group_that_could_not_be_taken_back() {
    let (scratch, journal, ids) = three();
    // Neither written whole nor cut off; the disk is sound again a moment later.
    scratch.disk.stop_at(1);
    scratch.try_adopt(&journal, b"first").unwrap_err();
    assert_eq!(scratch.disk.calls(), ["free_bytes", "write_at", "truncate"]);
    scratch.disk.heal();
    let refused = scratch.try_adopt(&journal, b"second").unwrap_err();
    assert!(journal.poison().is_none(), "{refused}");
    let journal = restart(&scratch, journal);
    check_three("closed", &journal, ids, &[WAITS]);
    // The refused one may be there: all of it was written but for the zeros behind it.
    let found = journal.index().in_room(Room::Incoming);
    for id in found {
        assert_ne!(content(&journal, id), b"second");
    }
    scratch.adopt(&journal, b"third");
}

#[test]
fn a_cut_while_segments_go_brings_nothing_back() {
    for call in 0..8 {
        for is_cut in [false, true] {
            let (scratch, journal, ids) = three();
            let journal = restart(&scratch, journal);
            // Notes of the first segment are in the second, which is not needed for anything else.
            for id in ids {
                journal.settle(&committed(id)).unwrap();
                journal.delete(id).unwrap();
            }
            let journal = restart(&scratch, journal);
            let third = scratch.adopt(&journal, b"third");
            scratch.disk.stop_at(call);
            drop(journal.evict_settled());
            drop(journal);
            scratch.disk.heal();
            if is_cut {
                scratch.cut_power();
            }
            let journal = restart(&scratch, scratch.journal());
            for id in ids {
                assert_eq!(room(&journal, id), None, "cut before {call}, {is_cut}");
            }
            assert_eq!(content(&journal, third), b"third");
        }
    }
}

#[test]
fn an_entry_that_was_cut_while_it_was_unpacked_does_not_come_back_once_it_is_gone() {
    let (scratch, journal, ids) = three();
    journal.unpack(ids[1]).unwrap();
    // The note was in memory alone.
    let journal = restart(&scratch, journal);
    assert!(!is_logged(&journal, ids[1]));
    journal.settle(&committed(ids[1])).unwrap();
    journal.evict_settled().unwrap();
    assert_eq!(journal.delete(ids[1]).unwrap(), Deletion::NotHere);
    let journal = restart(&scratch, journal);
    check_three("gone", &journal, ids, &[None]);
}

#[test]
fn an_unpacked_entry_survives_a_power_cut_after_its_note() {
    let (scratch, journal, ids) = three();
    journal.unpack(ids[1]).unwrap();
    journal.evict_settled().unwrap();
    drop(journal);
    scratch.cut_power();
    let journal = restart(&scratch, scratch.journal());
    assert!(!is_logged(&journal, ids[1]));
    check_three("unpacked", &journal, ids, &[WAITS]);
}
