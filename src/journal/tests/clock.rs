//! The wall clock is set while the journal is served, and before it is opened again.

use std::time::Duration;

use super::keys::{KEYS, check, request, try_carry_out};
use super::moves::BODIES;
use super::scratch::{HOUR, Scratch};
use crate::file::WallClock;
use crate::journal::idempotency::Standing;
use crate::journal::{Journal, Room};

const DAY: Duration = Duration::from_hours(24);

/// Checks the journal while the clock jumps: while it is served, over a start, and back again over
/// another start.
fn at_each_jump(
    scratch: &Scratch,
    mut journal: Journal,
    mut act: impl FnMut(&Journal, usize, &str),
) {
    let jumps = [
        (WallClock::Back(3 * HOUR), "three hours back"),
        (WallClock::Forward(40 * DAY), "forty days forward"),
        (WallClock::Right, "right again"),
    ];
    for (round, (clock, case)) in jumps.into_iter().enumerate() {
        clock.set();
        act(&journal, 2 * round, case);
        drop(journal);
        journal = scratch.journal();
        act(&journal, 2 * round + 1, &format!("{case}, after a start"));
    }
}

#[test]
fn what_was_put_off_waits_no_longer_and_no_shorter_whatever_the_clock_is_set_to() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let adopted = BODIES.map(|body| scratch.adopt(&journal, body));
    for id in adopted {
        journal.defer(id, "why", HOUR).unwrap();
    }
    at_each_jump(&scratch, journal, |journal, _, case| {
        let due = scratch.adopt(journal, b"due");
        journal.defer(due, "why", Duration::ZERO).unwrap();
        let later = scratch.adopt(journal, b"later");
        journal.defer(later, "why", HOUR).unwrap();
        let waiting = scratch.adopt(journal, b"waiting");
        let work = journal.work();
        let left = |id| work.iter().find(|(found, _)| *found == id).unwrap().1;
        assert_eq!(
            (left(due), left(waiting)),
            (Some(Duration::ZERO), None),
            "{case}"
        );
        for id in adopted.into_iter().chain([later]) {
            let left = left(id).unwrap();
            assert!(left <= HOUR && left > HOUR / 2, "{case}: {left:?}");
        }
        for id in [due, later, waiting] {
            journal.delete(id).unwrap();
            journal.erase(id).unwrap();
        }
        for told in journal.waiting(None, 10).unwrap() {
            assert_eq!((told.room, told.attempts), (Room::Deferred, 1), "{case}");
        }
    });
}

#[test]
fn no_key_is_forgotten_whatever_the_clock_is_set_to() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let answered = KEYS.map(|key| {
        let ids = try_carry_out(&scratch, &journal, request(key)).unwrap();
        (key, ids)
    });
    at_each_jump(&scratch, journal, |journal, round, case| {
        // A new answer lets old ones be forgotten.
        let key = 100 + u8::try_from(round).unwrap();
        let ids = try_carry_out(&scratch, journal, request(key)).unwrap();
        check(case, journal, key, &ids, Standing::Pending);
        for (key, ids) in &answered {
            check(case, journal, *key, ids, Standing::Pending);
        }
    });
}

#[test]
fn ids_of_each_start_have_its_number() {
    let scratch = Scratch::new();
    let mut numbers = Vec::new();
    at_each_jump(&scratch, scratch.journal(), |journal, _, case| {
        let made = scratch.adopt(journal, b"").bytes();
        let [_, _, _, _, _, _, number @ .., _, _, _] = made;
        let [_, expected @ ..] = journal.wal.start_number().to_be_bytes();
        assert_eq!(number, expected, "{case}");
        numbers.push(number);
    });
    numbers.dedup();
    assert_eq!(numbers.len(), 4);
}
