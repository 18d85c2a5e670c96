//! How long answers are kept, how many, and what of them is on the disk.

use std::time::Duration;

use super::answers::{answer, assert_answered, kept, request, restart, scratches, try_adopt};
use super::disk::Fault;
use super::scratch::committed;
use crate::journal::Journal;

#[test]
fn answers_go_when_their_time_is_over_and_their_files_with_them() {
    for mut scratch in scratches() {
        let journal = scratch.journal();
        for number in 0..10 {
            let id = try_adopt(&scratch, &journal, number).unwrap();
            journal.settle(&committed(id)).unwrap();
            journal.evict_settled().unwrap();
        }
        let files = kept(&scratch);
        assert!(files > 2, "{files}");
        assert_eq!(journal.answers(), 10);
        drop(journal);
        // Ids have the time of their making in whole seconds.
        scratch.limits.answer_lifetime = Duration::ZERO;
        let journal = scratch.journal();
        assert_eq!(journal.answers(), 0);
        assert_eq!(answer(&journal, request(9)), None);
        journal.evict_settled().unwrap();
        assert_eq!(kept(&scratch), 0);
        let id = try_adopt(&scratch, &journal, 1).unwrap();
        assert_eq!(answer(&journal, request(1)), None, "no time at all");
        journal.settle(&committed(id)).unwrap();
        journal.evict_settled().unwrap();
        assert_eq!(kept(&scratch), 0);
    }
}

#[test]
fn a_file_that_is_written_to_goes_when_all_in_it_is_forgotten_and_the_next_one_is_read() {
    for mut scratch in scratches() {
        scratch.limits.max_answers = 1;
        let journal = scratch.journal();
        let mut last = None;
        for number in 0..4 {
            let id = try_adopt(&scratch, &journal, number).unwrap();
            journal.evict_settled().unwrap();
            assert_eq!(kept(&scratch), 0, "nothing but what waits is remembered");
            journal.settle(&committed(id)).unwrap();
            journal.evict_settled().unwrap();
            assert_eq!(kept(&scratch), 1);
            last = Some((number, id));
        }
        let (number, id) = last.unwrap();
        assert_answered("before", &journal, request(number), &[id]);
        let journal = restart(&scratch, journal);
        assert_answered("after", &journal, request(number), &[id]);
    }
}

#[test]
fn an_answer_that_cannot_be_kept_holds_back_its_own_entry_alone() {
    let [scratch, _] = scratches();
    let journal = scratch.journal();
    let plain = scratch.adopt(&journal, b"hello");
    let keyed = try_adopt(&scratch, &journal, 1).unwrap();
    for id in [plain, keyed] {
        journal.settle(&committed(id)).unwrap();
    }
    scratch.disk.heal();
    let calls = |names: &[&str]| names.iter().all(|name| scratch.disk.calls().contains(name));
    // The first file of answers is made once its room is known to be free.
    scratch.disk.fail_once(1, Fault::Full);
    journal.evict_settled().unwrap_err();
    assert!(calls(&["create", "unlink"]), "{:?}", scratch.disk.calls());
    let names = [format!("body/{keyed}"), format!("settled/{keyed}.json")];
    assert_eq!(scratch.names(), names);
    assert_answered("held back", &journal, request(1), &[keyed]);
    scratch.disk.heal();
    journal.evict_settled().unwrap();
    assert_eq!(scratch.names(), Vec::<String>::new());
    assert_answered("kept", &journal, request(1), &[keyed]);
}

#[test]
fn no_answer_comes_behind_one_that_could_not_be_taken_back() {
    for scratch in scratches() {
        let journal = scratch.journal();
        let ids = [1, 2].map(|number| try_adopt(&scratch, &journal, number).unwrap());
        journal.settle(&committed(ids[0])).unwrap();
        journal.evict_settled().unwrap();
        journal.settle(&committed(ids[1])).unwrap();
        scratch.disk.heal();
        // Neither written whole nor cut off; the disk is sound again a moment later.
        scratch.disk.stop_at(1);
        journal.evict_settled().unwrap_err();
        let calls = scratch.disk.calls();
        assert_eq!(calls[..3], ["free_bytes", "write_at", "truncate"]);
        scratch.disk.heal();
        journal.evict_settled().unwrap_err();
        assert!(journal.poison().is_none());
        let check = |case, journal: &Journal| {
            for (number, id) in [1, 2].into_iter().zip(ids) {
                assert_answered(case, journal, request(number), &[id]);
            }
        };
        check("closed", &journal);
        let journal = restart(&scratch, journal);
        check("opened", &journal);
        for id in ids {
            // One that was in the log is committed once more.
            drop(journal.settle(&committed(id)));
        }
        journal.evict_settled().unwrap();
        check("kept", &journal);
    }
}

#[test]
fn a_clock_that_is_set_forward_for_a_moment_forgets_no_key() {
    for scratch in scratches() {
        let journal = scratch.journal();
        let id = try_adopt(&scratch, &journal, 1).unwrap();
        journal.settle(&committed(id)).unwrap();
        for days in [40, 0] {
            let ahead = Duration::from_hours(24 * days);
            *journal.answers.system_clock_is_ahead.lock().unwrap() = ahead;
            journal.evict_settled().unwrap();
            assert_answered("set forward", &journal, request(1), &[id]);
        }
        assert_eq!(kept(&scratch), 1);
    }
}

#[test]
fn of_too_many_answers_the_oldest_go() {
    for mut scratch in scratches() {
        scratch.limits.max_answers = 3;
        let journal = scratch.journal();
        let mut ids = Vec::new();
        for number in 0..12 {
            let id = try_adopt(&scratch, &journal, number).unwrap();
            ids.push(id);
            if number % 2 == 0 {
                journal.settle(&committed(id)).unwrap();
                journal.evict_settled().unwrap();
            }
        }
        let seen = |journal: &Journal| {
            assert_eq!(journal.answers(), 3);
            for (number, &id) in ids.iter().enumerate().skip(9) {
                assert_answered("the newest", journal, request(number), &[id]);
            }
            assert_eq!(answer(journal, request(8)), None);
        };
        seen(&journal);
        let journal = restart(&scratch, journal);
        seen(&journal);
        journal.evict_settled().unwrap();
        assert_eq!(kept(&scratch), 1);
    }
}

#[test]
fn one_sender_drives_out_its_own_answers_and_nobody_elses() {
    for mut scratch in scratches() {
        scratch.limits.max_answers = 5;
        let journal = scratch.journal();
        let adopt = |number| (number, try_adopt(&scratch, &journal, number).unwrap());
        let mut others = vec![adopt(1000), adopt(2000), adopt(2001)];
        let mut flood = Vec::new();
        for number in 0..20 {
            flood.push(adopt(number));
            let (_, id) = *flood.last().unwrap();
            if number % 3 == 0 {
                journal.settle(&committed(id)).unwrap();
                journal.evict_settled().unwrap();
            }
        }
        others.extend(flood.split_off(18));
        let seen = |journal: &Journal| {
            assert_eq!(journal.answers(), 5);
            for &(number, id) in &others {
                assert_answered("kept", journal, request(number), &[id]);
            }
            assert_eq!(answer(journal, request(17)), None);
        };
        seen(&journal);
        let journal = restart(&scratch, journal);
        seen(&journal);
    }
}

#[test]
fn keys_that_nobody_sends_cost_nothing() {
    for scratch in scratches() {
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, b"hello");
        journal.settle(&committed(id)).unwrap();
        journal.evict_settled().unwrap();
        assert_eq!((kept(&scratch), journal.answers()), (0, 0));
    }
}
